package h2

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
)

// unruly is a client that does something else at each step, and checks all that it gets.
type unruly struct {
	*wire
	random *rand.Rand
	open   map[uint32]*asked
	nextID uint32
}

// asked is a request of an unruly client.
type asked struct {
	content string // of the answer
	echoed  bool   // and of the request
	unsent  string // of that
	left    bool   // nobody waits for the answer
}

func TestServe_OutlastsUnrulyClients(t *testing.T) {
	const clients, steps = 100, 30
	var running atomic.Int64
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		running.Add(1)
		defer running.Add(-1)
		switch r.URL.Path {
		case "/echo":
			echo(w, r)
		case "/flush":
			for range 5 {
				say(w, "piece")
				_ = http.NewResponseController(w).Flush()
				runtime.Gosched()
			}
		case "/wait":
			<-r.Context().Done()
		case "/panic":
			say(w, "gone")
			panic(http.ErrAbortHandler)
		default:
			patterned(w, r)
		}
	})
	var asking sync.WaitGroup
	var served atomic.Int64
	for i := range clients {
		asking.Go(func() {
			u := &unruly{random: rand.New(rand.NewPCG(uint64(i), 2)), open: make(map[uint32]*asked), nextID: 1}
			window := uint32(u.random.IntN(100_000) + 1)
			table := uint32(u.random.IntN(5000))
			u.wire = f.wire(t, initialWindow(window), http2.Setting{ID: http2.SettingHeaderTableSize, Val: table})
			u.widening = true
			for range steps {
				if !u.step() {
					break
				}
			}
			served.Add(int64(u.finish()))
		})
	}
	asking.Wait()
	assert.NotZero(t, served.Load())
	require.Eventually(t, func() bool { return len(f.connections()) == 0 }, longest, step)
	require.Eventually(t, func() bool { return running.Load() == 0 }, longest, step, "handlers end with their clients")
}

// step is false once the client has left.
func (u *unruly) step() bool {
	id := u.nextID
	switch dice := u.random.IntN(20); {
	case dice < 7: // a download
		seed, size := u.random.IntN(1000), u.random.IntN(60_000)
		path := fmt.Sprintf("/?seed=%d&size=%d&piece=%d", seed, size, 1+u.random.IntN(30_000))
		if u.random.IntN(2) == 0 {
			path += "&length=known"
		}
		u.get(id, path)
		u.open[id], u.nextID = &asked{content: pattern(seed, size)}, id+2
	case dice < 10: // an upload
		content := pattern(u.random.IntN(1000), u.random.IntN(40_000))
		u.post(id, "/echo")
		u.open[id], u.nextID = &asked{content: content, echoed: true, unsent: content}, id+2
	case dice < 13: // which goes on
		for id, a := range u.open {
			if a.unsent != "" && !a.left {
				u.data(id, false, a.next(1+u.random.IntN(maxFrame)))
				break
			}
		}
	case dice == 13: // streams that go no further than their client
		u.get(id, []string{"/wait", "/flush", "/panic"}[u.random.IntN(3)])
		u.open[id], u.nextID = &asked{left: true}, id+2
		if u.random.IntN(2) == 0 {
			_ = u.WriteRSTStream(id, http2.ErrCodeCancel)
		}
	case dice == 14: // a reset of any stream
		for id, a := range u.open {
			a.left = true
			_ = u.WriteRSTStream(id, http2.ErrCodeCancel)
			break
		}
	case dice == 15:
		_ = u.WritePing(false, [8]byte{1})
	case dice == 16:
		_ = u.WriteSettings(initialWindow(uint32(u.random.IntN(100_000) + 1)))
	case dice == 17 && u.random.IntN(5) == 0: // away, with or without a word
		u.send()
		_ = u.conn.NetConn().Close()
		u.open = nil
		return false
	default: // it reads something, slowly
		u.send()
		for range 5 {
			if u.expects() {
				require.True(u.t, u.next())
			}
		}
	}
	u.send()
	return true
}

// next takes what is to be sent next.
func (a *asked) next(n int) string {
	n = min(n, len(a.unsent))
	next := a.unsent[:n]
	a.unsent = a.unsent[n:]
	return next
}

// expects says whether something is sure to come: what is read is given back to the windows.
func (u *unruly) expects() bool {
	for id, a := range u.open {
		if !a.left && !a.echoed && !u.reply(id).over() {
			return true
		}
	}
	return false
}

