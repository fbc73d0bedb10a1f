package h2

import (
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestServe_EndsTheHandlersOfStreamsThatOpenAfterWritingHasFailed(t *testing.T) {
	// One record has all requests. The handler of the first has the connection fail while the others are being opened.
	var running atomic.Int64
	conns, lost := make(chan *conn, 1), make(chan struct{})
	f := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		running.Add(1)
		defer running.Add(-1)
		if r.URL.Path == "/lose" {
			(<-conns).fail(net.ErrClosed)
			close(lost)
		}
		<-r.Context().Done()
	})
	w := f.wire(t)
	conns <- f.only(t)
	w.get(1, "/lose")
	for id := uint32(3); id < 2*maxStreams; id += 2 {
		w.get(id, "/")
	}
	w.send()
	<-lost
	require.Eventually(t, func() bool { return len(f.connections()) == 0 && running.Load() == 0 }, longest, step)
}
