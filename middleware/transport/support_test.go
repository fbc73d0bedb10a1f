package transport

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
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
)

const patience = 30 * time.Second

// front is a server with the stage in it, in front of one backend.
type front struct {
	*httptest.Server
	states      chan pipeline.State // of each request, when it is over
	backend     *pipeline.Backend
	connections *Connections // to it
	log         *lines
}

type setting struct {
	options Options
	state   func(*pipeline.State)           // changes what balance would have set
	around  func(http.Handler) http.Handler // stands before the stage
	server  func(*httptest.Server)          // changes the server before it starts
	secure  bool                            // TLS, HTTP/2 where the client would like it
}

func newFront(t *testing.T, backend *pipeline.Backend, set setting) *front {
	t.Helper()
	f := &front{backend: backend, states: make(chan pipeline.State, 100), log: &lines{}}
	set.options.Log = slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if set.options.Connections == nil {
		var err error
		set.options.Connections, err = NewConnections(ConnectionOptions{
			ConnectTimeout: set.options.ConnectTimeout, IdleTimeout: set.options.IdleTimeout,
			MaxIdlePerBackend: set.options.MaxIdlePerBackend,
		})
		require.NoError(t, err)
	}
	f.connections = set.options.Connections
	t.Cleanup(f.connections.Close)
	stage, err := New(set.options)
	require.NoError(t, err)
	handler := stage(nil)
	handler.(*proxy).limits.leaving = patience
	if set.around != nil {
		handler = set.around(handler)
	}
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		state, w, r := pipeline.Enter(w, r)
		state.Backend = backend
		if set.state != nil {
			set.state(state)
		}
		defer func() { f.states <- *state }()
		handler.ServeHTTP(w, r)
	}))
	f.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	if set.server != nil {
		set.server(f.Server)
	}
	if set.secure {
		f.EnableHTTP2 = true
		f.StartTLS()
	} else {
		f.Start()
	}
	t.Cleanup(f.Close)
	return f
}

func (f *front) state(t *testing.T) pipeline.State {
	t.Helper()
	return receive(t, f.states, "the end of the request")
}

func receive[T any](t *testing.T, from <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		require.FailNow(t, "no "+what)
		panic("unreachable")
	}
}

// lines is a log that several goroutines write to.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// newBackend is one that net/http serves.
func newBackend(t *testing.T, handler http.HandlerFunc) *pipeline.Backend {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return &pipeline.Backend{Scheme: pipeline.HTTP, Address: server.Listener.Addr().String()}
}

// newSecureBackend is one that speaks HTTP/2 as well as HTTP/1.1 over TLS.
func newSecureBackend(t *testing.T, configure func(*httptest.Server), handler http.HandlerFunc) *pipeline.Backend {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = true
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	if configure != nil {
		configure(server)
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	return &pipeline.Backend{Scheme: pipeline.HTTPS, Address: server.Listener.Addr().String()}
}

// newRawBackend runs speak on each connection, closes it, and waits for all of them at the end of the test.
func newRawBackend(t *testing.T, speak func(c *wire)) *pipeline.Backend {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(patience))
				speak(&wire{Conn: conn, Reader: bufio.NewReader(conn)})
			})
		}
	})
	t.Cleanup(all.Wait)
	t.Cleanup(func() { listener.Close() })
	return &pipeline.Backend{Scheme: pipeline.HTTP, Address: listener.Addr().String()}
}

// answering is a raw backend that reads a request's head and sends the same bytes each time, on a connection of its own.
func answering(t *testing.T, answer string) *pipeline.Backend {
	return newRawBackend(t, func(c *wire) {
		if c.head() != "" {
			c.send(answer)
			c.end()
		}
	})
}

// wire is one end of a connection on which bytes matter.
type wire struct {
	net.Conn
	*bufio.Reader
}

func (c *wire) Read(p []byte) (int, error) { return c.Reader.Read(p) }

func (c *wire) send(format string) { _, _ = io.WriteString(c.Conn, format) }

// head reads up to an empty line; "" where the other side goes before.
func (c *wire) head() string {
	var b strings.Builder
	for {
		line, err := c.ReadString('\n')
		if err != nil {
			return ""
		}
		if line == "\r\n" {
			return b.String()
		}
		b.WriteString(line)
	}
}

func (c *wire) rest() string {
	all, _ := io.ReadAll(c.Reader)
	return string(all)
}

// end says that nothing more will come, and reads what does: closing before that would take back what has been sent.
func (c *wire) end() {
	_ = c.Conn.(interface{ CloseWrite() error }).CloseWrite()
	c.rest()
}

// exactly reads n bytes.
func (c *wire) exactly(n int) string {
	p := make([]byte, n)
	n, _ = io.ReadFull(c.Reader, p)
	return string(p[:n])
}

// connect makes a raw connection to the front.
func (f *front) connect(t *testing.T) *wire {
	t.Helper()
	var conn net.Conn
	var err error
	if f.TLS != nil {
		conn, err = tls.Dial("tcp", f.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	} else {
		conn, err = net.Dial("tcp", f.Listener.Addr().String())
	}
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	return &wire{Conn: conn, Reader: bufio.NewReader(conn)}
}

// exchangeRaw sends bytes and reads the response to a request with the method.
func (f *front) exchangeRaw(t *testing.T, method, request string) (*http.Response, string) {
	t.Helper()
	c := f.connect(t)
	c.send(request)
	response, err := http.ReadResponse(c.Reader, &http.Request{Method: method})
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response, string(body)
}

// get asks for a path as an ordinary client does.
func (f *front) get(t *testing.T, path string) (*http.Response, string) {
	t.Helper()
	return f.do(t, f.request(t, http.MethodGet, path, nil))
}

func (f *front) request(t *testing.T, method, path string, body io.Reader) *http.Request {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, method, f.URL+path, body)
	require.NoError(t, err)
	return request
}

func (f *front) do(t *testing.T, request *http.Request) (*http.Response, string) {
	t.Helper()
	response, err := f.Client().Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response, string(body)
}

func ok(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// refusing is the address of nobody.
func refusing(t *testing.T) *pipeline.Backend {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	return &pipeline.Backend{Scheme: pipeline.HTTP, Address: listener.Addr().String()}
}

// each runs a test over HTTP/1.1 and over HTTP/2 in front.
func each(t *testing.T, test func(t *testing.T, secure bool)) {
	t.Run("HTTP/1.1", func(t *testing.T) { test(t, false) })
	t.Run("HTTP/2", func(t *testing.T) { test(t, true) })
}
