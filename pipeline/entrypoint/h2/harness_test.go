package h2

import (
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
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// longest is what no test waits for unless it fails, and step how often it looks meanwhile.
const (
	longest = 30 * time.Second
	step    = time.Millisecond
)

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
	listener   net.Listener
	tls        *tls.Config
	log        *logged
	serving    sync.WaitGroup
	ungathered bool       // the connections below TLS are no Gatherers
	sending    sync.Mutex // held while something is written; whoever holds it has all clients look slow

	mu     sync.Mutex
	open   map[net.Conn]bool
	closed bool
}

// newFront gives a server that does not serve yet, with time-outs that no test reaches.
func newFront(t testing.TB, handler http.HandlerFunc) *front {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	f := &front{listener: listener, tls: selfSigned(t), log: new(logged), open: make(map[net.Conn]bool)}
	f.Server = NewServer(Options{
		Handler:           handler,
		ReadHeaderTimeout: time.Minute,
		IdleTimeout:       time.Minute,
		ProgressTimeout:   time.Minute,
		Log:               slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	f.grace = time.Minute
	t.Cleanup(func() { f.stop(t) })
	return f
}

// stop closes all, and makes sure that nothing stays of any connection.
func (f *front) stop(t testing.TB) {
	_ = f.listener.Close()
	f.mu.Lock()
	f.closed = true
	for c := range f.open {
		_ = c.Close()
	}
	f.mu.Unlock()
	f.serving.Wait()
	f.Server.mu.Lock()
	assert.Empty(t, f.conns)
	f.Server.mu.Unlock()
	f.Close()
	assert.NotContains(t, f.log.String(), "connection panicked")
}

// start serves until the test ends.
func (f *front) start() *front {
	f.serving.Go(func() {
		for {
			accepted, err := f.listener.Accept()
			if err != nil {
				return
			}
			f.serving.Go(func() { f.serveConn(accepted) })
		}
	})
	return f
}

func (f *front) serveConn(accepted net.Conn) {
	f.mu.Lock()
	if f.closed {
		_ = accepted.Close()
	}
	f.open[accepted] = true
	f.mu.Unlock()
	defer func() {
		_ = accepted.Close()
		f.mu.Lock()
		delete(f.open, accepted)
		f.mu.Unlock()
	}()
	below := accepted
	if !f.ungathered {
		below = &gathering{TCPConn: accepted.(*net.TCPConn), front: f}
	}
	if c := tls.Server(below, f.tls); c.Handshake() == nil {
		f.Serve(c)
	}
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
	peer := &http.Server{
		Handler: handler, TLSConfig: f.tls.Clone(), DisableGeneralOptionsHandler: true,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = peer.ServeTLS(f.listener, "", "")
	}()
	t.Cleanup(func() {
		_ = peer.Close()
		<-served
	})
	return f
}

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
		NextProtos:                  []string{"h2"},
		DynamicRecordSizingDisabled: true,
	}
}

func clientTLS() *tls.Config {
	return &tls.Config{ServerName: "app.example.com", InsecureSkipVerify: true, NextProtos: []string{"h2"}}
}

// client is net/http's, with one connection.
func (f *front) client(t testing.TB) *http.Client {
	transport := &http.Transport{TLSClientConfig: clientTLS(), ForceAttemptHTTP2: true, DisableCompression: true}
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

func receive[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(longest):
		require.FailNow(t, "nothing came")
		panic("unreachable")
	}
}

// pattern is content of which every piece tells where it belongs, so that what is lost, doubled, or another's is seen.
func pattern(seed, size int) string {
	random := make([]byte, 500)
	for i, x := 0, uint32(seed)*2654435761+1; i < len(random); i++ {
		x = x*1664525 + 1013904223
		random[i] = byte(x >> 24)
	}
	var b strings.Builder
	b.Grow(size + 2*len(random))
	for b.Len() < size {
		b.WriteString(strconv.Itoa(b.Len()))
		b.Write(random)
	}
	return b.String()[:size]
}

// requireSame compares long contents.
func requireSame(t testing.TB, want, have string) {
	t.Helper()
	if want == have {
		return
	}
	at := 0
	for at < min(len(want), len(have)) && want[at] == have[at] {
		at++
	}
	require.FailNow(t, "the content differs", "%d bytes for %d, from %d on", len(have), len(want), at)
}
