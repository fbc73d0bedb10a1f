package transport

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
)

const (
	upgradeRequest = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: chat/2, chat/1\r\n\r\n"
	upgradeAnswer  = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat/1\r\nDate: x\r\nX-Own: 1\r\n\r\n"
)

func TestTransport_CarriesWebSockets(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
		if err != nil {
			return
		}
		defer conn.CloseNow()
		conn.SetReadLimit(1 << 20)
		for {
			kind, message, err := conn.Read(r.Context())
			if err != nil {
				return
			}
			_ = conn.Write(r.Context(), kind, message)
		}
	}
	for _, c := range []struct {
		name    string
		secure  bool
		backend func(t *testing.T) *pipeline.Backend
	}{
		{"in the clear", false, func(t *testing.T) *pipeline.Backend { return newBackend(t, echo) }},
		{"over TLS to an HTTP backend", true, func(t *testing.T) *pipeline.Backend { return newBackend(t, echo) }},
		{"over TLS to a backend that prefers HTTP/2", true, func(t *testing.T) *pipeline.Backend { return newSecureBackend(t, nil, echo) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			front := newFront(t, c.backend(t), setting{secure: c.secure})
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
			conn, response, err := websocket.Dial(t.Context(), front.URL, &websocket.DialOptions{HTTPClient: client})
			require.NoError(t, err)
			defer conn.CloseNow()
			assert.Equal(t, http.StatusSwitchingProtocols, response.StatusCode)
			conn.SetReadLimit(1 << 20)
			for _, message := range []string{"a", strings.Repeat("large ", 100000)} {
				require.NoError(t, conn.Write(t.Context(), websocket.MessageText, []byte(message)))
				_, got, err := conn.Read(t.Context())
				require.NoError(t, err)
				assert.Equal(t, message, string(got))
			}
			require.NoError(t, conn.Close(websocket.StatusNormalClosure, "bye"))
			state := front.state(t)
			assert.Equal(t, http.StatusSwitchingProtocols, state.Status)
			assert.Greater(t, state.Bytes, int64(600000))
			assert.Nil(t, state.Failure)
			assert.False(t, state.Answered.IsZero())
		})
	}
}

func TestTransport_UpgradesToWhatTheBackendPicked(t *testing.T) {
	backend := newRawBackend(t, func(c *wire) {
		head := c.head()
		if head == "" {
			return
		}
		assert.Contains(t, head, "Connection: Upgrade\r\n")
		assert.Contains(t, head, "Upgrade: chat/2, chat/1\r\n")
		c.send(upgradeAnswer + "early from the backend")
		assert.Equal(t, "early from the client", c.exactly(21))
		c.send("late")
		assert.Equal(t, "last", c.rest()) // the client's half ends
		c.send("later")
	})
	for _, secure := range []bool{false, true} {
		front := newFront(t, backend, setting{secure: secure})
		c := front.connect(t)
		c.send(upgradeRequest + "early from the client")
		head := c.head()
		assert.True(t, strings.HasPrefix(head, "HTTP/1.1 101 Switching Protocols\r\n"), head)
		assert.Equal(t, 1, strings.Count(head, "Date: "), head)
		for _, line := range []string{"Connection: Upgrade\r\n", "Upgrade: chat/1\r\n", "X-Own: 1\r\n"} {
			assert.Contains(t, head, line)
		}
		assert.NotContains(t, head, "Content-")
		assert.NotContains(t, head, "Transfer-")
		assert.Equal(t, "early from the backendlate", c.exactly(26))
		c.send("last")
		require.NoError(t, c.Conn.(interface{ CloseWrite() error }).CloseWrite())
		assert.Equal(t, "later", c.rest())
		state := front.state(t)
		assert.Equal(t, http.StatusSwitchingProtocols, state.Status)
		assert.EqualValues(t, 31, state.Bytes)
	}
}

