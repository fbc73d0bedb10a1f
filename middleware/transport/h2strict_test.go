package transport

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTransport_RefusesWhatHTTP2BackendsMustNotSay(t *testing.T) {
	final := func(fields ...string) func(*h2Peer, uint32) {
		return func(p *h2Peer, stream uint32) {
			p.head(stream, false, append([]string{":status", "200"}, fields...)...)
			_ = p.WriteData(stream, true, []byte("hello"))
		}
	}
	status := func(status string) func(*h2Peer, uint32) {
		return func(p *h2Peer, stream uint32) {
			p.head(stream, false, ":status", status)
			_ = p.WriteData(stream, true, []byte("hello"))
		}
	}
	informational := func(n int, status string, fields ...string) func(*h2Peer, uint32) {
		return func(p *h2Peer, stream uint32) {
			for range n {
				p.head(stream, false, append([]string{":status", status}, fields...)...)
			}
			p.head(stream, true, ":status", "200", "content-length", "0")
		}
	}
	// Of this net/http does not tell whose answer it was, and the others have got none.
	const brokenConnection = "a field of more than 64 KiB"
	for name, say := range map[string]func(*h2Peer, uint32){
		"101 before the answer":       informational(1, "101", "upgrade", "x"),
		"101 for an answer":           func(p *h2Peer, stream uint32) { p.head(stream, true, ":status", "101") },
		"too many 103":                informational(maxInformational+1, "103"),
		"too many 100":                informational(maxInformational+1, "100"),
		"a status of two digits":      status("42"),
		"a status that begins with 0": status("099"),
		"a status of four digits":     status("1000"),
		"a status of four, with 0":    status("0200"),
		"a status below zero":         status("-5"),
		"a status with a sign":        status("+200"),
		"a status of letters":         status("ok"),
		"no status":                   func(p *h2Peer, stream uint32) { p.head(stream, true, "x-a", "b") },
		"two lengths":                 final("content-length", "2", "content-length", "5"),
		"the same length twice":       final("content-length", "5", "content-length", "5"),
		"a list of lengths":           final("content-length", "5, 5"),
		"a length with plus":          final("content-length", "+5"),
		"a length with minus":         final("content-length", "-5"),
		"a length of letters":         final("content-length", "abc"),
		"an empty length":             final("content-length", ""),
		"a length beyond 63 bits":     final("content-length", "18446744073709551616"),
		"a transfer coding":           final("transfer-encoding", "chunked"),
		"NUL in a value":              final("x-a", "a\x00b"),
		"CRLF in a value":             final("x-a", "a\r\nx-b: c"),
		"a space in a name":           final("x a", "b"),
		"capitals in a name":          final("X-A", "b"),
		"a head of more than 64 KiB":  final(slices.Repeat([]string{"x-a", strings.Repeat("a", 1000)}, 66)...),
		brokenConnection:              final("x-a", strings.Repeat("a", maxResponseHeader+1000)),
		"content before the head":     func(p *h2Peer, stream uint32) { _ = p.WriteData(stream, true, []byte("hello")) },
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, secure bool) {
				ends := make(chan struct{}, 10)
				backend := newH2Peer(t, func(p *h2Peer) {
					defer func() { ends <- struct{}{} }()
					for {
						stream, path, ok := p.request()
						switch {
						case !ok:
							return
						case path == "/odd":
							say(p, stream)
						default:
							p.answer(stream, path)
						}
					}
				})
				front := newFront(t, backend, setting{secure: secure})
				for range 2 {
					response, body := front.get(t, "/odd")
					assert.Equal(t, http.StatusBadGateway, response.StatusCode)
					assert.False(t, strings.Contains(body, "hello"))
					assert.Empty(t, response.Header["X-A"])
					state := front.state(t)
					require.NotNil(t, state.Failure)
					assert.Equal(t, http.StatusBadGateway, state.Failure.Status)
					assert.Equal(t, name == brokenConnection, state.Failure.Repeatable, state.Failure.Err)
					assert.True(t, state.Answered.IsZero())
					receive(t, ends, "end of the connection")

					front.Client().CloseIdleConnections() // as another client
					_, body = front.get(t, "/own")
					assert.Equal(t, "/own", body)
					require.Nil(t, front.state(t).Failure)
				}
				assert.Equal(t, 2, strings.Count(front.log.String(), "level=WARN"), front.log.String())
			})
		})
	}
}

func TestTransport_PassesOnWhatHTTP2BackendsMaySay(t *testing.T) {
	for name, c := range map[string]struct {
		say    func(*h2Peer, uint32)
		status int
	}{
		"as many 103 as may be": {func(p *h2Peer, stream uint32) {
			for range maxInformational {
				p.head(stream, false, ":status", "103", "link", "</a>", "content-length", "5")
			}
			p.answer(stream, "x")
		}, 200},
		"the highest status":  {func(p *h2Peer, stream uint32) { p.head(stream, true, ":status", "999") }, 999},
		"a 204 with a length": {func(p *h2Peer, stream uint32) { p.head(stream, true, ":status", "204", "content-length", "5") }, 204},
		"a head of nearly 64 KiB": {func(p *h2Peer, stream uint32) {
			p.head(stream, true, ":status", "200", "x-a", strings.Repeat("a", maxResponseHeader-1000))
		}, 200},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, secure bool) {
				backend := newH2Peer(t, func(p *h2Peer) {
					for {
						stream, _, ok := p.request()
						if !ok {
							return
						}
						c.say(p, stream)
					}
				})
				front := newFront(t, backend, setting{secure: secure})
				for range 3 {
					request := front.request(t, http.MethodGet, "/", nil)
					request = request.WithContext(httptrace.WithClientTrace(request.Context(), &httptrace.ClientTrace{
						Got1xxResponse: func(_ int, fields textproto.MIMEHeader) error {
							assert.Equal(t, textproto.MIMEHeader{"Link": {"</a>"}}, fields)
							return nil
						},
					}))
					response, _ := front.do(t, request)
					assert.Equal(t, c.status, response.StatusCode)
					require.Nil(t, front.state(t).Failure)
					if c.status == http.StatusNoContent {
						assert.Empty(t, response.Header["Content-Length"])
					}
				}
				assert.Equal(t, ConnectionCounts{Open: 1, Opened: 1}, front.connections.Counts())
			})
		})
	}
}

