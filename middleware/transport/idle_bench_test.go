package transport

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
)

// BenchmarkUpgrade_KeepsIdleConnections says what an upgraded connection costs on which both sides have said something
// and nothing is said now, in memory that the garbage collector has seen. Of client and backend there are only sockets in
// it, and a goroutine each; net/http's server is.
//
//	go test -run '^$' -bench KeepsIdle -benchtime 1x ./middleware/transport
func BenchmarkUpgrade_KeepsIdleConnections(b *testing.B) {
	const connections = 500
	for name, secure := range map[string]bool{"plain": false, "TLS": true} {
		b.Run(name, func(b *testing.B) {
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
			handler := stage(nil)
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				state, w, r := pipeline.Enter(w, r)
				state.Backend = &pipeline.Backend{Scheme: pipeline.HTTP, Address: listener.Addr().String()}
				handler.ServeHTTP(w, r)
			}))
			if secure {
				server.StartTLS()
			} else {
				server.Start()
			}
			b.Cleanup(server.Close)
			var total uint64
			for b.Loop() {
				before := memory()
				sockets := make([]net.Conn, connections)
				for i := range sockets {
					sockets[i], err = net.Dial("tcp", server.Listener.Addr().String())
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
		})
	}
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
