package h1

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

func TestContext_EndsWhenTheClientLeavesForWhoeverAsks(t *testing.T) {
	type asking func(ctx context.Context) (left func() bool)
	over := func(done <-chan struct{}) func() bool {
		return func() bool {
			select {
			case <-done:
				return true
			default:
				return false
			}
		}
	}
	for name, ask := range map[string]asking{
		"Done": func(ctx context.Context) func() bool { return over(ctx.Done()) },
		"Err":  func(ctx context.Context) func() bool { return func() bool { return ctx.Err() != nil } },
		"a derived context": func(ctx context.Context) func() bool {
			derived, cancel := context.WithTimeout(ctx, time.Hour)
			context.AfterFunc(derived, cancel)
			return over(derived.Done())
		},
		"AfterFunc": func(ctx context.Context) func() bool {
			ran := make(chan struct{})
			context.AfterFunc(ctx, func() { close(ran) })
			return over(ran)
		},
		"its own AfterFunc": func(ctx context.Context) func() bool {
			ran := make(chan struct{})
			stop := ctx.(*life).AfterFunc(func() { assert.Fail(t, "it was stopped") })
			ctx.(*life).AfterFunc(func() { close(ran) })
			assert.True(t, stop())
			assert.False(t, stop())
			return over(ran)
		},
	} {
		t.Run(name, func(t *testing.T) {
			overBoth(t, func(t *testing.T, serve serving) {
				asked, ended := make(chan struct{}), make(chan error, 1)
				f := serve(t, func(_ http.ResponseWriter, r *http.Request) {
					left := ask(r.Context())
					assert.False(t, left())
					close(asked)
					assert.Eventually(t, left, patience, time.Millisecond)
					ended <- r.Context().Err()
				})
				c := f.dial(t)
				write(t, c, get)
				receive(t, asked)
				require.NoError(t, c.Close())
				assert.ErrorIs(t, receive(t, ended), context.Canceled)
			})
		})
	}
}

func TestContext_StartsNoGoroutineWhereNobodyAsks(t *testing.T) {
	watched := make(chan bool, 2)
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		l := r.Context().(*life)
		if r.URL.Path == "/ask" {
			_ = r.Context().Err()
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		watched <- l.watching != nil
	})
	c := f.dial(t)
	write(t, c, get+"GET /ask HTTP/1.1\r\nHost: a\r\n\r\n")
	assert.False(t, receive(t, watched))
	assert.True(t, receive(t, watched))
}

func TestContext_DoesNotEndForAFurtherRequestWhichIsServedWhole(t *testing.T) {
	overBoth(t, func(t *testing.T, serve serving) {
		f := serve(t, func(w http.ResponseWriter, r *http.Request) {
			l := r.Context().(*life)
			_ = l.Err()
			if r.URL.Path == "/" {
				l.mu.Lock()
				watch := l.watching
				l.mu.Unlock()
				w.WriteHeader(http.StatusEarlyHints)
				receive(t, watch) // it has seen the first byte of what follows
			}
			assert.NoError(t, l.Err())
			_, _ = io.WriteString(w, r.URL.Path)
		})
		c := f.dial(t)
		r := bufio.NewReader(c)
		for range 3 {
			write(t, c, get)
			response, err := http.ReadResponse(r, nil)
			require.NoError(t, err)
			require.Equal(t, http.StatusEarlyHints, response.StatusCode)
			write(t, c, "POST /second HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
			_, content := answer(t, r, "GET")
			assert.Equal(t, "/", content)
			_, content = answer(t, r, "POST")
			assert.Equal(t, "/second", content)
		}
	})
}

func TestContext_BeginsToWatchWhenTheContentHasBeenRead(t *testing.T) {
	overBoth(t, func(t *testing.T, serve serving) {
		read, ended := make(chan string, 1), make(chan struct{})
		f := serve(t, func(_ http.ResponseWriter, r *http.Request) {
			done := r.Context().Done()
			content, _ := io.ReadAll(r.Body)
			read <- string(content)
			receive(t, done)
			close(ended)
		})
		c := f.dial(t)
		write(t, c, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
		assert.Equal(t, "hi", receive(t, read))
		require.NoError(t, c.Close())
		receive(t, ended)
	})
}

func TestContext_EndsWhereTheContentBreaksOff(t *testing.T) {
	errs := make(chan error, 2)
	f := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		done := r.Context().Done()
		_, err := io.ReadAll(r.Body)
		errs <- err
		receive(t, done)
		errs <- r.Context().Err()
	})
	c := f.dial(t)
	write(t, c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
	require.NoError(t, c.Close())
	assert.ErrorIs(t, receive(t, errs), io.ErrUnexpectedEOF)
	assert.ErrorIs(t, receive(t, errs), context.Canceled)
}

func TestContext_EndsWhereTheAnswerCannotBeWritten(t *testing.T) {
	errs := make(chan error, 1)
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		piece := make([]byte, 64<<10)
		var err error
		for err == nil {
			_, err = w.Write(piece)
		}
		_, again := w.Write([]byte("x"))
		assert.Equal(t, err, again)
		assert.Error(t, http.NewResponseController(w).Flush())
		errs <- r.Context().Err()
	})
	c := f.dial(t)
	write(t, c, get)
	readN(t, c, 10)
	require.NoError(t, c.Close())
	assert.ErrorIs(t, receive(t, errs), context.Canceled)
}

