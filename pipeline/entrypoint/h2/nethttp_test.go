package h2

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// got is what an ordinary client gets.
type got struct {
	Status        int
	Proto         string
	Header        http.Header
	Content       string
	Announced     http.Header
	Trailer       http.Header
	Length        int64
	Broken        bool // there is no answer, or it has no end
	Informational []informational
}

type informational struct {
	Status int
	Link   []string
}

// answerTo asks with a client of net/http.
func answerTo(t *testing.T, client *http.Client, method, url, content string) got {
	var g got
	r, err := http.NewRequest(method, url, nil)
	require.NoError(t, err)
	if method == http.MethodPost {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(content)), int64(len(content))
	}
	r = r.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(status int, header textproto.MIMEHeader) error {
			g.Informational = append(g.Informational, informational{status, header["Link"]})
			return nil
		},
	}))
	response, err := client.Do(r)
	if err != nil {
		g.Broken = true
		return g
	}
	defer response.Body.Close()
	g.Status, g.Proto, g.Header, g.Length = response.StatusCode, response.Proto, response.Header, response.ContentLength
	g.Announced = response.Trailer.Clone()
	read, err := io.ReadAll(response.Body)
	g.Content, g.Broken = string(read), err != nil
	g.Trailer = response.Trailer
	assert.NotEmpty(t, g.Header["Date"])
	if g.Header.Get("Date") != "never" {
		delete(g.Header, "Date")
	}
	if g.Broken {
		return got{Broken: true} // as much as was sent before the stream was reset
	}
	return g
}

// What a handler is told of its writing beside what the client gets.
func say(w http.ResponseWriter, text string) { _, _ = io.WriteString(w, text) }

func flush(w http.ResponseWriter) {
	if err := http.NewResponseController(w).Flush(); err != nil {
		panic(err)
	}
}

