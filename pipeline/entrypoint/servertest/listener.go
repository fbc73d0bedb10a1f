package servertest

import (
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A Listener is a port of a server that is tested, with the connections that were accepted on it. It may be used by many
// goroutines at once.
type Listener struct {
	net.Listener
	serving sync.WaitGroup

	mu      sync.Mutex
	open    []net.Conn
	stopped bool
}

// Listen opens a port on the loopback interface, which is stopped when the test ends.
func Listen(t testing.TB) *Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &Listener{Listener: listener}
	t.Cleanup(l.Stop)
	return l
}

// Serve has each connection served by a goroutine of its own until the listener is stopped. It does not wait for that, and
// closes no connection that was served: its server does, or who took it over.
func (l *Listener) Serve(serve func(net.Conn)) {
	l.serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			l.serving.Go(func() {
				l.keep(c)
				serve(c)
			})
		}
	})
}

func (l *Listener) keep(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = append(l.open, c)
	if l.stopped {
		_ = c.Close()
	}
}

// Cut closes all connections, as a shutdown does that waits no longer.
func (l *Listener) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.open {
		_ = c.Close()
	}
}

// Stop closes the port and all connections, and waits until nobody serves one any more.
func (l *Listener) Stop() {
	_ = l.Close()
	l.mu.Lock()
	l.stopped = true
	l.mu.Unlock()
	l.Cut()
	l.serving.Wait()
}

// Dial opens a connection that is closed when the test ends.
func Dial(t testing.TB, to net.Addr) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", to.String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// RequireSilent makes sure that a connection stays open for a while, with nothing coming on it. What is read from it after
// that has the time of [Patience].
func RequireSilent(t testing.TB, c net.Conn, d time.Duration) {
	t.Helper()
	require.NoError(t, c.SetReadDeadline(time.Now().Add(d)))
	n, err := c.Read(make([]byte, 1))
	require.Zero(t, n, "something came")
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(Patience)))
}
