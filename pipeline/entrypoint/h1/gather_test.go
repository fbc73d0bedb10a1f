package h1

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline/entrypoint/servertest"
)

// gatherer notes how many records were written between Hold and Release.
type gatherer struct {
	*net.TCPConn
	holding bool
	records int
	held    []int
	failure error
}

func (g *gatherer) Hold() { g.holding, g.records = true, 0 }

func (g *gatherer) Release() error {
	g.holding, g.held = false, append(g.held, g.records)
	return g.failure
}

func (g *gatherer) Write(p []byte) (int, error) {
	if g.holding {
		g.records++
	}
	return g.TCPConn.Write(p)
}

// serveGathered serves one connection, whose client gets an answer, and gives it when it has ended.
func serveGathered(t *testing.T, failure error, handler http.HandlerFunc) *gatherer {
	server := newFront(t, handler).Server
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	config := servertest.ServerTLS(t)
	var g *gatherer
	var serving sync.WaitGroup
	serving.Go(func() {
		accepted, err := listener.Accept()
		if !assert.NoError(t, err) {
			return
		}
		g = &gatherer{TCPConn: accepted.(*net.TCPConn), failure: failure}
		c := tls.Server(g, config)
		if assert.NoError(t, c.Handshake()) {
			server.Serve(c, new(switches))
		}
	})
	c := dial(t, listener.Addr(), true)
	write(t, c, get)
	if failure == nil {
		answer(t, bufio.NewReader(c), "GET")
	} else {
		_, _ = io.ReadAll(c) // as much as comes
	}
	require.NoError(t, c.Close())
	serving.Wait()
	return g
}

func TestSend_GathersTheRecordsOfALongWrite(t *testing.T) {
	g := serveGathered(t, nil, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("short"))
		for range 3 {
			_, _ = w.Write(make([]byte, 3*writeBuffer))
		}
	})
	require.Len(t, g.held, 3)
	for _, records := range g.held {
		assert.GreaterOrEqual(t, records, 3)
	}
}

func TestSend_FailsWhereWhatWasGatheredCannotBeSent(t *testing.T) {
	failure := errors.New("no road")
	errs := make(chan error, 2)
	serveGathered(t, failure, func(w http.ResponseWriter, _ *http.Request) {
		for range 2 {
			_, err := w.Write(make([]byte, 3*writeBuffer))
			errs <- err
		}
	})
	assert.ErrorIs(t, receive(t, errs), failure)
	assert.ErrorIs(t, receive(t, errs), failure)
}
