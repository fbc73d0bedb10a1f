package transport

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
)

// newEchoingBackend switches protocols and sends everything back.
func newEchoingBackend(t *testing.T) *pipeline.Backend {
	return newRawBackend(t, func(c *wire) {
		if c.head() != "" {
			c.send(upgradeAnswer)
			_, _ = io.Copy(c.Conn, c.Reader)
		}
	})
}

// newEchoingSecureBackend does so over TLS.
func newEchoingSecureBackend(t *testing.T) *pipeline.Backend {
	return newSecureBackend(t, nil, func(w http.ResponseWriter, _ *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, upgradeAnswer); err == nil {
			_, _ = io.Copy(conn, buffered.Reader)
		}
	})
}

// eachTunnel runs a test without and with TLS on both sides.
func eachTunnel(t *testing.T, test func(t *testing.T, secure bool, backend *pipeline.Backend)) {
	t.Run("plain", func(t *testing.T) { test(t, false, newEchoingBackend(t)) })
	t.Run("TLS", func(t *testing.T) { test(t, true, newEchoingSecureBackend(t)) })
}

// echo sends a message, and reads it back.
func echo(t *testing.T, c *wire, size int) {
	t.Helper()
	message := make([]byte, size)
	_, _ = rand.Read(message)
	go func() { _, _ = c.Conn.Write(message) }()
	require.True(t, bytes.Equal(message, []byte(c.exactly(size))), "%d bytes", size)
}

func TestTunnel_HoldsNoBufferWhileNothingComes(t *testing.T) {
	eachTunnel(t, func(t *testing.T, secure bool, backend *pipeline.Backend) {
		var made, gone atomic.Int64
		front := newFront(t, backend, setting{secure: secure, around: func(next http.Handler) http.Handler {
			next.(*proxy).pools.bulk.New = func() any {
				made.Add(1)
				buf := new(bulk)
				runtime.AddCleanup(buf, func(int) { gone.Add(1) }, 0)
				return buf
			}
			return next
		}})
		var tunnels []*wire
		for range 20 {
			c := front.connect(t)
			c.send(upgradeRequest)
			require.Contains(t, c.head(), "101")
			for _, size := range []int{5, 100_000, 5} {
				echo(t, c, size)
			}
			tunnels = append(tunnels, c)
		}
		require.Positive(t, made.Load())
		require.Eventually(t, func() bool {
			runtime.GC() // which takes what lies in the pool
			return gone.Load() == made.Load()
		}, patience, time.Millisecond)
		for _, c := range tunnels {
			echo(t, c, 5)
		}
	})
}

func TestTunnel_CarriesMuchAndLittleInTurn(t *testing.T) {
	eachTunnel(t, func(t *testing.T, secure bool, backend *pipeline.Backend) {
		front := newFront(t, backend, setting{secure: secure})
		c := front.connect(t)
		c.send(upgradeRequest)
		require.Contains(t, c.head(), "101")
		for _, size := range []int{1, 2, sipBuffer, sipBuffer + 1, 16 << 10, bulkBuffer, bulkBuffer + 1, 1 << 20, 3, 1} {
			echo(t, c, size)
		}
		c.Conn.Close()
		front.state(t)
	})
}

// spied is a response whose connection somebody takes over.
type spied struct {
	http.ResponseWriter
	hijacked func(*bufio.ReadWriter)
}

func (s spied) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(s.ResponseWriter).Hijack()
	if err == nil {
		s.hijacked(buffered)
	}
	return conn, buffered, err
}

func TestTunnel_KeepsNoBufferOfTheServers(t *testing.T) {
	for name, shown := range map[string]*tls.Certificate{"plain": nil, "TLS": new(certificate(t, "a", time.Now().Add(-time.Hour), time.Now().Add(time.Hour)))} {
		t.Run(name, func(t *testing.T) {
			stage, err := New(Options{Connections: newConnections(t, ConnectionOptions{})})
			require.NoError(t, err)
			handler, backend := stage(nil), newEchoingBackend(t)
			var gone atomic.Int64
			addr := serveEntrypoint(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				state, w, r := pipeline.Enter(spied{w, func(buffered *bufio.ReadWriter) {
					runtime.AddCleanup(buffered.Reader, func(int) { gone.Add(1) }, 0)
					runtime.AddCleanup(buffered.Writer, func(int) { gone.Add(1) }, 0)
				}}, r)
				state.Backend = backend
				handler.ServeHTTP(w, r)
			}), shown)
			conn, err := net.Dial("tcp", addr.String())
			require.NoError(t, err)
			if shown != nil {
				conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
			}
			defer conn.Close()
			require.NoError(t, conn.SetDeadline(time.Now().Add(2*patience)))
			c := &wire{Conn: conn, Reader: bufio.NewReader(conn)}
			c.send(upgradeRequest + "early")
			require.Contains(t, c.head(), "101")
			require.Equal(t, "early", c.exactly(5))
			require.Eventually(t, func() bool {
				runtime.GC()
				return gone.Load() == 2
			}, patience, time.Millisecond)
			echo(t, c, 5)
		})
	}
}
