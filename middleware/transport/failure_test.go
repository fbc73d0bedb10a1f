package transport

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
)

func TestTransport_AnswersForABackendThatDoesNot(t *testing.T) {
	silent := func(c *wire) { _, _ = io.Copy(io.Discard, c) }
	secure := func(b *pipeline.Backend) *pipeline.Backend { b.Scheme = pipeline.HTTPS; return b }
	for _, c := range []struct {
		name       string
		backend    func(t *testing.T) *pipeline.Backend
		status     int
		repeatable bool // of a GET
		cause      string
	}{
		{"refuses", refusing, 502, true, "connection refused"},
		{"refuses TLS", func(t *testing.T) *pipeline.Backend { return secure(refusing(t)) }, 502, true, "connection refused"},
		{"has no address", func(*testing.T) *pipeline.Backend {
			return &pipeline.Backend{Scheme: pipeline.HTTP, Address: "127.0.0.1:99999"}
		}, 502, true, "invalid port"},
		{"is not connected in time", func(t *testing.T) *pipeline.Backend { return secure(newRawBackend(t, silent)) }, 504, true, "TLS handshake"},
		{"speaks no TLS", func(t *testing.T) *pipeline.Backend {
			return secure(newRawBackend(t, func(c *wire) { c.send(ok("")) }))
		}, 502, true, "TLS handshake"},
		{"does not answer in time", func(t *testing.T) *pipeline.Backend { return newRawBackend(t, silent) }, 504, true, "timeout"},
		{"closes before the head", func(t *testing.T) *pipeline.Backend { return answering(t, "") }, 502, true, "EOF"},
		{"closes in the middle of the head", func(t *testing.T) *pipeline.Backend { return answering(t, "HTTP/1.1 200 OK\r\nA: b") }, 502, false, "EOF"},
		{"talks nonsense", func(t *testing.T) *pipeline.Backend { return answering(t, "220 mail.example ESMTP\r\n\r\n") }, 502, false, "malformed"},
		{"has two lengths", func(t *testing.T) *pipeline.Backend {
			return answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab")
		}, 502, false, "Content-Length"},
		{"has no end of headers", func(t *testing.T) *pipeline.Backend {
			return answering(t, "HTTP/1.1 200 OK\r\nA: "+strings.Repeat("x", maxResponseHeader)+"\r\n\r\n")
		}, 502, false, "header"},
	} {
		t.Run(c.name, func(t *testing.T) {
			backend := c.backend(t)
			options := Options{ConnectTimeout: patience, ResponseHeaderTimeout: patience}
			if c.status == http.StatusGatewayTimeout {
				options = Options{ConnectTimeout: 200 * time.Millisecond, ResponseHeaderTimeout: 200 * time.Millisecond}
			}
			t.Run("for the client", func(t *testing.T) {
				front := newFront(t, backend, setting{options: options})
				response, body := front.get(t, "/path?secret")
				assert.Equal(t, c.status, response.StatusCode)
				assert.Equal(t, "text/plain; charset=utf-8", response.Header.Get("Content-Type"))
				assert.Less(t, len(body), 100)
				assert.NotContains(t, body, backend.Address, "is nobody's business")
				state := front.state(t)
				require.NotNil(t, state.Failure)
				assert.Equal(t, c.status, state.Failure.Status)
				assert.Equal(t, c.repeatable, state.Failure.Repeatable)
				assert.True(t, state.Answered.IsZero())
				log := front.log.String()
				assert.Equal(t, 1, strings.Count(log, "\n"), log)
				for _, part := range []string{"level=WARN", backend.String(), c.cause, "path=/path\n"} {
					assert.Contains(t, log, part)
				}
				assert.NotContains(t, log, "secret")
			})
			t.Run("for balance", func(t *testing.T) {
				front := newFront(t, backend, setting{options: options, state: func(s *pipeline.State) { s.MayRetry = true }})
				response, body := front.get(t, "/")
				state := front.state(t)
				require.NotNil(t, state.Failure)
				if !c.repeatable {
					assert.Equal(t, c.status, response.StatusCode)
					return
				}
				assert.Equal(t, http.StatusOK, response.StatusCode, "nothing was written, so the server says this")
				assert.Empty(t, body)
				assert.Zero(t, state.Status)
				assert.Empty(t, front.log.String())
			})
		})
	}
}

func TestTransport_LeavesOnlyWhatIsSafeToRepeat(t *testing.T) {
	gone := answering(t, "")
	refuses := refusing(t)
	interim := answering(t, "HTTP/1.1 103 Early Hints\r\n\r\n")
	for _, c := range []struct {
		name, method, body string
		backend            *pipeline.Backend
		want, unsent       bool
	}{
		{"nothing sent", "GET", "", refuses, true, true},
		{"nothing sent of a POST", "POST", "", refuses, true, true},
		{"nothing sent of a POST with a body", "POST", "body", refuses, true, true},
		{"nothing sent over HTTP/2", "POST", "", &pipeline.Backend{Scheme: pipeline.H2C, Address: refuses.Address}, true, true},
		{"nothing sent over TLS", "POST", "", &pipeline.Backend{Scheme: pipeline.HTTPS, Address: refuses.Address}, true, true},
		{"sent a GET", "GET", "", gone, true, false},
		{"sent a HEAD", "HEAD", "", gone, true, false},
		{"sent a PUT without a body", "PUT", "", gone, true, false},
		{"sent a DELETE", "DELETE", "", gone, true, false},
		{"sent a GET with a short body", "GET", "body", gone, true, false},
		{"sent a PUT with a short body", "PUT", "body", gone, true, false},
		{"sent a PUT with a long body", "PUT", strings.Repeat("x", maxHeld+1), gone, false, false},
		{"sent a POST", "POST", "", gone, false, false},
		{"sent a POST with a short body", "POST", "body", gone, false, false},
		{"sent a PATCH", "PATCH", "", gone, false, false},
		{"got an informational response", "GET", "", interim, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			front := newFront(t, c.backend, setting{state: func(s *pipeline.State) { s.MayRetry = true }})
			var body io.Reader
			if c.body != "" {
				body = strings.NewReader(c.body)
			}
			response, _ := front.do(t, front.request(t, c.method, "/", body))
			state := front.state(t)
			require.NotNil(t, state.Failure)
			assert.Equal(t, c.want, state.Failure.Repeatable)
			assert.Equal(t, c.unsent, state.Failure.Unsent)
			assert.Equal(t, c.want, response.StatusCode == http.StatusOK)
		})
	}
}

