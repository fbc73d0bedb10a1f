package h1

import (
	"bufio"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline/entrypoint/servertest"
)

// patience is what no test waits for unless it fails.
const patience = servertest.Patience

// switches are the Turns of all connections of a test.
type switches struct{ refuseBegin, refuseEnd, last atomic.Bool }

func (s *switches) Begin() bool { return !s.refuseBegin.Load() }
func (s *switches) End() bool   { return !s.refuseEnd.Load() }
func (s *switches) Last() bool  { return s.last.Load() }

// front is a server on a real port.
type front struct {
	*Server
	switches
	listener *servertest.Listener
	tls      *tls.Config // nil: plain
	log      servertest.Logbook
}

// newFront gives a server that does not serve yet, with time-outs that no test reaches.
func newFront(t testing.TB, handler http.HandlerFunc) *front {
	f := &front{listener: servertest.Listen(t)}
	f.Server = NewServer(Options{
		Handler:           handler,
		ReadHeaderTimeout: time.Minute,
		IdleTimeout:       time.Minute,
		ProgressTimeout:   time.Minute,
		Log:               f.log.Logger(slog.LevelDebug),
	})
	f.linger = time.Minute
	return f
}

// start serves until the test ends.
func (f *front) start() *front {
	f.listener.Serve(func(accepted net.Conn) {
		if f.tls == nil {
			f.Serve(accepted, &f.switches)
			return
		}
		c := tls.Server(accepted, f.tls)
		if c.Handshake() == nil {
			f.Serve(c, &f.switches)
		}
	})
	return f
}

// serve gives a server that serves, with what the settings change in it before.
func serve(t testing.TB, handler http.HandlerFunc, settings ...func(*front)) *front {
	f := newFront(t, handler)
	for _, set := range settings {
		set(f)
	}
	return f.start()
}

// serving is serve, or the same with TLS.
type serving func(t testing.TB, handler http.HandlerFunc, settings ...func(*front)) *front

// overBoth runs a test without and with TLS.
func overBoth(t *testing.T, test func(t *testing.T, serve serving)) {
	t.Run("plain", func(t *testing.T) { test(t, serve) })
	t.Run("TLS", func(t *testing.T) {
		test(t, func(t testing.TB, handler http.HandlerFunc, settings ...func(*front)) *front {
			return serve(t, handler, append(settings, func(f *front) { f.tls = servertest.ServerTLS(t) })...)
		})
	})
}

// dial opens a connection that is closed when the test ends.
func (f *front) dial(t testing.TB) net.Conn { return dial(t, f.listener.Addr(), f.tls != nil) }

func dial(t testing.TB, to net.Addr, secure bool) net.Conn {
	t.Helper()
	c := servertest.Dial(t, to)
	if secure {
		c = servertest.Handshake(t, c, servertest.ClientTLS())
	}
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	return c
}

// talk sends all of text on a new connection and gives all that comes until the server closes it. The client says that it
// sends no more only after that.
func (f *front) talk(t testing.TB, text string) string {
	t.Helper()
	c := f.dial(t)
	write(t, c, text)
	return readAll(t, c)
}

func write(t testing.TB, c net.Conn, text string) {
	t.Helper()
	_, err := io.WriteString(c, text)
	require.NoError(t, err)
}

func readAll(t testing.TB, c net.Conn) string {
	t.Helper()
	answer, err := io.ReadAll(c)
	require.NoError(t, err)
	return undated(string(answer))
}

// readN reads so many bytes.
func readN(t testing.TB, c net.Conn, n int) string {
	t.Helper()
	p := make([]byte, n)
	_, err := io.ReadFull(c, p)
	require.NoError(t, err)
	return string(p)
}

// expect reads what has to come next.
func expect(t testing.TB, c net.Conn, want string) {
	t.Helper()
	require.Equal(t, want, readN(t, c, len(want)))
}

// undated takes the Date fields off.
func undated(answer string) string {
	lines := strings.SplitAfter(answer, "\r\n")
	kept := lines[:0]
	for _, line := range lines {
		if !strings.HasPrefix(line, "Date: ") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// answer reads one response whole.
func answer(t testing.TB, r *bufio.Reader, method string) (*http.Response, string) {
	t.Helper()
	response, err := http.ReadResponse(r, &http.Request{Method: method})
	require.NoError(t, err)
	content, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response, string(content)
}

func receive[T any](t testing.TB, c <-chan T) T { t.Helper(); return servertest.Receive(t, c) }