// finish checks all answers that have to come, and says how many those were.
func (u *unruly) finish() int {
	served := 0
	for id, a := range u.open {
		if a.left {
			_ = u.WriteRSTStream(id, http2.ErrCodeCancel)
			continue
		}
		if a.echoed {
			u.data(id, true, a.unsent)
		}
	}
	u.send()
	for id, a := range u.open {
		if a.left {
			continue
		}
		r := u.answer(id)
		if !assert.False(u.t, r.reset, "stream %d: %v", id, r.code) {
			continue
		}
		if r.content.String() != a.content {
			assert.Fail(u.t, "content that is another's, or has not come whole")
		}
		served++
	}
	_ = u.conn.Close()
	return served
}

// The same on one connection, with a client of net/http, whose requests are cancelled at any time.
func TestServe_KeepsAConnectionWhoseRequestsAreCancelled(t *testing.T) {
	const workers, requests = 20, 20
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			echo(w, r)
			return
		}
		patterned(w, r)
	})
	client := f.client(t)
	ask(t, client, "GET", f.url("/"), nil) // so that all share its connection
	var asking sync.WaitGroup
	for i := range workers {
		random := rand.New(rand.NewPCG(uint64(i), 3))
		asking.Go(func() {
			for range requests {
				askAndCancel(t, f, client, random)
			}
		})
	}
	asking.Wait()
	c := f.only(t)
	requireAtRest(t, c)
	assertWindowWhole(t, c)
	ask(t, client, "GET", f.url("/"), nil)
}

// askAndCancel reads a part of an answer, or all of it.
func askAndCancel(t *testing.T, f *front, client *http.Client, random *rand.Rand) {
	seed, size := random.IntN(1000), random.IntN(150_000)
	want := pattern(seed, size)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "POST", f.url("/"), strings.NewReader(want))
	if random.IntN(2) == 0 {
		path := fmt.Sprintf("/?seed=%d&size=%d&piece=%d", seed, size, 1+random.IntN(30_000))
		r, err = http.NewRequestWithContext(ctx, "GET", f.url(path), nil)
	}
	if !assert.NoError(t, err) {
		return
	}
	limit := int64(size)
	if random.IntN(3) == 0 {
		limit = random.Int64N(limit + 1)
	}
	response, err := client.Do(r)
	if !assert.NoError(t, err) {
		return
	}
	defer response.Body.Close()
	read, err := io.ReadAll(io.LimitReader(response.Body, limit))
	assert.NoError(t, err)
	assert.Len(t, read, int(limit))
	assert.True(t, strings.HasPrefix(want, string(read)), "it is another's")
}

// counted is a task that says when it begins and ends.
type counted struct {
	begun, done chan struct{} // begun may be nil
	block       <-chan struct{}
}

func (c *counted) run() {
	if c.block != nil {
		c.begun <- struct{}{}
		<-c.block
	}
	c.done <- struct{}{}
}

func (w *workers) waiting() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.idle)
}

// requireWorkers waits until there are so many workers, those of other tests among them, which end by themselves.
func requireWorkers(t *testing.T, n int) {
	t.Helper()
	stacks := make([]byte, 4<<20)
	require.Eventually(t, func() bool {
		return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), ".(*workers).work(") == n
	}, longest, 10*step)
}

func TestWorkers_AreUsedAgain(t *testing.T) {
	var w workers
	done := make(chan struct{}, 1)
	for range 100 {
		w.do(&counted{done: done})
		receive(t, done)
		require.Eventually(t, func() bool { return w.waiting() == 1 }, longest, step)
	}
	w.close()
}

func TestWorkers_AreAsManyAsThereIsWorkAndFewerWait(t *testing.T) {
	const tasks = idleWorkers + 100
	var w workers
	begun, done, block := make(chan struct{}, tasks), make(chan struct{}, tasks), make(chan struct{})
	for range tasks {
		w.do(&counted{begun, done, block})
	}
	for range tasks {
		receive(t, begun)
	}
	close(block)
	for range tasks {
		receive(t, done)
	}
	require.Eventually(t, func() bool { return w.waiting() == idleWorkers }, longest, step)
	requireWorkers(t, idleWorkers)
	w.close()
	requireWorkers(t, 0)
}

func TestWorkers_WorkAfterCloseAndDoNotStay(t *testing.T) {
	var w workers
	begun, done, block := make(chan struct{}, 1), make(chan struct{}, 3), make(chan struct{})
	w.do(&counted{begun, done, block})
	receive(t, begun)
	w.do(&counted{done: done})
	receive(t, done)
	w.close()
	w.do(&counted{done: done})
	receive(t, done)
	close(block)
	receive(t, done)
	requireWorkers(t, 0)
	assert.Zero(t, w.waiting())
	w.close()
}
