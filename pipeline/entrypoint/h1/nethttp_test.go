package h1

import (
	"bufio"
	"errors"
	"io"
	"log"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// told is what a client is told on one connection.
type told struct {
	answers []got
	open    bool // a further request would have been served
}

type got struct {
	Status        int
	Proto         string
	Header        http.Header
	Content       string
	Trailer       http.Header
	Length        int64
	Encoding      []string
	Close         bool
	Broken        bool // the content ended before its end
	Informational []int
}

// tell sends a request and, behind its answer, another one.
func tell(t *testing.T, f *front, request string) told {
	c := f.dial(t)
	write(t, c, request)
	r := bufio.NewReader(c)
	method, _, _ := strings.Cut(request, " ")
	result := told{answers: []got{readGot(t, r, method)}}
	if result.answers[0].Broken {
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

func readGot(t *testing.T, r *bufio.Reader, method string) got {
	var g got
	for {
		response, err := http.ReadResponse(r, &http.Request{Method: method})
		require.NoError(t, err)
		if response.StatusCode < 200 && response.StatusCode != http.StatusSwitchingProtocols {
			g.Informational = append(g.Informational, response.StatusCode)
			continue
		}
		content, err := io.ReadAll(response.Body)
		assert.NotEmpty(t, response.Header["Date"])
		delete(response.Header, "Date")
		g.Status, g.Proto, g.Header, g.Content = response.StatusCode, response.Proto, response.Header, string(content)
		g.Trailer, g.Length, g.Encoding, g.Close = response.Trailer, response.ContentLength, response.TransferEncoding, response.Close
		g.Broken = err != nil
		return g
	}
}

// onNetHTTP serves a handler with net/http's server.
func onNetHTTP(t *testing.T, handler http.Handler) *front {
	f := newFront(t, nil)
	peer := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = peer.Serve(f.listener) }()
	t.Cleanup(func() { _ = peer.Close() })
	return f
}

func TestServe_AnswersAsNetHTTPDoes(t *testing.T) {
	const plain = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	const head = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
	const old = "GET / HTTP/1.0\r\n\r\n"
	const oldKept = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
	const closing = "GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n"
	const post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
	all := []string{plain, head, old, oldKept, closing, post}
	long := strings.Repeat("0123456789abcdef", 10<<10)
	say := func(w http.ResponseWriter, text string) { _, _ = io.WriteString(w, text) }
	flush := func(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }

	for name, handler := range map[string]http.HandlerFunc{
		"nothing":               func(http.ResponseWriter, *http.Request) {},
		"a status":              func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) },
		"an unknown status":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(777) },
		"short content":         func(w http.ResponseWriter, _ *http.Request) { say(w, "hello") },
		"HTML":                  func(w http.ResponseWriter, _ *http.Request) { say(w, "<html><body>hello") },
		"long content":          func(w http.ResponseWriter, _ *http.Request) { say(w, long) },
		"content in two pieces": func(w http.ResponseWriter, _ *http.Request) { say(w, "<html>"); say(w, long) },
		"no type at all": func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			say(w, "hello")
		},
		"a type": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "a/b"); say(w, "hello") },
		"a coding": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			say(w, "<html>")
		},
		"flushed":            func(w http.ResponseWriter, _ *http.Request) { say(w, "he"); flush(w); say(w, "llo"); flush(w) },
		"a flush before all": func(w http.ResponseWriter, _ *http.Request) { flush(w); say(w, "hello") },
		"a length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5")
			say(w, "hello")
		},
		"a length and a flush": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			say(w, "hello")
			flush(w)
			say(w, "world")
		},
		"a length of long content": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "163840")
			say(w, long)
		},
		"more than the length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5")
			say(w, "hello")
			_, err := io.WriteString(w, "world")
			if !errors.Is(err, http.ErrContentLength) {
				panic("it was taken")
			}
		},
		"less than the length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			say(w, "hello")
		},
		"no content": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5")
			w.WriteHeader(204)
			if _, err := io.WriteString(w, "hello"); !errors.Is(err, http.ErrBodyNotAllowed) {
				panic("it was taken")
			}
		},
		"not modified": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "a/b")
			w.Header().Set("Content-Length", "5")
			w.Header().Set("Etag", `"x"`)
			w.WriteHeader(304)
		},
		"trailers": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "X-Sum, x-other")
			say(w, "hello")
			w.Header().Set("X-Sum", "5")
			w.Header().Set("X-Other", "6")
			w.Header().Set("X-None", "7")
		},
		"trailers that nobody announced": func(w http.ResponseWriter, _ *http.Request) {
			say(w, "hello")
			flush(w)
			w.Header().Set(http.TrailerPrefix+"X-Sum", "5")
		},
		"trailers set before": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(http.TrailerPrefix+"X-Sum", "5")
			say(w, "hello")
		},
		"a closed connection": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "close")
			say(w, "hello")
		},
		"an option": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "keep-alive")
			say(w, "hello")
		},
		"chunked by hand": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Transfer-Encoding", "chunked")
			say(w, "hello")
		},
		"until the end": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Transfer-Encoding", "identity")
			say(w, "hello")
		},
		"fields set too late": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Early", "1")
			w.WriteHeader(200)
			w.Header().Set("X-Late", "2")
			w.Header().Del("X-Early")
			say(w, "hello")
		},
		"fields that are none": func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["X Y"] = []string{"1"}
			w.Header()["X-Line"] = []string{"a\r\nX-Evil: b", "c"}
			w.Header()["X-Empty"] = []string{""}
			say(w, "hello")
		},
		"a second status": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201); w.WriteHeader(202) },
		"the request's content": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(w, r.Body)
		},
		"a request that was changed": func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodHead {
				r.Method = "PUT"
			}
			r.Header, r.Body, r.ContentLength = nil, nil, 7
			say(w, "hello")
		},
		"full duplex": func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).EnableFullDuplex()
			say(w, "hello")
			flush(w)
			_, _ = io.Copy(w, r.Body)
		},
		"deadlines": func(w http.ResponseWriter, _ *http.Request) {
			control := http.NewResponseController(w)
			if control.SetReadDeadline(time.Now().Add(time.Hour)) != nil || control.SetWriteDeadline(time.Now().Add(time.Hour)) != nil {
				panic("no deadline")
			}
			say(w, "hello")
		},
		"cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			say(w, "hello")
			flush(w)
			panic(http.ErrAbortHandler)
		},
		"informed": func(w http.ResponseWriter, r *http.Request) {
			if r.ProtoMinor > 0 {
				w.Header().Set("Link", "</x>")
				w.WriteHeader(103)
				w.WriteHeader(102)
			}
			say(w, "hello")
		},
	} {
		t.Run(name, func(t *testing.T) {
			routed := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/next" {
					w.Header().Set("Content-Length", "4")
					_, _ = io.WriteString(w, "next")
					return
				}
				handler(w, r)
			})
			ours, theirs := serve(t, routed), onNetHTTP(t, routed)
			for _, request := range all {
				want := tell(t, theirs, request)
				have := tell(t, ours, request)
				assert.Equal(t, want, have, "%q", request)
			}
		})
	}
}
