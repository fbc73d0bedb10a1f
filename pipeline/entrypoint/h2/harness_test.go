package h2

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline/entrypoint/servertest"
)

// longest is what no test waits for unless it fails, and step how often it looks meanwhile.
const (
	longest = servertest.Patience
	step    = servertest.Step
)

// gathering is a connection below TLS as the entrypoint has one, in its simplest form.
type gathering struct {
	*net.TCPConn
	front   *front
	mu      sync.Mutex
	holding bool
	held    []byte
}

func (g *gathering) Hold() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.holding = true
}

func (g *gathering) Release() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.holding = false
	_, err := g.send(g.held)
	g.held = g.held[:0]
	return err
}

func (g *gathering) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.holding {
		g.held = append(g.held, p...)
		return len(p), nil
	}
	return g.send(p)
}

func (g *gathering) send(p []byte) (int, error) {
	g.front.sending.Lock()
	defer g.front.sending.Unlock()
	return g.TCPConn.Write(p)
}

// front is a server on a real port.
type front struct {
	*Server
	listener   *servertest.Listener
	tls        *tls.Config
	log        servertest.Logbook
	ungathered bool       // the connections below TLS are no Gatherers
	sending    sync.Mutex // held while something is written; whoever holds it has all clients look slow
}

// newFront gives a server that does not serve yet, with time-outs that no test reaches.
func newFront(t testing.TB, handler http.HandlerFunc) *front {
	f := &front{listener: servertest.Listen(t), tls: servertest.ServerTLS(t, "h2")}
	f.Server = NewServer(Options{
		Handler:           handler,
		ReadHeaderTimeout: time.Minute,
		IdleTimeout:       time.Minute,
		ProgressTimeout:   time.Minute,
		Log:               f.log.Logger(slog.LevelDebug),
	})
	f.grace = time.Minute
	t.Cleanup(func() { f.stop(t) })
	return f
}

// stop closes all, and makes sure that nothing stays of any connection.
func (f *front) stop(t testing.TB) {
	f.listener.Stop()
	assert.Empty(t, f.connections())
	f.Close()
	assert.NotContains(t, f.log.String(), "connection panicked")
}

// start serves until the test ends.
func (f *front) start() *front {
	f.listener.Serve(func(accepted net.Conn) {
		defer accepted.Close()
		below := accepted
		if !f.ungathered {
			below = &gathering{TCPConn: accepted.(*net.TCPConn), front: f}
		}
		if c := tls.Server(below, f.tls); c.Handshake() == nil {
			f.Serve(c)
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

// onNetHTTP serves a handler with net/http's server.
func onNetHTTP(t testing.TB, handler http.Handler) *front {
	f := newFront(t, nil)
	servertest.ServeNetHTTP(t, f.listener, f.tls, handler)
	return f
}

// client is net/http's, with one connection.
func (f *front) client(t testing.TB) *http.Client {
	transport := &http.Transport{TLSClientConfig: servertest.ClientTLS("h2"), ForceAttemptHTTP2: true, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport: transport, Timeout: 2 * longest,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (f *front) url(path string) string { return "https://" + f.listener.Addr().String() + path }

// ask gives the content of an answer, which is whole.
func ask(t testing.TB, client *http.Client, method, url string, content io.Reader) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, content)
	require.NoError(t, err)
	response, err := client.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, "HTTP/2.0", response.Proto)
	return response, string(read)
}

// connections are those that are served.
func (f *front) connections() []*conn {
	f.Server.mu.Lock()
	defer f.Server.mu.Unlock()
	var conns []*conn
	for c := range f.conns {
		conns = append(conns, c)
	}
	return conns
}

// only is the one connection that is served.
func (f *front) only(t testing.TB) *conn {
	t.Helper()
	var conns []*conn
	require.Eventually(t, func() bool { conns = f.connections(); return len(conns) == 1 }, longest, step)
	return conns[0]
}

// locked looks at a connection.
func locked[T any](c *conn, look func() T) T {
	c.mu.Lock()
	defer c.mu.Unlock()
	return look()
}

// requireAtRest waits until nothing is left of the requests on a connection.
func requireAtRest(t testing.TB, c *conn) {
	t.Helper()
	require.Eventually(t, func() bool {
		return locked(c, func() bool {
			return c.busy == 0 && len(c.streams) == 0 && c.outbox.state == atRest && len(c.outbox.room) == 0 && len(c.window) == 0
		})
	}, longest, step)
	c.mu.Lock()
	defer c.mu.Unlock()
	require.Zero(t, c.outbox.length(), "what a client was to get")
	require.False(t, c.outbox.again)
}

func receive[T any](t testing.TB, c <-chan T) T { t.Helper(); return servertest.Receive(t, c) }

func pattern(seed, size int) string { return servertest.Pattern(seed, size) }

func requireSame(t testing.TB, want, have string) { t.Helper(); servertest.RequireSame(t, want, have) }
