package entrypoint

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// patience is what no test waits for unless it fails.
const patience = 30 * time.Second

// logged is what an entrypoint wrote to its log.
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

// count gives the number of lines that contain s.
func (l *logged) count(s string) int {
	n := 0
	for line := range strings.Lines(l.String()) {
		if strings.Contains(line, s) {
			n++
		}
	}
	return n
}

func (l *logged) eventually(t *testing.T, s string) {
	t.Helper()
	require.Eventually(t, func() bool { return l.count(s) > 0 }, patience, time.Millisecond, "log: %s", s)
}

// plain gives options for an HTTP entrypoint whose time-outs no test reaches.
func plain(handler http.HandlerFunc) (Options, *logged) {
	log := new(logged)
	return Options{
		Name:              "http",
		Addr:              "127.0.0.1:0",
		Handler:           handler,
		ReadHeaderTimeout: time.Minute,
		IdleTimeout:       time.Minute,
		HandshakeTimeout:  time.Minute,
		ProgressTimeout:   time.Minute,
		Log:               slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}, log
}

func secure(t *testing.T, handler http.HandlerFunc) (Options, *logged) {
	options, log := plain(handler)
	options.Name = "https"
	certificate := selfSigned(t)
	options.TLS = &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate, nil },
	}
	return options, log
}

func selfSigned(t testing.TB) *tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{"app.example.com"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// serve runs an entrypoint until the test ends.
func serve(t *testing.T, options Options) *Entrypoint {
	t.Helper()
	e, err := Listen(options)
	require.NoError(t, err)
	return serveOpen(t, e)
}

func serveOpen(t *testing.T, e *Entrypoint) *Entrypoint {
	served := make(chan error, 1)
	go func() { served <- e.Serve() }()
	t.Cleanup(func() {
		_ = e.Close()
		assert.NoError(t, <-served)
	})
	return e
}

// dial opens a connection that is closed when the test ends.
func dial(t testing.TB, e *Entrypoint) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", e.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// handshake opens a TLS connection that speaks the protocol, "h2" or "http/1.1".
func handshake(t *testing.T, e *Entrypoint, protocol string) *tls.Conn {
	t.Helper()
	c := tls.Client(dial(t, e), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}})
	require.NoError(t, c.Handshake())
	require.Equal(t, protocol, c.ConnectionState().NegotiatedProtocol)
	return c
}

// client gives a client that accepts any certificate and speaks one protocol.
func client(t *testing.T, http2 bool) *http.Client {
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		Protocols:       new(http.Protocols),
	}
	transport.Protocols.SetHTTP1(!http2)
	transport.Protocols.SetHTTP2(http2)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

func url(e *Entrypoint) string {
	if e.listener.tls != nil {
		return "https://" + e.Addr().String() + "/"
	}
	return "http://" + e.Addr().String() + "/"
}

// openHTTP2 sends the client's preface.
func openHTTP2(t *testing.T, c io.ReadWriter) *http2.Framer {
	t.Helper()
	_, err := io.WriteString(c, http2.ClientPreface)
	require.NoError(t, err)
	framer := http2.NewFramer(c, c)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	require.NoError(t, framer.WriteSettings())
	return framer
}

// headBlock is the head of a GET with so many headers of a kilobyte.
func headBlock(t *testing.T, headers int) []byte {
	t.Helper()
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	fields := [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "app.example.com"}, {":path", "/"}}
	for i := range headers {
		fields = append(fields, [2]string{fmt.Sprint("x-long-", i), strings.Repeat("x", 1<<10)})
	}
	for _, field := range fields {
		require.NoError(t, encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}))
	}
	return block.Bytes()
}

const get = "GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n"

// ask sends one request on a connection and reads its answer whole.
func ask(t *testing.T, c net.Conn, r *bufio.Reader, request string) (*http.Response, string) {
	t.Helper()
	_, err := io.WriteString(c, request)
	require.NoError(t, err)
	return answerOn(t, c, r)
}

func answerOn(t *testing.T, c net.Conn, r *bufio.Reader) (*http.Response, string) {
	t.Helper()
	require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
	response, err := http.ReadResponse(r, nil)
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response, string(body)
}

// requireClosed waits until the other side has closed the connection.
func requireClosed(t *testing.T, c net.Conn) {
	t.Helper()
	require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
	_, err := io.Copy(io.Discard, c)
	if timeout, ok := err.(net.Error); ok {
		require.False(t, timeout.Timeout(), "the connection is still open")
	}
}

// requireSilent makes sure that the connection is open and nothing comes on it for a while.
func requireSilent(t *testing.T, c net.Conn, d time.Duration) {
	t.Helper()
	require.NoError(t, c.SetReadDeadline(time.Now().Add(d)))
	n, err := c.Read(make([]byte, 1))
	require.Zero(t, n)
	timeout, ok := err.(net.Error)
	require.True(t, ok && timeout.Timeout(), "%v", err)
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		require.FailNow(t, "nothing came")
		panic("unreachable")
	}
}
