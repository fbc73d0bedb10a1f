//go:build unix

package h1

import (
	"bufio"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPoll_HoldsNoBufferWhileItWaitsForARequest(t *testing.T) {
	server := newFront(t, func(http.ResponseWriter, *http.Request) {}).Server
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	ours := dial(t, listener.Addr(), false)
	theirs, err := listener.Accept()
	require.NoError(t, err)
	c := &conn{server: server, client: theirs, below: theirs, turns: new(switches)}
	c.poll.init(theirs)
	tried := make(chan bool, 10)
	c.poll.try = func(fd uintptr) bool {
		there := c.tryAhead(fd)
		assert.Equal(t, there, c.buffers != nil)
		tried <- there
		return there
	}
	var serving sync.WaitGroup
	serving.Go(c.serve)
	assert.False(t, receive(t, tried), "nothing is there")
	write(t, ours, get)
	for !receive(t, tried) {
	}
	answer(t, bufio.NewReader(ours), "GET")
	assert.False(t, receive(t, tried))
	require.NoError(t, ours.Close())
	serving.Wait()
}