func TestServe_AnswersAsNetHTTPDoes(t *testing.T) {
	long := pattern(1, 200<<10)
	must := func(ok bool) {
		if !ok {
			panic("it is otherwise")
		}
	}
	for name, handler := range map[string]http.HandlerFunc{
		"nothing":           func(http.ResponseWriter, *http.Request) {},
		"a status":          func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) },
		"an unknown status": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(777) },
		"short content":     func(w http.ResponseWriter, _ *http.Request) { say(w, "hello") },
		"empty content":     func(w http.ResponseWriter, _ *http.Request) { say(w, "") },
		"HTML":              func(w http.ResponseWriter, _ *http.Request) { say(w, "<html><body>hello") },
		"an error":          func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", 500) },
		"a redirect":        func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", http.StatusFound) },
		"long content":      func(w http.ResponseWriter, _ *http.Request) { say(w, long) },
		"content in two pieces": func(w http.ResponseWriter, _ *http.Request) {
			say(w, "<html>")
			say(w, long)
		},
		"content in many pieces": func(w http.ResponseWriter, _ *http.Request) {
			for at := 0; at < len(long); at += 77 {
				say(w, long[at:min(at+77, len(long))])
			}
		},
		"no type at all": func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			say(w, "hello")
		},
		"a type": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "a/b")
			say(w, "hello")
		},
		"a coding": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			say(w, "<html>")
		},
		"a date":             func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Date", "never"); say(w, "hello") },
		"several of a field": func(w http.ResponseWriter, _ *http.Request) { w.Header()["X-A"] = []string{"1", "2", ""} },
		"cookies": func(w http.ResponseWriter, _ *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: "a", Value: "1"})
			http.SetCookie(w, &http.Cookie{Name: "b", Value: "2"})
		},
		"a field in small letters": func(w http.ResponseWriter, _ *http.Request) { w.Header()["x-small"] = []string{"1"} },
		"flushed":                  func(w http.ResponseWriter, _ *http.Request) { say(w, "he"); flush(w); say(w, "llo"); flush(w) },
		"a flush before all":       func(w http.ResponseWriter, _ *http.Request) { flush(w); say(w, "hello") },
		"nothing but a flush":      func(w http.ResponseWriter, _ *http.Request) { flush(w) },
		"an old flush":             func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush(); say(w, "hello") },
		"a length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5")
			say(w, "hello")
		},
		"a length and a flush": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			say(w, "hello")
			flush(w)
			say(w, "world")
			flush(w)
		},
		"a length of long content": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "204800")
			say(w, long)
		},
		"a length of nothing": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "0") },
		"a length that is none": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "five")
			say(w, "hello")
		},
		"less than the length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			say(w, "hello")
		},
		"nothing of the length": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "10") },
		"no content": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(204)
			_, err := io.WriteString(w, "hello")
			must(errors.Is(err, http.ErrBodyNotAllowed))
		},
		"no content, with a type": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "a/b")
			w.WriteHeader(204)
		},
		"not modified": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5")
			w.Header().Set("Etag", `"x"`)
			w.WriteHeader(304)
			_, err := io.WriteString(w, "hello")
			must(errors.Is(err, http.ErrBodyNotAllowed))
		},
		"trailers": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "X-Sum, x-other")
			say(w, "hello")
			flush(w)
			w.Header().Set("X-Sum", "5")
			w.Header().Set("X-Other", "6")
			w.Header().Set("X-None", "7")
		},
		"trailers that are announced line by line": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Add("Trailer", "X-Sum")
			w.Header().Add("Trailer", "X-Other")
			say(w, long)
			w.Header()["X-Sum"] = []string{"1", "2"}
			w.Header().Set("X-Other", "6")
		},
		"trailers that do not come": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "X-Sum")
			say(w, "hello")
			flush(w)
		},
		"trailers that nobody announced": func(w http.ResponseWriter, _ *http.Request) {
			say(w, "hello")
			flush(w)
			w.Header().Set(http.TrailerPrefix+"X-Sum", "5")
		},
		"trailers set before": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(http.TrailerPrefix+"X-Sum", "5")
			say(w, "hello")
			flush(w)
		},
		"trailers behind a length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5")
			w.Header().Set("Trailer", "X-Sum")
			say(w, "hello")
			w.Header().Set("X-Sum", "5")
		},
		"trailers that may be none": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "Content-Length, X-Sum")
			say(w, "hello")
			flush(w)
			w.Header().Set("X-Sum", "5")
		},
		"trailers only": func(w http.ResponseWriter, _ *http.Request) { // as gRPC fails
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set("Grpc-Status", "5")
			w.Header().Set("Grpc-Message", "no such thing")
			w.WriteHeader(200)
		},
		"a head and trailers": func(w http.ResponseWriter, _ *http.Request) { // as gRPC succeeds with nothing to say
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set("Trailer", "Grpc-Status")
			w.WriteHeader(200)
			flush(w)
			w.Header().Set("Grpc-Status", "0")
		},
		"fields set too late": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Early", "1")
			w.WriteHeader(200)
			w.Header().Set("X-Late", "2")
			w.Header().Del("X-Early")
			say(w, "hello")
		},
		"a second status":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201); w.WriteHeader(202) },
		"a status after all":    func(w http.ResponseWriter, _ *http.Request) { say(w, "hello"); flush(w); w.WriteHeader(500) },
		"an impossible status":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(99) },
		"the request's content": func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) },
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
		"deadlines": func(w http.ResponseWriter, r *http.Request) {
			control := http.NewResponseController(w)
			must(control.SetReadDeadline(time.Now().Add(time.Hour)) == nil)
			must(control.SetWriteDeadline(time.Now().Add(time.Hour)) == nil)
			say(w, "hello")
			_, _ = io.Copy(w, r.Body)
		},
		"a deadline of writing that is past": func(w http.ResponseWriter, r *http.Request) {
			must(http.NewResponseController(w).SetWriteDeadline(time.Unix(1, 0)) == nil)
			_, err := io.WriteString(w, long)
			must(err != nil || r.Method == http.MethodHead)
			panic(http.ErrAbortHandler)
		},
		"cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			say(w, "hello")
			flush(w)
			panic(http.ErrAbortHandler)
		},
		"cut before all": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"a panic":        func(http.ResponseWriter, *http.Request) { panic("a panic of the test") },
		"informed": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", "</x>")
			w.WriteHeader(103)
			w.Header().Add("Link", "</y>")
			w.WriteHeader(103)
			w.WriteHeader(102)
			w.Header().Del("Link")
			say(w, "hello")
			flush(w)
		},
	} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := serve(t, handler), onNetHTTP(t, handler)
			ourClient, theirClient := ours.client(t), theirs.client(t)
			for _, method := range []string{"GET", "HEAD", "POST", "DELETE"} {
				want := answerTo(t, theirClient, method, theirs.url("/"), "hello")
				have := answerTo(t, ourClient, method, ours.url("/"), "hello")
				assert.Equal(t, want, have, method)
			}
			for _, c := range ours.connections() {
				requireAtRest(t, c)
			}
		})
	}
}

// What net/http's server does otherwise, for a reason.
func TestServe_AnswersBetterThanNetHTTPDoes(t *testing.T) {
	half := pattern(2, 10<<10)
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		want    got
	}{
		"with a length where one frame takes all": {
			func(w http.ResponseWriter, _ *http.Request) { say(w, half[:5<<10]); say(w, half[5<<10:]) },
			got{Status: 200, Content: half, Length: 10 << 10, Header: http.Header{
				"Content-Type": {http.DetectContentType([]byte(half))}, "Content-Length": {"10240"},
			}},
		},
		"without a length where there is no content": { // RFC 9110, section 8.6
			func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "5")
				w.WriteHeader(204)
			},
			got{Status: 204, Header: http.Header{}},
		},
		"without fields of a connection": { // RFC 9113, section 8.2.2
			func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Connection", "keep-alive, x-a")
				w.Header().Set("Keep-Alive", "timeout=5")
				w.Header().Set("Proxy-Connection", "keep-alive")
				w.Header().Set("Transfer-Encoding", "identity")
				w.Header().Set("Upgrade", "websocket")
				w.WriteHeader(201)
			},
			got{Status: 201, Header: http.Header{}},
		},
		"without fields that are none": { // one of them would be a connection error
			func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["X Y"] = []string{"1"}
				w.Header()[""] = []string{"1"}
				w.Header()["X-A"] = []string{"1"}
				w.WriteHeader(204)
			},
			got{Status: 204, Header: http.Header{"X-A": {"1"}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := serve(t, c.handler)
			c.want.Proto = "HTTP/2.0"
			assert.Equal(t, c.want, answerTo(t, f.client(t), "GET", f.url("/"), ""))
		})
	}
}

