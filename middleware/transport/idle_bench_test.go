package transport

import (
	"bufio"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
	"github.com/tricot-proxy/tricot/pipeline/entrypoint"
)

// BenchmarkUpgrade_KeepsIdleConnections says what an upgraded connection costs on which both sides have said something
// and nothing is said now, in memory that the garbage collector has seen. Of client and backend there are only sockets in
// it, and a goroutine of the backend's.
//
//	go test -run '^$' -bench KeepsIdle -benchtime 1x ./middleware/transport
func BenchmarkUpgrade_KeepsIdleConnections(b *testing.B) {
	for _, front := range []struct {
		name  string
		serve func(b testing.TB, handler http.Handler, certificate *tls.Certificate) net.Addr
	}{{"entrypoint", serveEntrypoint}, {"net-http", serveNetHTTP}} {
		b.Run(front.name+"/plain", func(b *testing.B) {
			keepIdle(b, false, func(handler http.Handler) net.Addr { return front.serve(b, handler, nil) })
		})
		b.Run(front.name+"/TLS", func(b *testing.B) {
			keepIdle(b, true, func(handler http.Handler) net.Addr {
				shown := certificate(b, "a", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
				return front.serve(b, handler, &shown)
			})
		})
	}
}

func keepIdle(b *testing.B, secure bool, serve func(http.Handler) net.Addr) {
	const connections = 500
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	b.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go echoUpgraded(conn)
		}
	}()
	stage, err := New(Options{})
	require.NoError(b, err)
	handler, backend := stage(nil), &pipeline.Backend{Scheme: pipeline.HTTP, Address: listener.Addr().String()}
	addr := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		state, w, r := pipeline.Enter(w, r)
		state.Backend = backend
		handler.ServeHTTP(w, r)
	})).String()
	var total uint64
	for b.Loop() {
		before := memory()
		sockets := make([]net.Conn, connections)
		for i := range sockets {
			sockets[i], err = net.Dial("tcp", addr)
			require.NoError(b, err)
			c := sockets[i]
			if secure {
				c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
			}
			_, err = io.WriteString(c, upgradeRequest)
			require.NoError(b, err)
			reader := bufio.NewReader(c)
			_, err = http.ReadResponse(reader, nil)
			require.NoError(b, err)
			_, err = io.WriteString(c, "hello")
			require.NoError(b, err)
			_, err = io.ReadFull(reader, make([]byte, 5))
			require.NoError(b, err)
		}
		total += memory() - before
		for _, socket := range sockets {
			_ = socket.Close()
		}
	}
	b.ReportMetric(float64(total)/float64(b.N)/connections, "bytes/connection")
}

func serveEntrypoint(b testing.TB, handler http.Handler, certificate *tls.Certificate) net.Addr {
	options := entrypoint.Options{
		Name: "http", Addr: "127.0.0.1:0", Handler: handler,
		ReadHeaderTimeout: time.Minute, IdleTimeout: time.Minute, HandshakeTimeout: time.Minute, ProgressTimeout: time.Minute,
		Log: slog.New(slog.DiscardHandler),
	}
	if certificate != nil {
		options.TLS = &tls.Config{Certificates: []tls.Certificate{*certificate}}
	}
	e, err := entrypoint.Listen(options)
	require.NoError(b, err)
	go func() { _ = e.Serve() }()
	b.Cleanup(func() { _ = e.Close() })
	return e.Addr()
}

func serveNetHTTP(b testing.TB, handler http.Handler, certificate *tls.Certificate) net.Addr {
	server := httptest.NewUnstartedServer(handler)
	if certificate == nil {
		server.Start()
	} else {
		server.TLS = &tls.Config{Certificates: []tls.Certificate{*certificate}}
		server.StartTLS()
	}
	b.Cleanup(server.Close)
	return server.Listener.Addr()
}

// echoUpgraded switches protocols, sends back the first five bytes, and waits for the end.
func echoUpgraded(conn net.Conn) {
	defer conn.Close()
	message := make([]byte, len(upgradeRequest)+1024)
	if _, err := conn.Read(message); err != nil {
		return
	}
	_, _ = io.WriteString(conn, upgradeAnswer)
	if n, err := io.ReadFull(conn, message[:5]); err == nil {
		_, _ = conn.Write(message[:n])
		_, _ = conn.Read(message[:1])
	}
}

func memory() uint64 {
	runtime.GC()
	runtime.GC() // what pools hold survives one
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc + stats.StackInuse
}
