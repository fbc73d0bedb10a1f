package transport

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
)

// BenchmarkTunnel sends messages through an upgraded connection to a backend that sends them back.
func BenchmarkTunnel(b *testing.B) {
	shown := certificate(b, "a", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	for _, c := range []struct {
		name  string
		shown *tls.Certificate
		size  int
	}{{"plain, 64 B", nil, 64}, {"plain, 1 MiB", nil, 1 << 20}, {"TLS, 64 B", &shown, 64}, {"TLS, 1 MiB", &shown, 1 << 20}} {
		b.Run(c.name, func(b *testing.B) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(b, err)
			b.Cleanup(func() { listener.Close() })
			go echoAll(listener)
			stage, err := New(Options{})
			require.NoError(b, err)
			handler, backend := stage(nil), &pipeline.Backend{Scheme: pipeline.HTTP, Address: listener.Addr().String()}
			addr := serveEntrypoint(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				state, w, r := pipeline.Enter(w, r)
				state.Backend = backend
				handler.ServeHTTP(w, r)
			}), c.shown)
			conn, err := net.Dial("tcp", addr.String())
			require.NoError(b, err)
			defer conn.Close()
			if c.shown != nil {
				conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
			}
			_, err = io.WriteString(conn, upgradeRequest)
			require.NoError(b, err)
			reader := bufio.NewReader(conn)
			_, err = http.ReadResponse(reader, nil)
			require.NoError(b, err)
			message, back := make([]byte, c.size), make([]byte, c.size)
			b.SetBytes(int64(c.size))
			b.ReportAllocs()
			for b.Loop() {
				go func() { _, _ = conn.Write(message) }()
				if _, err := io.ReadFull(reader, back); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// echoAll switches protocols on one connection, and sends back all that comes.
func echoAll(listener net.Listener) {
	conn, err := listener.Accept()
	if err != nil {
		return
	}
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 4<<10)); err == nil {
		_, _ = io.WriteString(conn, upgradeAnswer)
		_, _ = io.Copy(struct{ io.Writer }{conn}, struct{ io.Reader }{conn})
	}
}
