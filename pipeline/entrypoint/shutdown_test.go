package entrypoint

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
)

// gate is a handler that says when a request has come and answers when it is let through.
type gate struct {
	came chan struct{}
	open chan struct{}
}

func newGate() *gate { return &gate{came: make(chan struct{}, 16), open: make(chan struct{})} }

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.came <- struct{}{}
	select {
	case <-g.open:
		fmt.Fprint(w, "done")
	case <-r.Context().Done():
	}
}

// shutdown starts a shutdown and returns when the port is closed and the connections to clients know.
func shutdown(t *testing.T, e *Entrypoint, ctx context.Context) <-chan error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- e.Shutdown(ctx) }()
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", e.Addr().String())
		if err == nil {
			_ = c.Close()
		}
		return err != nil && e.listener.draining.Load()
	}, patience, time.Millisecond, "the port is closed, and answers are the last ones")
	return done
}

func requirePending(t *testing.T, done <-chan error) {
	t.Helper()
	select {
	case err := <-done:
		require.FailNow(t, "the shutdown did not wait", "%v", err)
	default:
	}
}

func TestShutdown_LetsAnHTTP1RequestFinishAndClosesIdleConnections(t *testing.T) {
	g := newGate()
	options, _ := secure(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			g.ServeHTTP(w, r)
		}
	})
	e := serve(t, options)
	idle := handshake(t, e, "http/1.1")
	ask(t, idle, bufio.NewReader(idle), get)
	busy := handshake(t, e, "http/1.1")
	_, err := io.WriteString(busy, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
	require.NoError(t, err)
	receive(t, g.came)

	done := shutdown(t, e, within(t))
	requireClosed(t, idle)
	requirePending(t, done)
	close(g.open)
	response, body := answerOn(t, busy, bufio.NewReader(busy))
	assert.Equal(t, "done", body)
	assert.True(t, response.Close, "Connection: close")
	requireClosed(t, busy)
	assert.NoError(t, receive(t, done))
}

func TestShutdown_LetsHTTP2StreamsFinishAndSendsGOAWAY(t *testing.T) {
	g := newGate()
	options, _ := secure(t, g.ServeHTTP)
	e := serve(t, options)
	c := handshake(t, e, "h2")
	framer := openHTTP2(t, c)
	require.NoError(t, framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: 1, BlockFragment: headBlock(t, 0), EndStream: true, EndHeaders: true,
	}))
	receive(t, g.came)
	done := shutdown(t, e, within(t))

	require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
	var lasts []uint32
	var body string
	for {
		frame, err := framer.ReadFrame()
		require.NoError(t, err)
		switch frame := frame.(type) {
		case *http2.GoAwayFrame:
			assert.Equal(t, http2.ErrCodeNo, frame.ErrCode)
			if lasts = append(lasts, frame.LastStreamID); len(lasts) == 1 {
				// What the client sends before it knows is served as well.
				require.NoError(t, framer.WriteHeaders(http2.HeadersFrameParam{
					StreamID: 3, BlockFragment: headBlock(t, 0), EndStream: true, EndHeaders: true,
				}))
				receive(t, g.came)
			} else {
				requirePending(t, done)
				close(g.open)
			}
		case *http2.PingFrame:
			require.NoError(t, framer.WritePing(true, frame.Data))
		case *http2.DataFrame:
			body += string(frame.Data())
		}
		if body == "donedone" {
			break
		}
	}
	assert.Equal(t, []uint32{1<<31 - 1, 3}, lasts, "GOAWAY comes before the answers, and twice")
	require.NoError(t, c.Close())
	assert.NoError(t, receive(t, done))
}

func echo(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	for {
		kind, message, err := c.Read(context.WithoutCancel(r.Context()))
		if err != nil || c.Write(context.WithoutCancel(r.Context()), kind, message) != nil {
			return
		}
	}
}

func dialWebSocket(t *testing.T, e *Entrypoint) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.Dial(within(t), url(e), &websocket.DialOptions{HTTPClient: client(t, false)})
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.CloseNow() })
	return c
}

