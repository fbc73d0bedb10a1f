package h1

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHijack_GivesTheConnectionWithWhatHasBeenRead(t *testing.T) {
	overBoth(t, func(t *testing.T, serve serving) {
		for name, watched := range map[string]bool{"read with the head": false, "seen by the watch": true} {
			t.Run(name, func(t *testing.T) {
				type taken struct {
					net.Conn
					*bufio.ReadWriter
				}
				hijacked := make(chan taken, 1)
				ready, ended := make(chan struct{}), make(chan struct{})
				f := serve(t, func(w http.ResponseWriter, r *http.Request) {
					if watched {
						l := r.Context().(*life)
						_ = l.Err()
						l.mu.Lock()
						watch := l.watching
						l.mu.Unlock()
						close(ready)
						receive(t, watch)
					}
					context.AfterFunc(r.Context(), func() { close(ended) })
					control := http.NewResponseController(w)
					c, buffered, err := control.Hijack()
					assert.NoError(t, err)
					if watched {
						assert.Equal(t, 1, buffered.Reader.Buffered())
					}
					_, _, err = control.Hijack()
					assert.ErrorIs(t, err, http.ErrHijacked)
					_, err = w.Write([]byte("x"))
					assert.ErrorIs(t, err, http.ErrHijacked)
					assert.ErrorIs(t, control.Flush(), http.ErrHijacked)
					w.WriteHeader(500)
					hijacked <- taken{c, buffered}
				})
				c := f.dial(t)
				if watched {
					write(t, c, get)
					receive(t, ready)
					write(t, c, "early")
				} else {
					write(t, c, get+"early")
				}
				mine := receive(t, hijacked)
				defer mine.Conn.Close()
				receive(t, ended)
				write(t, c, " late")
				p := make([]byte, len("early late"))
				_, err := io.ReadFull(mine.ReadWriter, p)
				require.NoError(t, err)
				assert.Equal(t, "early late", string(p))
				_, err = mine.WriteString("hello")
				require.NoError(t, err)
				require.NoError(t, mine.Flush())
				expect(t, c, "hello")
				require.NoError(t, mine.Conn.Close())
				assert.Empty(t, readAll(t, c))
			})
		}
	})
}

func TestHijack_SendsTheHeadOfAnUpgradeBefore(t *testing.T) {
	f := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "chat")
		w.WriteHeader(http.StatusSwitchingProtocols)
		c, _, err := http.NewResponseController(w).Hijack()
		assert.NoError(t, err)
		_, _ = io.WriteString(c, "hello")
		_ = c.Close()
	})
	f.last.Store(true) // an upgraded connection is not one that closes
	assert.Equal(t, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: chat\r\nConnection: Upgrade\r\n\r\nhello",
		f.talk(t, "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n"))
}

func TestHijack_FailsAfterTheHandlerHasReturned(t *testing.T) {
	writers := make(chan http.ResponseWriter, 1)
	f := serve(t, func(w http.ResponseWriter, _ *http.Request) { writers <- w })
	c := f.dial(t)
	r := bufio.NewReader(c)
	write(t, c, get)
	answer(t, r, "GET")
	w := receive(t, writers)
	control := http.NewResponseController(w)
	require.Eventually(t, w.(*response).over.Load, patience, 1e6)
	_, _, err := control.Hijack()
	assert.Error(t, err)
	_, err = w.Write([]byte("x"))
	assert.Error(t, err)
	assert.Error(t, control.Flush())
	w.WriteHeader(500)
	w.Header().Set("X-Late", "1")
	write(t, c, get)
	response, _ := answer(t, r, "GET")
	assert.Equal(t, 200, response.StatusCode)
	assert.Empty(t, response.Header["X-Late"])
}