func TestTransport_EndsAnUpgradeWithEitherSide(t *testing.T) {
	begin := func(t *testing.T, speak func(*wire), around func(http.Handler) http.Handler) (*front, *wire) {
		front := newFront(t, newRawBackend(t, func(c *wire) {
			if c.head() != "" {
				c.send(upgradeAnswer)
				speak(c)
			}
		}), setting{around: around})
		c := front.connect(t)
		c.send(upgradeRequest)
		require.Contains(t, c.head(), "101")
		return front, c
	}
	t.Run("the backend ends", func(t *testing.T) {
		front, c := begin(t, func(*wire) {}, nil)
		assert.Empty(t, c.rest())
		c.Conn.Close()
		front.state(t)
	})
	t.Run("the client vanishes", func(t *testing.T) {
		gone := make(chan struct{})
		front, c := begin(t, func(c *wire) { c.rest(); close(gone) }, nil)
		require.NoError(t, c.Conn.(*net.TCPConn).SetLinger(0))
		c.Conn.Close()
		receive(t, gone, "end at the backend")
		front.state(t)
	})
	t.Run("the request's context ends", func(t *testing.T) {
		end := make(chan context.CancelFunc, 1)
		gone := make(chan struct{})
		front, c := begin(t, func(c *wire) { c.rest(); close(gone) }, func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				ctx, cancel := context.WithCancel(r.Context())
				end <- cancel
				next.ServeHTTP(w, r.WithContext(ctx))
			})
		})
		receive(t, end, "request")()
		receive(t, gone, "end at the backend")
		assert.Empty(t, c.rest())
		front.state(t)
	})
}

// overdue gives connections whose deadlines have passed.
type overdue struct{ http.ResponseWriter }

func (o overdue) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(o.ResponseWriter).Hijack()
	if err == nil {
		err = conn.SetDeadline(time.Unix(1, 0))
	}
	return conn, buffered, err
}

func TestTransport_OutlivesTheServersTimeouts(t *testing.T) {
	front := newFront(t, newEchoingBackend(t), setting{around: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(overdue{w}, r) })
	}})
	c := front.connect(t)
	c.send(upgradeRequest)
	require.Contains(t, c.head(), "101")
	c.send("late")
	assert.Equal(t, "late", c.exactly(4))
}

func TestTransport_RefusesAnUpgradeThatWasNotAskedFor(t *testing.T) {
	for _, c := range []struct{ name, request, answer string }{
		{"not at all", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", upgradeAnswer},
		{"another protocol", upgradeRequest, strings.Replace(upgradeAnswer, "chat/1", "chat/3", 1)},
		{"one more protocol", upgradeRequest, strings.Replace(upgradeAnswer, "chat/1", "chat/1, chat/3", 1)},
		{"no protocol", upgradeRequest, "HTTP/1.1 101 Switching Protocols\r\n\r\n"},
		{"no connection option", upgradeRequest, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: chat/1\r\n\r\n"},
		{"h2c only", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", strings.Replace(upgradeAnswer, "chat/1", "h2c", 1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			front := newFront(t, answering(t, c.answer), setting{})
			response, _ := front.exchangeRaw(t, "GET", c.request)
			assert.Equal(t, http.StatusBadGateway, response.StatusCode)
			state := front.state(t)
			require.NotNil(t, state.Failure)
			assert.True(t, state.Answered.IsZero())
			assert.Contains(t, front.log.String(), "the backend switches ")
		})
	}
}

func TestTransport_GivesTheAnswerOfABackendThatDoesNotUpgrade(t *testing.T) {
	front := newFront(t, answering(t, "HTTP/1.1 426 Upgrade Required\r\nUpgrade: chat/9\r\nContent-Length: 2\r\n\r\nno"), setting{})
	response, body := front.exchangeRaw(t, "GET", upgradeRequest)
	assert.Equal(t, http.StatusUpgradeRequired, response.StatusCode)
	assert.Equal(t, "no", body)
}

func TestUpgradeOf_PassesOnWhatCanBe(t *testing.T) {
	for _, c := range []struct{ name, request, want string }{
		{"asked for", "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", "websocket"},
		{"several", "GET / HTTP/1.1\r\nHost: a\r\nConnection: x, UPGRADE\r\nUpgrade: a, H2C ,b/2\r\nUpgrade: c\r\n\r\n", "a, b/2, c"},
		{"no option", "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", ""},
		{"HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", ""},
		{"with a body", "POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\nx", ""},
		{"with a chunked body", "POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ""},
		{"h2c only", "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(c.request)))
			require.NoError(t, err)
			assert.Equal(t, c.want, upgradeOf(r))
		})
	}
}

func TestTransport_SaysSoWhereTheClientsConnectionCannotBeTakenOver(t *testing.T) {
	stage, err := New(Options{})
	require.NoError(t, err)
	r := httptest.NewRequest("GET", "/", nil)
	r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"chat/1"}}
	state, w, r := pipeline.Enter(httptest.NewRecorder(), r)
	state.Backend = answering(t, upgradeAnswer)
	assert.PanicsWithValue(t, http.ErrAbortHandler, func() { stage(nil).ServeHTTP(w, r) })
	require.NotNil(t, state.Failure)
	assert.ErrorContains(t, state.Failure.Err, "take over")
}