func TestShutdown_WaitsForAWebSocketToEnd(t *testing.T) {
	options, _ := secure(t, echo)
	e := serve(t, options)
	c := dialWebSocket(t, e)
	done := shutdown(t, e, within(t))
	for _, message := range []string{"still", "here"} {
		require.NoError(t, c.Write(within(t), websocket.MessageText, []byte(message)))
		_, answer, err := c.Read(within(t))
		require.NoError(t, err)
		assert.Equal(t, message, string(answer))
	}
	requirePending(t, done)
	require.NoError(t, c.Close(websocket.StatusNormalClosure, ""))
	assert.NoError(t, receive(t, done))
}

func TestShutdown_CutsOffWhatIsLeftWhenItsTimeIsOverAndSaysHowMany(t *testing.T) {
	g := newGate()
	options, _ := secure(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			echo(w, r)
			return
		}
		g.ServeHTTP(w, r)
	})
	e := serve(t, options)
	failed := make(chan error, 2)
	for _, http2 := range []bool{false, true} {
		go func() {
			response, err := client(t, http2).Get(url(e))
			if err == nil {
				_ = response.Body.Close()
			}
			failed <- err
		}()
		receive(t, g.came)
	}
	c := dialWebSocket(t, e)

	ctx, cancel := context.WithCancel(within(t))
	done := shutdown(t, e, ctx)
	requirePending(t, done)
	cancel()
	err := receive(t, done)
	assert.EqualError(t, err, "https: 3 requests were cut off")
	assert.Equal(t, 3, errorAs[*CutOffError](t, err).Requests)
	assert.Error(t, receive(t, failed))
	assert.Error(t, receive(t, failed))
	_, _, err = c.Read(within(t))
	assert.Error(t, err)
	assert.Zero(t, e.requests.inFlight(), "the handlers had time to end")
}

func errorAs[E error](t *testing.T, err error) E {
	t.Helper()
	var e E
	require.True(t, errors.As(err, &e), "%v", err)
	return e
}

func TestClose_EndsAShutdownThatWaits(t *testing.T) {
	g := newGate()
	options, _ := plain(g.ServeHTTP)
	e := serve(t, options)
	c := dial(t, e)
	_, err := io.WriteString(c, get)
	require.NoError(t, err)
	receive(t, g.came)
	done := shutdown(t, e, within(t))
	assert.EqualError(t, e.Close(), "http: 1 request was cut off")
	assert.EqualError(t, receive(t, done), "http: 1 request was cut off")
	requireClosed(t, c)
}

func TestClose_DoesNotWaitForAHandler(t *testing.T) {
	came, stuck := make(chan struct{}), make(chan struct{})
	defer close(stuck)
	options, _ := plain(func(http.ResponseWriter, *http.Request) {
		close(came)
		<-stuck
	})
	e := serve(t, options)
	c := dial(t, e)
	_, err := io.WriteString(c, get)
	require.NoError(t, err)
	receive(t, came)
	assert.Error(t, e.Close())
	requireClosed(t, c)
}

func TestShutdown_ClosesConnectionsWithoutARequestAtOnce(t *testing.T) {
	options, _ := secure(t, protocol)
	e := serve(t, options)
	silent, greeted := dial(t, e), handshake(t, e, "http/1.1")
	half := handshake(t, e, "http/1.1")
	_, err := io.WriteString(half, "GET / HT")
	require.NoError(t, err)
	require.NoError(t, e.Shutdown(within(t)))
	for _, c := range []net.Conn{silent, greeted, half} {
		requireClosed(t, c)
	}
}

func TestShutdown_ReturnsAtOnceWhereNothingWasEverServed(t *testing.T) {
	options, _ := plain(protocol)
	e, err := Listen(options)
	require.NoError(t, err)
	require.NoError(t, e.Shutdown(within(t)))
	_, err = net.Dial("tcp", e.Addr().String())
	assert.Error(t, err, "the port is closed")
	require.NoError(t, e.Shutdown(within(t)), "a second one changes nothing")
}
