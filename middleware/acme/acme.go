// Package acme is the stage that answers the CA's question for an HTTP-01 challenge (RFC 8555, section 8.3), on either
// port: GET /.well-known/acme-challenge/TOKEN gives the token's key authorization.
//
// It needs nothing and sets nothing. Where the key authorization comes from is up to the function that it is given. All
// other paths pass on.
package acme

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/tricot-proxy/tricot/pipeline"
)

// Name is the stage's name in settings.
const Name = "acme"

// maxToken is well above what CAs use. A token has at least 128 bits of entropy (RFC 8555, section 8.1), which is 22
// characters, and those in use have 43.
const maxToken = 128

// New makes the stage. It calls answer, from many goroutines at once, with the request's context and with tokens of 1 to
// 128 characters of the base64url alphabet only.
func New(
	answer func(ctx context.Context, token string) (keyAuthorization string, ok bool),
) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			token, ok := strings.CutPrefix(pipeline.Path(r), pipeline.ChallengePath)
			if !ok {
				next.ServeHTTP(w, r)
				return
			}
			_, w, r = pipeline.Enter(w, r)
			if r.Method != http.MethodGet && r.Method != http.MethodHead {
				w.Header().Set("Allow", "GET, HEAD")
				http.Error(w, "405 method not allowed: a challenge is read with GET", http.StatusMethodNotAllowed)
				return
			}
			if !isToken(token) {
				unknown(w)
				return
			}
			keyAuthorization, ok := answer(r.Context(), token)
			if !ok {
				unknown(w)
				return
			}
			header := w.Header()
			header.Set("Content-Type", "application/octet-stream")
			header.Set("Content-Length", strconv.Itoa(len(keyAuthorization)))
			_, _ = io.WriteString(w, keyAuthorization)
		})
	}
}

func unknown(w http.ResponseWriter) {
	http.Error(w, "404 no challenge has this token", http.StatusNotFound)
}

// isToken says whether s has the base64url alphabet only (RFC 4648, section 5), without padding.
func isToken(s string) bool {
	if len(s) == 0 || len(s) > maxToken {
		return false
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}
