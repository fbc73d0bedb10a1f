package entrypoint

import (
	"bufio"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline/entrypoint/servertest"
)

// BenchmarkServe_KeepsIdleConnections says what a connection costs that has had a request and waits for the next one, in
// memory that the garbage collector has seen. Of the client there is only its socket in it.
func BenchmarkServe_KeepsIdleConnections(b *testing.B) {
	const connections = 500
	for name, secure := range map[string]bool{"plain": false, "TLS": true} {
		b.Run(name, func(b *testing.B) {
			options, _ := plain(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1024)) })
			options.Log = slog.New(slog.DiscardHandler)
			if secure {
				certificate := servertest.Certificate(b)
				options.TLS = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate, nil }}
			}
			e, err := Listen(options)
			require.NoError(b, err)
			go func() { _ = e.Serve() }()
			defer e.Close()
			var total uint64
			for b.Loop() {
				before := memory()
				sockets := make([]net.Conn, connections)
				for i := range sockets {
					sockets[i], err = net.Dial("tcp", e.Addr().String())
					require.NoError(b, err)
					c := sockets[i]
					if secure {
						c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
					}
					_, err = io.WriteString(c, get)
					require.NoError(b, err)
					response, err := http.ReadResponse(bufio.NewReader(c), nil)
					require.NoError(b, err)
					_, err = io.Copy(io.Discard, response.Body)
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

func memory() uint64 {
	runtime.GC()
	runtime.GC() // what pools hold survives one
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc + stats.StackInuse
}
