package transport

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTransport_SurvivesABodyThatPanicsWhileItIsSent(t *testing.T) {
	for name, length := range map[string]int64{"chunked": -1, "of known length": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			caught := make(chan any, 10)
			front := newFront(t, newBackend(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				_, _ = fmt.Fprint(w, r.URL.Path)
			}), setting{around: func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/own" {
						next.ServeHTTP(w, r)
						return
					}
					defer func() {
						caught <- recover()
						panic(http.ErrAbortHandler)
					}()
					r.Body, r.ContentLength = panicBody{value: "read"}, length
					next.ServeHTTP(w, r)
				})
			}})
			response, err := front.Client().Do(front.request(t, "POST", "/", strings.NewReader("body")))
			if err == nil {
				response.Body.Close()
			}
			value := fmt.Sprint(receive(t, caught, "panic on the handler's goroutine"))
			assert.True(t, strings.HasPrefix(value, "read\n"), value)
			assert.Contains(t, value, "h2strict_test.go", "the stack of where it happened")
			_, body := front.get(t, "/own")
			require.Equal(t, "/own", body)
		})
	}
}
