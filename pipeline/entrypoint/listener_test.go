package entrypoint

import (
	"bufio"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline/entrypoint/servertest"
)

func TestServe_LetsConnectionsBeyondTheLimitWait(t *testing.T) {
	options, log := plain(protocol)
	options.MaxConnections = 2
	e := serve(t, options)
	first, second := dial(t, e), dial(t, e)
	ask(t, first, bufio.NewReader(first), get)
	ask(t, second, bufio.NewReader(second), get)
	log.Await(t, "connection limit reached")

	// The third is neither reset nor answered, and then served with what it had sent before.
	third := dial(t, e)
	_, err := third.Write([]byte(get))
	require.NoError(t, err)
	servertest.RequireSilent(t, third, 50*time.Millisecond)
	require.NoError(t, first.Close())
	_, body := answerOn(t, third, bufio.NewReader(third))
	assert.Equal(t, "HTTP/1.1", body)

	require.NoError(t, second.Close())
	require.NoError(t, third.Close())
	log.Await(t, "below the limit again")
	assert.Equal(t, 1, log.Count("connection limit reached"), log)
	assert.Equal(t, 1, log.Count("below the limit again"), log)
}

func TestServe_SaysOnceThatTheLimitHoldsHoweverManyConnectionsPass(t *testing.T) {
	options, log := plain(protocol)
	options.MaxConnections = 20
	e := serve(t, options)
	open := make([]net.Conn, 0, 21)
	for range options.MaxConnections {
		c := dial(t, e)
		ask(t, c, bufio.NewReader(c), get)
		open = append(open, c)
	}
	log.Await(t, "connection limit reached")
	for range 10 {
		require.NoError(t, open[0].Close())
		c := dial(t, e)
		ask(t, c, bufio.NewReader(c), get)
		open = append(open[1:], c)
	}
	assert.Equal(t, 1, log.Count("limit"), log)
	for _, c := range open {
		require.NoError(t, c.Close())
	}
	log.Await(t, "below the limit again")
	assert.Equal(t, 2, log.Count("limit"), log)
}

func TestServe_CountsAnUpgradedConnectionUntilItIsClosed(t *testing.T) {
	hijacked := make(chan net.Conn, 1)
	options, _ := plain(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			c, _, err := http.NewResponseController(w).Hijack()
			assert.NoError(t, err)
			hijacked <- c
		}
	})
	options.MaxConnections = 1
	e := serve(t, options)
	upgraded := dial(t, e)
	_, err := upgraded.Write([]byte("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"))
	require.NoError(t, err)
	c := receive(t, hijacked)

	next := dial(t, e)
	_, err = next.Write([]byte(get))
	require.NoError(t, err)
	servertest.RequireSilent(t, next, 50*time.Millisecond)
	require.NoError(t, c.Close())
	_ = c.Close() // a second time gives back no second place
	answerOn(t, next, bufio.NewReader(next))
	assert.Len(t, e.listener.slots, 1)
}

func TestShutdown_EndsAnAcceptThatWaitsForRoom(t *testing.T) {
	options, log := plain(protocol)
	options.MaxConnections = 1
	e := serve(t, options)
	c := dial(t, e)
	ask(t, c, bufio.NewReader(c), get)
	log.Await(t, "connection limit reached")
	require.NoError(t, e.Shutdown(within(t)))
}

// exhausted is a real listener of a process that has too many files open from time to time.
type exhausted struct {
	net.Listener
	failures atomic.Int32 // left
}

func (x *exhausted) Accept() (net.Conn, error) {
	if x.failures.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return x.Listener.Accept()
}

func TestServe_GoesOnAfterErrorsOfAcceptAndLogsTheirBeginAndEnd(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	x := &exhausted{Listener: inner}
	x.failures.Store(4)
	options, log := plain(protocol)
	e := open(options, x)
	e.listener.trouble.quiet = time.Hour // longer than any pause between the errors
	serveOpen(t, e)

	c := dial(t, e)
	_, body := ask(t, c, bufio.NewReader(c), get)
	assert.Equal(t, "HTTP/1.1", body)
	trouble := &e.listener.trouble
	trouble.mu.Lock()
	trouble.over.Reset(0) // it has been quiet for so long
	trouble.mu.Unlock()
	log.Await(t, "works again")
	assert.Equal(t, 1, log.Count("accepting connections fails"), log)
	assert.Equal(t, 1, log.Count("level=WARN msg=\"accepting connections works again\" entrypoint=http errors=4"), log)
	assert.NotContains(t, log.String(), "Accept error", "net/http logs each one")
}

func TestTrouble_WaitsLongerFromErrorToErrorUpToABound(t *testing.T) {
	log := new(servertest.Logbook)
	trouble := trouble{log: log.Logger(slog.LevelInfo), quiet: time.Hour}
	defer trouble.stop()
	var pauses []time.Duration
	for range 9 {
		pauses = append(pauses, trouble.begin(errors.New("no file left")))
	}
	assert.Equal(t, []time.Duration{5e6, 10e6, 20e6, 40e6, 80e6, 160e6, 320e6, 500e6, 500e6}, pauses)
	assert.Equal(t, 1, log.Count("no file left"))
}
