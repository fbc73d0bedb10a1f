package h2

import (
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

	"github.com/tricot-proxy/tricot/pipeline/entrypoint/servertest"
)

// answerTo asks with a client of net/http.
func answerTo(t *testing.T, client *http.Client, method, url, content string) servertest.Answer {
	var informed []servertest.Informational
	r, err := http.NewRequest(method, url, nil)
	require.NoError(t, err)
	if method == http.MethodPost {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(content)), int64(len(content))
	}
	r = r.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(status int, header textproto.MIMEHeader) error {
			informed = append(informed, servertest.Informational{Status: status, Link: header["Link"]})
			return nil
		},
	}))
	response, err := client.Do(r)
	if err != nil {
		return servertest.Answer{Broken: true, Informational: informed}
	}
	answer := servertest.ReadAnswer(t, response)
	if answer.Broken {
		return servertest.Answer{Broken: true} // as much as was sent before the stream was reset
	}
	answer.Informational = informed
	return answer
}

// What a handler is told of its writing beside what the client gets.
func say(w http.ResponseWriter, text string) { _, _ = io.WriteString(w, text) }

func flush(w http.ResponseWriter) {
	if err := http.NewResponseController(w).Flush(); err != nil {
		panic(err)
	}
}

func TestServe_AnswersAsNetHTTPDoes(t *testing.T) {
	handlers := servertest.ParityHandlers()
	// Over HTTP/1.1 net/http's server then sends what is not HTTP.
	handlers["a length that is none"] = servertest.Saying("hello", "Content-Length", "five")
	for name, handler := range handlers {
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
		want    servertest.Answer
	}{
		"with a length where one frame takes all": {
			func(w http.ResponseWriter, _ *http.Request) { say(w, half[:5<<10]); say(w, half[5<<10:]) },
			servertest.Answer{Status: 200, Content: half, Length: 10 << 10, Header: http.Header{
				"Content-Type": {http.DetectContentType([]byte(half))}, "Content-Length": {"10240"},
			}},
		},
		"without a length where there is no content": { // RFC 9110, section 8.6
			func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "5")
				w.WriteHeader(204)
			},
			servertest.Answer{Status: 204, Header: http.Header{}},
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
			servertest.Answer{Status: 201, Header: http.Header{}},
		},
		"without a type of content that the client has": { // RFC 9110, section 15.4.5
			func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "a/b")
				w.Header().Set("Etag", `"x"`)
				w.WriteHeader(304)
			},
			servertest.Answer{Status: 304, Header: http.Header{"Etag": {`"x"`}}},
		},
		"without a length where trailers follow": {
			func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Trailer", "X-Sum")
				w.Header().Set(http.TrailerPrefix+"X-Early", "1")
				say(w, "hello")
				w.Header().Set("X-Sum", "5")
			},
			servertest.Answer{
				Status: 200, Content: "hello", Length: -1, Header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}},
				Announced: http.Header{"X-Sum": nil}, Trailer: http.Header{"X-Sum": {"5"}, "X-Early": {"1"}},
			},
		},
		"without fields that are none": { // one of them would be a connection error
			func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["X Y"] = []string{"1"}
				w.Header()[""] = []string{"1"}
				w.Header()["X-A"] = []string{"1"}
				w.WriteHeader(204)
			},
			servertest.Answer{Status: 204, Header: http.Header{"X-A": {"1"}}},
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
	require.Eventually(t, w.(*response).over.Load, longest, step)
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