func TestServe_TellsAHandlerWhatItDoesWrong(t *testing.T) {
	type results struct {
		tooLong            error
		invalid, switching any
	}
	for name, method := range map[string]string{"GET": "GET", "HEAD": "HEAD"} {
		t.Run(name, func(t *testing.T) {
			told := make(chan results, 1)
			panicOf := func(f func()) (cause any) {
				defer func() { cause = recover() }()
				f()
				return nil
			}
			f := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				var r results
				r.invalid = panicOf(func() { w.WriteHeader(1000) })
				r.switching = panicOf(func() { w.WriteHeader(101) })
				w.Header().Set("Content-Length", "5")
				_, err := io.WriteString(w, "hel")
				assert.NoError(t, err)
				_, r.tooLong = io.WriteString(w, "lo, world")
				w.WriteHeader(500)
				told <- r
			})
			_ = answerTo(t, f.client(t), method, f.url("/"), "")
			r := receive(t, told)
			assert.ErrorIs(t, r.tooLong, http.ErrContentLength)
			assert.NotNil(t, r.invalid)
			assert.NotNil(t, r.switching)
			requireAtRest(t, f.only(t))
			assert.Contains(t, f.log.String(), "superfluous WriteHeader: 500 after 200")
		})
	}
}

func TestServe_FailsAHandlersWritingAfterItsReturn(t *testing.T) {
	writers := make(chan http.ResponseWriter, 1)
	f := serve(t, func(w http.ResponseWriter, _ *http.Request) { writers <- w })
	client := f.client(t)
	ask(t, client, "GET", f.url("/"), nil)
	requireAtRest(t, f.only(t))
	w := receive(t, writers)
	_, err := w.Write([]byte("late"))
	assert.Error(t, err)
	assert.Error(t, http.NewResponseController(w).Flush())
	w.WriteHeader(500)
	_ = http.NewResponseController(w).SetReadDeadline(time.Now())
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now())
	_, content := ask(t, client, "GET", f.url("/"), nil)
	assert.Empty(t, content)
	assert.Contains(t, f.log.String(), "WriteHeader after the handler's return")
}

// A panic says where it was, and hurts nobody else.
func TestServe_LogsAPanicUnlessItIsMeant(t *testing.T) {
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/abort":
			panic(http.ErrAbortHandler)
		case "/panic":
			panic("a panic of the test")
		}
		say(w, "hello")
	})
	client := f.client(t)
	for _, path := range []string{"/abort", "/panic"} {
		assert.True(t, answerTo(t, client, "GET", f.url(path), "").Broken)
		assert.Equal(t, path == "/panic", strings.Contains(f.log.String(), "a panic of the test"))
	}
	_, content := ask(t, client, "GET", f.url("/"), nil)
	assert.Equal(t, "hello", content)
	assert.Len(t, f.connections(), 1, "on the same connection")
	assert.Contains(t, f.log.String(), "nethttp_test.go")
}

func TestServe_TellsAHandlerThatTheClientHasLeft(t *testing.T) {
	type results struct{ write, flush error }
	left, told := make(chan struct{}), make(chan results, 1)
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush() // the client may leave before it returns
		<-r.Context().Done()
		_, write := io.WriteString(w, pattern(1, 100<<10))
		told <- results{write, http.NewResponseController(w).Flush()}
		<-left
	})
	for name, leave := range map[string]func(w *wire){
		"a reset":                func(w *wire) { _ = w.WriteRSTStream(1, 8); w.send() },
		"the connection's end":   func(w *wire) { _ = w.conn.Close() },
		"the connection's death": func(w *wire) { _ = w.conn.NetConn().Close() },
	} {
		t.Run(name, func(t *testing.T) {
			w := f.wire(t)
			w.get(1, "/")
			w.send()
			w.until(func() bool { return w.reply(1).status == 200 })
			leave(w)
			r := receive(t, told)
			assert.Error(t, r.write)
			assert.Error(t, r.flush)
			assert.NotErrorIs(t, r.write, os.ErrDeadlineExceeded)
			left <- struct{}{}
		})
	}
}
