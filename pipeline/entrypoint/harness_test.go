package entrypoint

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/tricot-proxy/tricot/pipeline/entrypoint/servertest"
)

// patience is what no test waits for unless it fails.
const patience = servertest.Patience

// plain gives options for an HTTP entrypoint whose time-outs no test reaches.
func plain(handler http.HandlerFunc) (Options, *servertest.Logbook) {
	log := new(servertest.Logbook)
	return Options{
		Name:              "http",
		Addr:              "127.0.0.1:0",
		Handler:           handler,
		ReadHeaderTimeout: time.Minute,
		IdleTimeout:       time.Minute,
		HandshakeTimeout:  time.Minute,
		ProgressTimeout:   time.Minute,
		Log:               log.Logger(slog.LevelDebug),
	}, log
}

func secure(t *testing.T, handler http.HandlerFunc) (Options, *servertest.Logbook) {
	options, log := plain(handler)
	options.Name = "https"
	certificate := servertest.Certificate(t)
	options.TLS = &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate, nil },
	}
	return options, log
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
func dial(t testing.TB, e *Entrypoint) net.Conn { t.Helper(); return servertest.Dial(t, e.Addr()) }

// handshake opens a TLS connection that speaks the protocol, "h2" or "http/1.1".
func handshake(t *testing.T, e *Entrypoint, protocol string) *tls.Conn {
	t.Helper()
	return servertest.Handshake(t, dial(t, e), servertest.ClientTLS(protocol))
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

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func receive[T any](t testing.TB, c <-chan T) T { t.Helper(); return servertest.Receive(t, c) }
