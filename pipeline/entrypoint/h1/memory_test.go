package h1

import (
	"bufio"
	"io"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestServe_KeepsNoBufferForAConnectionThatWaitsOrIsTakenOver(t *testing.T) {
	const connections = 8 // that have their requests at once, so that each has buffers of its own
	for name, hijack := range map[string]bool{"waits": false, "taken over": true} {
		t.Run(name, func(t *testing.T) {
			overBoth(t, func(t *testing.T, serve serving) {
				var made, gone atomic.Int64
				var all sync.WaitGroup
				all.Add(connections)
				over := make(chan struct{})
				f := serve(t, func(w http.ResponseWriter, _ *http.Request) {
					all.Done()
					all.Wait()
					if !hijack {
						return
					}
					c, _, err := http.NewResponseController(w).Hijack()
					if assert.NoError(t, err) {
						_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
						<-over
						_ = c.Close()
					}
				}, func(f *front) {
					f.buffers.New = func() any {
						b := newBuffers()
						made.Add(2)
						runtime.AddCleanup(&b.out[:1][0], func(int) { gone.Add(1) }, 0)
						runtime.AddCleanup(b.reader, func(int) { gone.Add(1) }, 0)
						return b
					}
				})
				t.Cleanup(func() { close(over) })
				var clients sync.WaitGroup
				for range connections {
					c := f.dial(t)
					write(t, c, get)
					clients.Go(func() {
						_, err := http.ReadResponse(bufio.NewReader(c), nil)
						assert.NoError(t, err)
					})
				}
				clients.Wait()
				require.GreaterOrEqual(t, made.Load(), int64(2*connections))
				require.Eventually(t, func() bool {
					runtime.GC() // which takes what lies in the pool
					return gone.Load() >= made.Load()
				}, patience, time.Millisecond)
			})
		})
	}
}
