package transport

import (
	"bytes"
	"crypto/rand"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
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

func TestTunnel_HoldsNoLargeBufferForSmallMessages(t *testing.T) {
	const tunnels = 20
	var made atomic.Int64
	front := newFront(t, newEchoingBackend(t), setting{secure: true, around: func(next http.Handler) http.Handler {
		pool := &next.(*proxy).pools.bulk
		before := pool.New
		pool.New = func() any { made.Add(1); return before() }
		return next
	}})
	for range tunnels {
		c := front.connect(t)
		c.send(upgradeRequest)
		require.Contains(t, c.head(), "101")
		for _, message := range []string{"hello", string(make([]byte, sipBuffer-1))} {
			c.send(message)
			require.Equal(t, message, c.exactly(len(message)))
		}
	}
	assert.Zero(t, made.Load())
}

func TestTunnel_CarriesMuchAndLittleInTurn(t *testing.T) {
	for _, secure := range []bool{false, true} {
		front := newFront(t, newEchoingBackend(t), setting{secure: secure})
		c := front.connect(t)
		c.send(upgradeRequest)
		require.Contains(t, c.head(), "101")
		for _, size := range []int{1, sipBuffer, sipBuffer + 1, 1 << 20, 3} {
			message := make([]byte, size)
			_, _ = rand.Read(message)
			go func() { _, _ = c.Conn.Write(message) }()
			require.True(t, bytes.Equal(message, []byte(c.exactly(size))), "%d bytes", size)
			<-time.After(3 * haste) // long enough for a large buffer to be given back
		}
		c.Conn.Close()
		front.state(t)
	}
}

func TestTunnel_GivesTheLargeBufferBackWhenNothingComes(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	far, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	defer far.Close()
	from, err := listener.Accept()
	require.NoError(t, err)
	defer from.Close()
	_, err = far.Write(make([]byte, bulkBuffer+1))
	require.NoError(t, err)

	x := &exchange{proxy: &proxy{pools: newPools()}}
	var to bytes.Buffer
	given := make(chan error, 1)
	go func() {
		var err error
		for to.Len() < bulkBuffer+1 && err == nil { // it may take longer than that until all is there
			_, err = x.copyMuch(&to, from)
		}
		given <- err
	}()
	require.NoError(t, receive(t, given, "end, though the connection goes on"))

	_, err = far.Write([]byte("x"))
	require.NoError(t, err)
	n, err := from.Read(make([]byte, 2))
	assert.NoError(t, err, "no deadline is left")
	assert.Equal(t, 1, n)
}
