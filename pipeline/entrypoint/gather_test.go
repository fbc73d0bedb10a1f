package entrypoint

import (
	"bytes"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline/entrypoint/h1"
	"github.com/tricot-proxy/tricot/pipeline/entrypoint/servertest"
)

var _ h1.Gatherer = (*conn)(nil)

// accepted gives both ends of a connection.
func accepted(t *testing.T) (*conn, net.Conn) {
	options, _ := plain(protocol)
	e, err := Listen(options)
	require.NoError(t, err)
	client := dial(t, e)
	c := e.listener.accept()
	require.NotNil(t, c)
	t.Cleanup(func() { _ = e.Close() })
	return c, client
}

func TestConn_SendsWhatItHoldsBackWhenItIsReleased(t *testing.T) {
	c, client := accepted(t)
	c.Hold()
	for _, piece := range []string{"one ", "two ", "three"} {
		n, err := c.Write([]byte(piece))
		require.NoError(t, err)
		assert.Equal(t, len(piece), n)
	}
	servertest.RequireSilent(t, client, 20*time.Millisecond)
	require.NoError(t, c.Release())
	_, err := c.Write([]byte(" four"))
	require.NoError(t, err)
	require.NoError(t, c.Release(), "nothing waits")
	assert.Equal(t, "one two three four", read(t, client, len("one two three four")))
}

func read(t *testing.T, c net.Conn, n int) string {
	t.Helper()
	require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
	var text bytes.Buffer
	p := make([]byte, 32<<10)
	for text.Len() < n {
		read, err := c.Read(p[:min(len(p), n-text.Len())])
		require.NoError(t, err)
		text.Write(p[:read])
	}
	return text.String()
}

func TestConn_HoldsBackNoMoreThanItsLimitAndKeepsTheOrder(t *testing.T) {
	c, client := accepted(t)
	var want bytes.Buffer
	written := make(chan error, 1)
	pieces := []int{100, gatherLimit, 1, gatherLimit - 1, 1, gatherLimit + 1, 50_000, 50_000, 7}
	for i, size := range pieces {
		want.Write(bytes.Repeat([]byte{'a' + byte(i)}, size))
	}
	go func() {
		c.Hold()
		for i, size := range pieces {
			if _, err := c.Write(bytes.Repeat([]byte{'a' + byte(i)}, size)); err != nil {
				written <- err
				return
			}
		}
		written <- c.Release()
	}()
	assert.True(t, want.String() == read(t, client, want.Len()))
	require.NoError(t, receive(t, written))
	assert.Nil(t, c.gathered.buffer)
}

func TestConn_FailsWhereWhatItHeldBackCannotBeSent(t *testing.T) {
	c, _ := accepted(t)
	c.Hold()
	_, err := c.Write([]byte("hello"))
	require.NoError(t, err)
	require.NoError(t, c.Close())
	assert.ErrorIs(t, c.Release(), net.ErrClosed)
	assert.Nil(t, c.gathered.buffer)
}
