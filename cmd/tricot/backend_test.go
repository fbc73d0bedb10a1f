package main_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

// A backend is a real server that a service leads to.
type backend struct{ address string }

// serve starts a backend that speaks HTTP.
func serve(t *testing.T, handler http.HandlerFunc) backend {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return backend{server.Listener.Addr().String()}
}

// naming starts a backend that answers everything with a name.
func naming(t *testing.T, name string) backend {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) })
}

// refusing gives a backend that nobody listens for, nor can until the test ends: its address is one end of a connection.
func refusing(t *testing.T) backend {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	own := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}}
	conn, err := own.DialContext(t.Context(), "tcp", listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return backend{conn.LocalAddr().String()}
}

// dying starts a backend that answers each request with these bytes and then closes the connection.
func dying(t *testing.T, head string, body []byte) backend {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		_, _ = buffered.WriteString(head)
		_, _ = buffered.Write(body)
		_ = buffered.Flush()
	})
}

// service makes the entry of the services file.
func (b backend) service(t *testing.T, name string, tags ...string) service {
	t.Helper()
	host, _, err := net.SplitHostPort(b.address)
	require.NoError(t, err)
	return service{Name: name, Address: host, Port: portOf(t, b.address), Tags: tags}
}

// echo answers line by line while the request is still coming.
func echo(w http.ResponseWriter, r *http.Request) {
	client := http.NewResponseController(w)
	_ = client.EnableFullDuplex() // HTTP/2 always is
	w.WriteHeader(http.StatusOK)
	_ = client.Flush()
	lines := bufio.NewReader(r.Body)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		fmt.Fprintf(w, "echo %s", line)
		_ = client.Flush()
	}
}
