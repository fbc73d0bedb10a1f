package h1

import (
	"bufio"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline/entrypoint/servertest"
)

// told is what a client is told on one connection.
type told struct {
	answer servertest.Answer
	open   bool // a further request would have been served
}

// tell sends a request and, behind its answer, another one.
func tell(t *testing.T, f *front, request string) told {
	c := f.dial(t)
	write(t, c, request)
	r := bufio.NewReader(c)
	result := told{answer: readAnswer(t, r, request)}
	if result.answer.Broken {
		return result
	}
	if _, err := io.WriteString(c, "GET /next HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		return result
	}
	response, err := http.ReadResponse(r, nil)
	if err != nil {
		return result
	}
	content, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	result.open = string(content) == "next"
	require.True(t, result.open, "%q", content)
	return result
}

// readAnswer reads the answer to a request, which is broken where there is none.
func readAnswer(t *testing.T, r *bufio.Reader, request string) servertest.Answer {
	method, _, _ := strings.Cut(request, " ")
	var informed []servertest.Informational
	for {
		response, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			return servertest.Answer{Broken: true, Informational: informed}
		}
		if response.StatusCode < 200 && response.StatusCode != http.StatusSwitchingProtocols {
			informed = append(informed, servertest.Informational{Status: response.StatusCode, Link: response.Header["Link"]})
			continue
		}
		answer := servertest.ReadAnswer(t, response)
		answer.Informational = informed
		return answer
	}
}

// handlers are those that have to be answered as net/http's server does, with what only HTTP/1 has.
func handlers() map[string]http.HandlerFunc {
	say := func(w http.ResponseWriter, text string) { _, _ = io.WriteString(w, text) }
	all := servertest.ParityHandlers()
	maps.Copy(all, map[string]http.HandlerFunc{
		"a closed connection": servertest.Saying("hello", "Connection", "close"),
		"an option":           servertest.Saying("hello", "Connection", "keep-alive"),
		"chunked by hand":     servertest.Saying("hello", "Transfer-Encoding", "chunked"),
		"until the end":       servertest.Saying("hello", "Transfer-Encoding", "identity"),
		"more than the length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5")
			say(w, "hello")
			_, err := io.WriteString(w, "world")
			servertest.Must(errors.Is(err, http.ErrContentLength))
		},
		"no content, with a length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5")
			w.WriteHeader(204)
			_, err := io.WriteString(w, "hello")
			servertest.Must(errors.Is(err, http.ErrBodyNotAllowed))
		},
		"not modified, with a type": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "a/b")
			w.Header().Set("Etag", `"x"`)
			w.WriteHeader(304)
		},
		"trailers of what was not flushed": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "X-Sum")
			w.Header().Set(http.TrailerPrefix+"X-Early", "1")
			say(w, "hello")
			w.Header().Set("X-Sum", "5")
			w.Header().Set("X-None", "7")
		},
		"early trailers of what was not flushed": servertest.Saying("hello", http.TrailerPrefix+"X-Sum", "5"),
		"fields that are none": func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["X Y"] = []string{"1"}
			w.Header()["X-Line"] = []string{"a\r\nX-Evil: b", "c"}
			w.Header()["X-Empty"] = []string{""}
			say(w, "hello")
		},
	})
	return all
}

func TestServe_AnswersAsNetHTTPDoes(t *testing.T) {
	requests := []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.0\r\n\r\n",
		"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
	}
	for name, handler := range handlers() {
		t.Run(name, func(t *testing.T) {
			routed := func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/next" {
					w.Header().Set("Content-Length", "4")
					_, _ = io.WriteString(w, "next")
					return
				}
				handler(w, r)
			}
			ours, theirs := serve(t, routed), newFront(t, nil)
			servertest.ServeNetHTTP(t, theirs.listener, nil, http.HandlerFunc(routed))
			for _, request := range requests {
				want := tell(t, theirs, request)
				have := tell(t, ours, request)
				assert.Equal(t, want, have, "%q", request)
			}
		})
	}
}
