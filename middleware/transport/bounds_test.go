package transport

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
)

func TestTransport_AllocatesLittle(t *testing.T) {
	stage, err := New(Options{Connections: newConnections(t, ConnectionOptions{})})
	require.NoError(t, err)
	handler := stage(nil)
	backend, r, w := quickBackend(t, 1024), incoming(0), &discarded{header: make(http.Header)}
	serve := func() {
		clear(w.header)
		state, w2, r2 := pipeline.Enter(w, r)
		state.Backend = backend
		handler.ServeHTTP(w2, r2)
	}
	serve()
	require.Equal(t, 1024, w.bytes)
	// The request's state, the head of the answer, the values of its fields. The best of some tries counts: others take
	// what the garbage collector has taken from the pools, and watch the client of an answer that takes longer than haste.
	const most = 6
	least := testing.AllocsPerRun(100, serve)
	for range 100 {
		if least <= most {
			break
		}
		least = min(least, testing.AllocsPerRun(100, serve))
	}
	assert.LessOrEqual(t, least, float64(most))
}

// stuck is a client that takes nothing until it is told.
type stuck struct {
	recorded
	begun func()
	take  <-chan struct{}
}

func (w *stuck) Write(p []byte) (int, error) {
	w.begun()
	<-w.take
	return len(p), nil
}

// maxPerStream is what the package comment promises.
const maxPerStream = 72 << 10

func TestTransport_HoldsABoundedBufferForEachSlowClient(t *testing.T) {
	const streams, size = 200, 1 << 20
	content := strings.Repeat("x", size)
	for name, answer := range map[string]string{
		"of a known length": fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", size, content),
		"in chunks":         fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", size, content),
	} {
		t.Run(name, func(t *testing.T) {
			backend := answering(t, answer)
			stage, err := New(Options{Connections: newConnections(t, ConnectionOptions{})})
			require.NoError(t, err)
			pools := stage(nil).(*proxy).pools
			var mu sync.Mutex
			held := 0
			for _, p := range []struct {
				pool *sync.Pool
				size int
			}{{&pools.buffers, 2 * headBuffer}, {&pools.bulk, bulkBuffer}, {&pools.chunks, chunkBuffer}} {
				made := p.pool.New
				p.pool.New = func() any {
					mu.Lock()
					defer mu.Unlock()
					held += p.size
					return made()
				}
			}
			take := make(chan struct{})
			var begun, all sync.WaitGroup
			begun.Add(streams)
			for range streams {
				all.Go(func() {
					w := &stuck{recorded: *newRecorded(), begun: sync.OnceFunc(begun.Done), take: take}
					state, w2, r2 := pipeline.Enter(w, incoming(0))
					state.Backend = backend
					stage(nil).ServeHTTP(w2, r2)
					assert.EqualValues(t, size, state.Bytes)
				})
			}
			begun.Wait()
			mu.Lock()
			assert.LessOrEqual(t, held, streams*maxPerStream)
			mu.Unlock()
			close(take)
			all.Wait()
		})
	}
}
