package h2

import (
	"encoding/binary"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
)

// stopped is a clock that goes on when it is told to.
type stopped struct{ passed atomic.Int64 }

func (s *stopped) now() time.Time { return time.Unix(0, s.passed.Load()) }

func (s *stopped) pass(d time.Duration) { s.passed.Add(int64(d)) }

func (s *stopped) set(f *front) { f.now = s.now }

// untilReset answers nothing.
func untilReset(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// cancelled is a request that its client gives up.
func cancelled(w *wire, id uint32) {
	w.get(id, "/")
	_ = w.WriteRSTStream(id, http2.ErrCodeCancel)
}

// canceller gives up one request after the other. Before the next ones the handlers have ended, so that there is room.
type canceller struct {
	*wire
	served *conn
	nextID uint32
}

func newCanceller(t *testing.T, f *front) *canceller {
	return &canceller{wire: f.wire(t), served: f.only(t), nextID: 1}
}

func (c *canceller) end(n int, one func(w *wire, id uint32)) {
	c.t.Helper()
	for most := maxStreams / 2; n > 0; n -= most {
		for range min(n, most) {
			one(c.wire, c.nextID)
			c.nextID += 2
		}
		c.ping()
		requireAtRest(c.t, c.served)
	}
}

func TestResets_EndAConnectionOnWhichThereAreTooManyAtOnce(t *testing.T) {
	for name, one := range map[string]func(w *wire, id uint32){
		"by the client": cancelled,
		// And here the client has the server do it.
		"by WINDOW_UPDATE of 0": func(w *wire, id uint32) {
			w.get(id, "/")
			_ = w.WriteRawFrame(http2.FrameWindowUpdate, 0, id, make([]byte, 4))
		},
		"by a window beyond 2^31-1": func(w *wire, id uint32) {
			w.get(id, "/")
			_ = w.WriteWindowUpdate(id, largestWindow)
		},
		"by PRIORITY of itself": func(w *wire, id uint32) {
			w.get(id, "/")
			_ = w.WriteRawFrame(http2.FramePriority, 0, id, append(binary.BigEndian.AppendUint32(nil, id), 0))
		},
		"by PRIORITY that is cut off": func(w *wire, id uint32) {
			w.get(id, "/")
			_ = w.WriteRawFrame(http2.FramePriority, 0, id, make([]byte, prioritySize-1))
		},
		"by DATA after the end": func(w *wire, id uint32) {
			w.get(id, "/")
			w.data(id, false, "x")
		},
		"by trailers after the end": func(w *wire, id uint32) {
			w.get(id, "/")
			w.trailers(id, "x-sum", "1")
		},
		"by content that is longer than announced": func(w *wire, id uint32) {
			w.post(id, "/", "content-length", "1")
			w.data(id, false, "xx")
		},
		"by a head that is malformed": func(w *wire, id uint32) { w.get(id, "/", "connection", "close") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := serve(t, untilReset, new(stopped).set)
			c := newCanceller(t, f)
			c.end(resetBurst, one)
			assert.Empty(t, c.goAways)
			one(c.wire, c.nextID)
			c.send()
			c.wire.end()
			assert.Len(t, c.goAways, 1)
			assert.Equal(t, http2.ErrCodeEnhanceYourCalm, c.code)
			assert.Equal(t, 1, strings.Count(f.log.String(), "streams that are reset again and again"))
			require.Eventually(t, func() bool { return locked(c.served, func() bool { return c.served.busy == 0 }) }, longest, step)
		})
	}
}

func TestResets_LeaveAClientAloneThatCancelsNowAndThen(t *testing.T) {
	for name, c := range map[string]struct {
		cancels int
		each    time.Duration
	}{
		"calls, all day":                 {resetRate, time.Second},
		"a page that is left for others": {150, 5 * time.Second},
		"a client that comes back":       {resetBurst, resetBurst * time.Second / resetRate},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var clock stopped
			f := serve(t, untilReset, clock.set)
			w := newCanceller(t, f)
			w.end(resetBurst, cancelled)
			for cancels := 0; cancels < 2*resetBurst; cancels += c.cancels {
				clock.pass(c.each)
				w.end(c.cancels, cancelled)
			}
			assert.Empty(t, w.goAways)
		})
	}
}

func TestResets_CountOnlyBeforeTheAnswerIsComplete(t *testing.T) {
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		code    http2.ErrCode // of the server's RST_STREAM
		end     func(w *wire)
	}{
		"by a client that needs no more of it": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "5")
			say(w, "hello")
			<-r.Context().Done()
		}, 0, func(w *wire) {
			assert.Equal(w.t, "hello", w.content(1))
			_ = w.WriteRSTStream(1, http2.ErrCodeNo)
			w.ping()
		}},
		"of what is left of the request": {func(w http.ResponseWriter, _ *http.Request) { say(w, "hello") }, http2.ErrCodeNo, nil},
		"of a handler that has failed": {func(http.ResponseWriter, *http.Request) {
			panic(http.ErrAbortHandler)
		}, http2.ErrCodeInternal, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := serve(t, c.handler, func(f *front) {
				f.now = func() time.Time {
					assert.Fail(t, "nothing is counted, and the clock is not needed")
					return time.Now()
				}
			})
			w := f.wire(t)
			w.post(1, "/")
			w.send()
			if c.end != nil {
				c.end(w)
			} else {
				w.until(func() bool { return w.reply(1).reset })
				assert.Equal(t, c.code, w.reply(1).code)
			}
			served := f.only(t)
			requireAtRest(t, served)
			assert.Zero(t, locked(served, func() allowance { return served.allowed }))
		})
	}
}

// It is told to ask again, and what keeps the room may be its handlers, which take their time to end.
func TestResets_DoNotCountWhereThereWasNoRoom(t *testing.T) {
	const refused = resetBurst - 100 // in a row
	f := serve(t, untilReset, new(stopped).set)
	w := f.wire(t)
	id := uint32(1)
	ask := func(n int) {
		for range n {
			w.get(id, "/")
			id += 2
		}
		w.ping()
	}
	ask(maxStreams)
	for _, open := range []uint32{1, 3} {
		ask(refused)
		require.True(t, w.reply(id-2).reset)
		assert.Equal(t, http2.ErrCodeRefusedStream, w.reply(id-2).code)
		_ = w.WriteRSTStream(open, http2.ErrCodeCancel)
		w.ping()
		served := f.only(t)
		require.Eventually(t, func() bool { return locked(served, func() bool { return served.busy < maxStreams }) }, longest, step)
		ask(1)
		assert.False(t, w.reply(id-2).over())
	}
	assert.Empty(t, w.goAways)
}

func TestAllowance_IsThereAtOnceAndComesBackWithTime(t *testing.T) {
	var a allowance
	now := time.Now()
	take := func(most int) (taken int) {
		for taken < most && a.take(now) {
			taken++
		}
		return taken
	}
	assert.Equal(t, resetBurst, take(2*resetBurst))
	assert.Zero(t, take(1))
	now = now.Add(time.Second)
	assert.Equal(t, resetRate, take(2*resetRate))
	now = now.Add(10 * time.Second)
	assert.Equal(t, 10*resetRate, take(20*resetRate))
	now = now.Add(time.Hour)
	assert.Equal(t, resetBurst, take(2*resetBurst), "it is never more than at first")
}
