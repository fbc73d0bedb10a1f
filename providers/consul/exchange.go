package consul

import (
	"log/slog"
	"net/http"
	"time"
)

// exchanges logs what is asked and answered. Bodies and headers, which hold the token, stay out of it, and so does all of
// the query but the index.
type exchanges struct {
	next http.RoundTripper
	log  *slog.Logger
}

func (e *exchanges) RoundTrip(r *http.Request) (*http.Response, error) {
	if !e.log.Enabled(r.Context(), slog.LevelDebug) {
		return e.next.RoundTrip(r)
	}
	start := time.Now()
	response, err := e.next.RoundTrip(r)
	attributes := []any{
		"method", r.Method, "path", r.URL.Path, "index", r.URL.Query().Get("index"), "duration", time.Since(start),
	}
	if err != nil {
		attributes = append(attributes, "error", err)
	} else {
		attributes = append(attributes, "status", response.StatusCode, "new_index", response.Header.Get("X-Consul-Index"))
	}
	e.log.Debug("exchange with Consul", attributes...)
	return response, err
}
