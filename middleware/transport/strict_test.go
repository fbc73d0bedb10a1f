package transport

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
)

func TestTransport_RefusesAnswersThatCanBeReadInTwoWays(t *testing.T) {
	const begin = "HTTP/1.1 200 OK\r\n"
	for _, c := range []struct{ name, answer, cause string }{
		{"HTTP/2.0", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", "status line"},
		{"HTTP/0.9", "HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n", "status line"},
		{"no version", "HTTP 200 OK\r\nContent-Length: 0\r\n\r\n", "status line"},
		{"an empty line first", "\r\n" + begin + "Content-Length: 0\r\n\r\n", "status line"},
		{"a status of two digits", "HTTP/1.1 20\r\nContent-Length: 0\r\n\r\n", "status line"},
		{"a status of four digits", "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", "status line"},
		{"a status below 100", "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n", "below 100"},
		{"two spaces", "HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n", "status line"},
		{"a control character in the reason", "HTTP/1.1 200 O\x00K\r\nContent-Length: 0\r\n\r\n", "reason"},
		{"two lengths", begin + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", "more than one Content-Length"},
		{"the same length twice", begin + "Content-Length: 1\r\nContent-Length: 1\r\n\r\na", "more than one Content-Length"},
		{"three lengths", begin + "Content-Length: 1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", "more than one Content-Length"},
		{"a list of lengths", begin + "Content-Length: 1, 1\r\n\r\na", "no number"},
		{"a negative length", begin + "Content-Length: -1\r\n\r\n", "no number"},
		{"both length and coding", begin + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "both"},
		{"another coding", begin + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "Transfer-Encoding"},
		{"two codings", begin + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "Transfer-Encoding"},
		{"a coding in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.0"},
		{"a space before the colon", begin + "Content-Length : 0\r\n\r\n", "white space"},
		{"an obsolete fold", begin + "A: b\r\n c\r\nContent-Length: 0\r\n\r\n", "white space"},
		{"a bare LF", begin + "A: b\nContent-Length: 0\r\n\r\n", "LF"},
		{"bare LFs", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "LF"},
		{"a bare CR", begin + "A: b\rB: c\r\nContent-Length: 0\r\n\r\n", "control character"},
		{"a NUL in a value", begin + "A: secret\x00\r\nContent-Length: 0\r\n\r\n", "control character"},
		{"a name that is none", begin + "A(: b\r\nContent-Length: 0\r\n\r\n", "name of a field"},
		{"no colon", begin + "Content-Length\r\n\r\n", "colon"},
		{"too many fields", begin + strings.Repeat("A: b\r\n", 2000) + "\r\n", "header is longer"},
		{"headers without end", begin + strings.Repeat("A: "+strings.Repeat("b", 1000)+"\r\n", 100), "header is longer"},
		{"an informational one that is malformed", "HTTP/1.1 103 Early\r\nA : b\r\n\r\n" + begin + "Content-Length: 0\r\n\r\n", "white space"},
	} {
		t.Run(c.name, func(t *testing.T) {
			front := newFront(t, answering(t, c.answer), setting{})
			response, body := front.get(t, "/")
			assert.Equal(t, http.StatusBadGateway, response.StatusCode)
			assert.Equal(t, "502 bad gateway: the backend gave no valid answer\n", body)
			state := front.state(t)
			require.NotNil(t, state.Failure)
			assert.ErrorContains(t, state.Failure.Err, c.cause)
			assert.False(t, state.Failure.Repeatable, "the backend had the request")
			assert.Contains(t, front.log.String(), "level=WARN")
			assert.NotContains(t, front.log.String(), "secret")
			assert.Zero(t, front.connections.Counts().Open)
		})
	}
}

func TestTransport_GivesNobodyWhatABackendSaysBeyondItsAnswer(t *testing.T) {
	const poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
	for _, c := range []struct{ name, method, answer, content string }{
		{"after a length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok"},
		{"after chunks", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "ok"},
		{"after a length of 0", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""},
		{"in the answer to HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", ""},
		{"in a 204", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok", ""},
		{"in a 304", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nok", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, later := range []bool{false, true} {
				told := make(chan struct{}, 100)
				front := newFront(t, newRawBackend(t, func(w *wire) {
					if w.head() == "" {
						return
					}
					if later {
						w.send(c.answer)
						<-told
						w.send(poison)
					} else {
						w.send(c.answer + poison)
					}
					w.rest() // until it is closed
				}), setting{})
				for range 5 {
					response, body := front.do(t, front.request(t, c.method, "/", nil))
					if later {
						told <- struct{}{}
						// The first two bytes that are there at the latest when the other side sees the connection closed.
						s := front.connections.shelf(key{scheme: pipeline.HTTP, address: front.backend.Address})
						require.Eventually(t, func() bool {
							s.mu.Lock()
							defer s.mu.Unlock()
							return len(s.idle) == 0 || !s.idle[0].clean()
						}, patience, time.Millisecond)
					}
					assert.NotContains(t, body, "poison")
					assert.Equal(t, c.content, body)
					assert.NotEqual(t, http.StatusBadGateway, response.StatusCode)
				}
				assert.EqualValues(t, 5, front.connections.Counts().Opened, "none may be used again")
				assert.Zero(t, front.connections.Counts().Reused)
			}
		})
	}
}

func TestTransport_SaysHowLongContentIsOnlyWhereThereMayBeSome(t *testing.T) {
	front := newFront(t, answering(t, "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\nX-Own: 1\r\n\r\n"), setting{})
	response, _ := front.exchangeRaw(t, "GET", "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	assert.Equal(t, http.StatusNoContent, response.StatusCode)
	assert.NotContains(t, response.Header, "Content-Length")
	assert.Equal(t, "1", response.Header.Get("X-Own"))
}

func TestTransport_SendsNothingThatWouldBecomeAnotherRequest(t *testing.T) {
	stage, err := New(Options{})
	require.NoError(t, err)
	asked := make(chan string, 10)
	backend := newRawBackend(t, func(c *wire) {
		if head := c.head(); head != "" {
			asked <- head
			c.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		}
	})
	request := func(change func(r *http.Request)) (*pipeline.State, *recorded) {
		r := incoming(0)
		change(r)
		w := newRecorded()
		state, w2, r2 := pipeline.Enter(w, r)
		state.Backend = backend
		stage(nil).ServeHTTP(w2, r2)
		return state, w
	}
	for name, change := range map[string]func(r *http.Request){
		"a space in the target":       func(r *http.Request) { r.RequestURI = "/ HTTP/1.1\r\nX: y\r\n\r\nGET /b" },
		"a line break in the host":    func(r *http.Request) { r.Host = "a\r\nX: y" },
		"a space in the method":       func(r *http.Request) { r.Method = "GET / HTTP/1.1" },
		"a control character as such": func(r *http.Request) { r.RequestURI = "/\x00" },
	} {
		state, w := request(change)
		assert.Equal(t, http.StatusBadRequest, w.status, name)
		require.NotNil(t, state.Failure, name)
	}
	_, w := request(func(r *http.Request) {
		r.Header["X-Own"] = []string{"a\r\nX-Smuggled: 1\r\n\r\nGET / HTTP/1.1"}
		r.Header["X-Bad: 1\r\nX-Smuggled"] = []string{"1"}
	})
	assert.Equal(t, http.StatusOK, w.status)
	head := receive(t, asked, "request")
	assert.NotContains(t, head, "\nX-Smuggled")
	assert.NotContains(t, head, "X-Bad")
	assert.Empty(t, asked)
}