// What one stream is told may end the connection, but not the answers to others.
func TestTransport_LeavesOtherStreamsOfAnOddHTTP2BackendAlone(t *testing.T) {
	begun := make(chan struct{})
	odd := make(chan struct{})
	ends := make(chan struct{}, 10)
	backend := newH2Peer(t, func(p *h2Peer) {
		defer func() { ends <- struct{}{} }()
		var slow uint32
		for {
			stream, path, ok := p.request()
			switch {
			case !ok:
				return
			case path == "/slow":
				slow = stream
				p.head(stream, false, ":status", "200")
				_ = p.WriteData(stream, false, []byte("be"))
				close(begun)
			case path == "/odd":
				p.head(stream, true, ":status", "42")
				<-odd
				_ = p.WriteData(slow, true, []byte("gun"))
			default:
				p.answer(stream, path)
			}
		}
	})
	front := newFront(t, backend, setting{})
	slow := make(chan string, 1)
	go func() {
		_, body := front.exchangeRaw(t, "GET", "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
		slow <- body
	}()
	receive(t, begun, "request")
	response, _ := front.get(t, "/odd")
	assert.Equal(t, http.StatusBadGateway, response.StatusCode)
	_, body := front.get(t, "/own")
	assert.Equal(t, "/own", body)
	assert.Equal(t, ConnectionCounts{Open: 2, Opened: 2}, front.connections.Counts(), "the odd one gets no further request")
	close(odd)
	assert.Equal(t, "begun", receive(t, slow, "answer"))
	receive(t, ends, "end of the odd connection")
	assert.Eventually(t, func() bool { return front.connections.Counts().Open == 1 }, patience, 1e6)
}

func TestTransport_SurvivesPanicsWhereNetHTTPCallsIt(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(w http.ResponseWriter, r *http.Request) http.ResponseWriter
		want  string // empty: [http.ErrAbortHandler]
	}{
		"while an informational response is written": {func(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
			return panicWriter{w, "early"}
		}, "early"},
		"while the body is read": {func(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
			r.Body = panicBody{value: "read"}
			return w
		}, "read"},
		"while the body is read, on purpose": {func(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
			r.Body = panicBody{value: http.ErrAbortHandler}
			return w
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, secure bool) {
				caught := make(chan any, 10)
				backend := newH2Peer(t, func(p *h2Peer) {
					for {
						stream, path, ok := p.request()
						switch {
						case !ok:
							return
						case path == "/own":
							p.answer(stream, path)
						default:
							p.head(stream, false, ":status", "103")
						}
					}
				})
				front := newFront(t, backend, setting{secure: secure, around: func(next http.Handler) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if r.URL.Path == "/own" {
							next.ServeHTTP(w, r)
							return
						}
						defer func() {
							value := recover()
							caught <- value
							panic(http.ErrAbortHandler)
						}()
						next.ServeHTTP(c.spoil(w, r), r)
					})
				}})
				response, err := front.Client().Do(front.request(t, "POST", "/", strings.NewReader("body")))
				if err == nil {
					response.Body.Close()
				}
				require.Error(t, err)
				value := receive(t, caught, "panic on the handler's goroutine")
				if c.want == "" {
					assert.Equal(t, http.ErrAbortHandler, value)
				} else {
					assert.True(t, strings.HasPrefix(fmt.Sprint(value), c.want+"\n"), value)
					assert.Contains(t, fmt.Sprint(value), "h2strict_test.go", "the stack of where it happened")
				}
				_, body := front.get(t, "/own")
				assert.Equal(t, "/own", body)
			})
		})
	}
}

type panicWriter struct {
	http.ResponseWriter
	value string
}

func (w panicWriter) WriteHeader(status int) {
	if status < 200 {
		panic(w.value)
	}
	w.ResponseWriter.WriteHeader(status)
}

type panicBody struct{ value any }

func (b panicBody) Read([]byte) (int, error) { panic(b.value) }
func (panicBody) Close() error               { return nil }

func TestAttempt_InformsOfFieldsThatAreForTheClient(t *testing.T) {
	w := &early{ResponseWriter: httptest.NewRecorder()}
	a := newAttempt(&exchange{proxy: &proxy{}, w: w, r: httptest.NewRequest(http.MethodGet, "/", nil)}, nil)
	require.NoError(t, a.inform(http.StatusEarlyHints, http.Header{
		"Link": {"</a>"}, "Content-Length": {"5"}, "Connection": {"X-Named"}, "X-Named": {"1"},
	}))
	assert.Equal(t, http.Header{"Link": {"</a>"}}, w.fields)
	assert.Empty(t, w.Header())
}

// early notes the fields of an informational response.
type early struct {
	http.ResponseWriter
	fields http.Header
}

func (w *early) WriteHeader(int) { w.fields = w.Header().Clone() }
