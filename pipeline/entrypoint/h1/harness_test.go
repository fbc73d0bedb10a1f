package h1

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience is what no test waits for unless it fails.
const patience = 30 * time.Second

// logged is what a server wrote to its log.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// switches are the Turns of all connections of a test.
type switches struct{ refuseBegin, refuseEnd, last atomic.Bool }

func (s *switches) Begin() bool { return !s.refuseBegin.Load() }
func (s *switches) End() bool   { return !s.refuseEnd.Load() }
func (s *switches) Last() bool  { return s.last.Load() }

// front is a server on a real port.
type front struct {
	*Server
	switches
	listener net.Listener
	tls      *tls.Config // nil: plain
	log      *logged
	serving  sync.WaitGroup
	mu       sync.Mutex
	open     map[net.Conn]bool
}

// newFront gives a server that does not serve yet, with time-outs that no test reaches.
func newFront(t testing.TB, handler http.HandlerFunc) *front {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	f := &front{listener: listener, log: new(logged), open: make(map[net.Conn]bool)}
	f.Server = NewServer(Options{
		Handler:           handler,
		ReadHeaderTimeout: time.Minute,
		IdleTimeout:       time.Minute,
		ProgressTimeout:   time.Minute,
		Log:               slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	f.linger = time.Minute
	t.Cleanup(func() {
		_ = f.listener.Close()
		f.mu.Lock()
		for c := range f.open {
			_ = c.Close()
		}
		f.mu.Unlock()
		f.serving.Wait()
	})
	return f
}

// start serves until the test ends.
func (f *front) start() *front {
	f.serving.Go(func() {
		for {
			accepted, err := f.listener.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.open[accepted] = true
			f.mu.Unlock()
			f.serving.Go(func() {
				if f.tls == nil {
					f.Serve(accepted, &f.switches)
					return
				}
				c := tls.Server(accepted, f.tls)
				if c.Handshake() == nil {
					f.Serve(c, &f.switches)
				}
			})
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
			return serve(t, handler, append(settings, func(f *front) { f.tls = selfSigned(t) })...)
		})
	})
}

// dial opens a connection that is closed when the test ends.
func (f *front) dial(t testing.TB) net.Conn { return dial(t, f.listener.Addr(), f.tls != nil) }

func dial(t testing.TB, to net.Addr, secure bool) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", to.String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	if !secure {
		return c
	}
	client := tlsClient(c)
	require.NoError(t, client.Handshake())
	return client
}

func tlsClient(c net.Conn) *tls.Conn { return tls.Client(c, &tls.Config{InsecureSkipVerify: true}) }

func selfSigned(t testing.TB) *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"app.example.com"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	return &tls.Config{
		Certificates:                []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		DynamicRecordSizingDisabled: true,
	}
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

func receive[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		require.FailNow(t, "nothing came")
		panic("unreachable")
	}
}
