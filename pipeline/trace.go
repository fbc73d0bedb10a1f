package pipeline

import (
	"log/slog"
	"net/http"
	"slices"
	"strings"
)

// LevelTrace is below slog's debug: the headers of each request and response, at each stage.
const LevelTrace = slog.Level(-8)

// trace logs the request's headers as they reach the stage and the response's as they leave it.
func trace(stage string, log *slog.Logger) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			log.Log(r.Context(), LevelTrace, "request headers", "stage", stage, "method", r.Method, "host", r.Host,
				"path", Path(r), slog.GroupAttrs("headers", visible(r.Header)...))
			next.ServeHTTP(w, r)
			log.Log(r.Context(), LevelTrace, "response headers", "stage", stage, slog.GroupAttrs("headers", visible(w.Header())...))
		})
	}
}

// visible lists headers by name, with the values of those that let a reader of the log act as the client masked.
func visible(headers http.Header) []slog.Attr {
	attrs := make([]slog.Attr, 0, len(headers))
	for name, values := range headers {
		value := strings.Join(values, ", ")
		// Stages may write into the map past Set, and a trailer is a header behind [http.TrailerPrefix].
		switch http.CanonicalHeaderKey(strings.TrimPrefix(name, http.TrailerPrefix)) {
		case "Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie":
			value = "***"
		}
		attrs = append(attrs, slog.String(name, value))
	}
	slices.SortFunc(attrs, func(a, b slog.Attr) int { return strings.Compare(a.Key, b.Key) })
	return attrs
}