func TestTransport_ServesAnotherTryWithTheWholeBody(t *testing.T) {
	live := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, string(body)+" "+r.Header.Get("X-Forwarded-For"))
	})
	front := newFront(t, refusing(t), setting{around: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			state := pipeline.StateOf(r)
			state.MayRetry = true
			next.ServeHTTP(w, r)
			assert.True(t, state.Failure.Repeatable)
			state.MayRetry, state.Backend = false, live
			next.ServeHTTP(w, r)
			assert.Nil(t, state.Failure)
		})
	}})
	request := front.request(t, "POST", "/", strings.NewReader("body"))
	request.Header.Set("Expect", "100-continue")
	_, body := front.do(t, request)
	assert.Equal(t, "body 127.0.0.1", body)
	_, body = front.do(t, front.request(t, "POST", "/", io.MultiReader(strings.NewReader("body"))))
	assert.Equal(t, "body 127.0.0.1", body)
}

func TestTransport_SaysSoWhereNoBackendWasPicked(t *testing.T) {
	front := newFront(t, nil, setting{})
	response, body := front.get(t, "/")
	assert.Equal(t, http.StatusBadGateway, response.StatusCode)
	assert.Contains(t, body, "502")
	assert.Contains(t, front.log.String(), "no backend was picked")

	stage, err := New(Options{})
	require.NoError(t, err)
	recorder := httptest.NewRecorder()
	stage(nil).ServeHTTP(recorder, httptest.NewRequest("GET", "/", nil))
	assert.Equal(t, http.StatusBadGateway, recorder.Code)
}

func TestTransport_BlamesTheClientForItsBody(t *testing.T) {
	patient := func(t *testing.T) *pipeline.Backend {
		return newBackend(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	}
	limit := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, 10)
			next.ServeHTTP(w, r)
		})
	}
	hurry := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			next.ServeHTTP(w, r)
		})
	}
	for _, c := range []struct {
		name, request string
		around        func(http.Handler) http.Handler
		status        int
	}{
		{"a chunk without a length", "Transfer-Encoding: chunked\r\n\r\nzz\r\n", nil, 400},
		{"too large", "Transfer-Encoding: chunked\r\n\r\nff\r\n" + strings.Repeat("x", 255) + "\r\n", limit, 413},
		{"too slow", "Content-Length: 10\r\n\r\nxx", hurry, 408},
	} {
		t.Run(c.name, func(t *testing.T) {
			front := newFront(t, patient(t), setting{around: c.around})
			response, _ := front.exchangeRaw(t, "POST", "POST / HTTP/1.1\r\nHost: a\r\n"+c.request)
			assert.Equal(t, c.status, response.StatusCode)
			assert.True(t, response.Close)
			state := front.state(t)
			require.NotNil(t, state.Failure)
			assert.Equal(t, c.status, state.Failure.Status)
			assert.False(t, state.Failure.Repeatable)
			assert.NotContains(t, front.log.String(), "level=WARN")
		})
	}
	t.Run("cut short", func(t *testing.T) {
		front := newFront(t, patient(t), setting{})
		c := front.connect(t)
		c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nxx")
		require.NoError(t, c.Conn.(*net.TCPConn).CloseWrite())
		assert.Empty(t, c.rest())
		state := front.state(t)
		require.NotNil(t, state.Failure)
		assert.Equal(t, pipeline.StatusClientLeft, state.Failure.Status)
	})
}

func TestNew_RefusesWhatMakesNoSense(t *testing.T) {
	for name, options := range map[string]Options{
		"ConnectTimeout":        {ConnectTimeout: -1},
		"ResponseHeaderTimeout": {ResponseHeaderTimeout: -1},
		"ContinueTimeout":       {ContinueTimeout: -1},
		"IdleTimeout":           {IdleTimeout: -1},
		"MaxIdlePerBackend":     {MaxIdlePerBackend: -1},
		"TrustedProxies":        {TrustedProxies: []netip.Prefix{{}}},
	} {
		_, err := New(options)
		assert.ErrorContains(t, err, name)
	}
}

func TestTransport_KnowsThatABackendGotARequestBeforeItWasGone(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		c := &wire{Conn: conn, Reader: bufio.NewReader(conn)}
		c.head()
		c.send(ok("first"))
		c.head()
		_ = listener.Close() // the second try finds nobody
	}()
	backend := &pipeline.Backend{Scheme: pipeline.HTTP, Address: listener.Addr().String()}
	front := newFront(t, backend, setting{state: func(s *pipeline.State) { s.MayRetry = true }})
	front.get(t, "/")
	front.state(t)
	front.get(t, "/")
	failure := front.state(t).Failure
	require.NotNil(t, failure)
	assert.True(t, failure.Repeatable)
	assert.False(t, failure.Unsent, "it got the request on the connection that was open")
}