func TestContext_HasEndedWhenTheHandlerHasReturned(t *testing.T) {
	contexts := make(chan context.Context, 2)
	f := serve(t, func(_ http.ResponseWriter, r *http.Request) { contexts <- r.Context() })
	c := f.dial(t)
	r := bufio.NewReader(c)
	for range 2 {
		write(t, c, get)
		answer(t, r, "GET")
	}
	ctx := receive(t, contexts)
	receive(t, ctx.Done())
	assert.ErrorIs(t, ctx.Err(), context.Canceled)
	ran := make(chan struct{})
	stop := ctx.(*life).AfterFunc(func() { close(ran) })
	receive(t, ran)
	assert.False(t, stop())
	_, bounded := ctx.Deadline()
	assert.False(t, bounded)
}

func TestContext_KnowsTheServerAndTheAddress(t *testing.T) {
	parent := new(http.Server)
	values := make(chan any, 3)
	f := newFront(t, func(_ http.ResponseWriter, r *http.Request) {
		values <- r.Context().Value(http.LocalAddrContextKey)
		values <- r.Context().Value(http.ServerContextKey)
		values <- r.Context().Value("another")
	})
	f.options.Parent = parent
	f.start()
	write(t, f.dial(t), get)
	assert.Equal(t, f.listener.Addr(), receive(t, values))
	assert.Same(t, parent, receive(t, values))
	assert.Nil(t, receive(t, values))
}

func TestServe_LeavesARequestToWhoKeepsIt(t *testing.T) {
	requests := make(chan *http.Request, 2)
	f := serve(t, func(_ http.ResponseWriter, r *http.Request) { requests <- r })
	c := f.dial(t)
	r := bufio.NewReader(c)
	write(t, c, "GET /first?x HTTP/1.1\r\nHost: a\r\nX-Kept: "+strings.Repeat("1", 5000)+"\r\n\r\n")
	answer(t, r, "GET")
	write(t, c, "PUT /other?y HTTP/1.1\r\nHost: b\r\nX-Kept: "+strings.Repeat("2", 5000)+"\r\nX-More: 2\r\n\r\n")
	answer(t, r, "PUT")
	first := receive(t, requests)
	assert.Equal(t, "GET /first?x a", first.Method+" "+first.URL.String()+" "+first.Host)
	assert.Equal(t, http.Header{"X-Kept": {strings.Repeat("1", 5000)}}, first.Header)
	assert.Equal(t, c.LocalAddr().String(), first.RemoteAddr)
}

func TestWatch_EndsTheContextOfAConnectionThatWasClosedBeforeAnybodyAsked(t *testing.T) {
	overBoth(t, func(t *testing.T, serve serving) {
		var f *front
		ended := make(chan error, 1)
		f = serve(t, func(_ http.ResponseWriter, r *http.Request) {
			f.listener.Cut()
			<-r.Context().Done()
			ended <- r.Context().Err()
		})
		write(t, f.dial(t), "GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
		require.ErrorIs(t, receive(t, ended), context.Canceled)
	})
}
