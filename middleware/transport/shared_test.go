package transport

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/tricot-proxy/tricot/pipeline"
)

// holding is a backend of HTTP/2 of which the answers to /hold wait.
type holding struct {
	*pipeline.Backend
	began   chan struct{} // a request for /hold has come
	release func()        // lets all of them be answered
}

func hold(t *testing.T, secure bool) holding {
	t.Helper()
	began, wait := make(chan struct{}, 100), make(chan struct{})
	h := holding{began: began, release: sync.OnceFunc(func() { close(wait) })}
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			began <- struct{}{}
			<-wait
		}
	}
	if secure {
		h.Backend = newSecureBackend(t, nil, handler)
	} else {
		h.Backend = newH2CBackend(t, handler)
	}
	t.Cleanup(h.release)
	return h
}

// eachHTTP2 runs a test with a backend of HTTP/2 over TLS and with one without.
func eachHTTP2(t *testing.T, test func(t *testing.T, h holding, connections func(ConnectionOptions) *front)) {
	for name, secure := range map[string]bool{"over TLS": true, "without TLS": false} {
		t.Run(name, func(t *testing.T) {
			h := hold(t, secure)
			test(t, h, func(o ConnectionOptions) *front {
				return newFront(t, h.Backend, setting{options: Options{Connections: newConnections(t, o)}})
			})
		})
	}
}

// ask begins a request for /hold, and gives a channel for its status.
func (h holding) ask(t *testing.T, f *front) <-chan int {
	t.Helper()
	status := make(chan int, 1)
	go func() {
		response, err := f.Client().Do(f.request(t, http.MethodGet, "/hold", nil))
		if assert.NoError(t, err) {
			response.Body.Close()
			status <- response.StatusCode
		}
	}()
	receive(t, h.began, "request")
	return status
}

func (f *front) awaitOpen(t *testing.T, want int, why string) {
	t.Helper()
	require.Eventually(t, func() bool { return f.connections.Counts().Open == want }, patience, time.Millisecond, why)
}

// row gives the connections of the front's only shelf.
func (f *front) row(t *testing.T) (*shelf, *row) {
	t.Helper()
	for i := range f.connections.shards {
		for _, s := range f.connections.shards[i].all() {
			return s, &s.shared
		}
	}
	require.FailNow(t, "no shelf")
	return nil, nil
}

func TestSharedConnections_EndWhenTheyAreOld(t *testing.T) {
	eachHTTP2(t, func(t *testing.T, h holding, connections func(ConnectionOptions) *front) {
		front := connections(ConnectionOptions{MaxAge: 1})
		for range 3 {
			front.get(t, "/")
		}
		assert.EqualValues(t, 3, front.connections.Counts().Opened)
		front.awaitOpen(t, 0, "after the last request")

		front = connections(ConnectionOptions{MaxAge: time.Hour})
		status := h.ask(t, front)
		_, row := front.row(t)
		row.mu.Lock()
		require.Len(t, row.all, 1)
		row.all[0].born = row.all[0].born.Add(-time.Hour)
		row.mu.Unlock()
		front.get(t, "/")
		assert.Equal(t, ConnectionCounts{Open: 2, Opened: 2}, front.connections.Counts(), "the old one gets no further request")
		h.release()
		assert.Equal(t, http.StatusOK, receive(t, status, "answer"))
		front.awaitOpen(t, 1, "with its last stream")
		front.get(t, "/")
		assert.EqualValues(t, 2, front.connections.Counts().Opened)
	})
}

func TestSharedConnections_EndWithTheirLastStreamWhenTheBackendLeavesTheTable(t *testing.T) {
	for name, end := range map[string]func(*Connections){
		"Retain": func(cs *Connections) { cs.Retain(func(string, string) bool { return false }) },
		"Close":  (*Connections).Close,
	} {
		t.Run(name, func(t *testing.T) {
			eachHTTP2(t, func(t *testing.T, h holding, connections func(ConnectionOptions) *front) {
				front := connections(ConnectionOptions{IdleTimeout: time.Hour})
				first, second := h.ask(t, front), h.ask(t, front)
				require.Equal(t, ConnectionCounts{Open: 1, Opened: 1}, front.connections.Counts())
				end(front.connections)
				assert.Equal(t, 1, front.connections.Counts().Open)
				h.release()
				assert.Equal(t, http.StatusOK, receive(t, first, "answer"))
				assert.Equal(t, http.StatusOK, receive(t, second, "answer"))
				front.awaitOpen(t, 0, "long before the idle time-out")
				front.get(t, "/")
				assert.EqualValues(t, 2, front.connections.Counts().Opened)
			})
		})
	}
}

func TestSharedConnections_AreEndedAtOnceWhereNobodyHasThem(t *testing.T) {
	eachHTTP2(t, func(t *testing.T, h holding, connections func(ConnectionOptions) *front) {
		other := hold(t, false)
		front := connections(ConnectionOptions{IdleTimeout: time.Hour})
		stays := newFront(t, other.Backend, setting{options: Options{Connections: front.connections}})
		front.get(t, "/")
		stays.get(t, "/")
		front.state(t)
		stays.state(t)
		front.connections.Retain(func(scheme, address string) bool { return address == other.Address })
		assert.Equal(t, ConnectionCounts{Open: 1, Opened: 2}, front.connections.Counts(), "the one of the other backend stays")
		stays.get(t, "/")
		assert.EqualValues(t, 2, front.connections.Counts().Opened)
	})
}

func TestSharedConnections_AreNotForgottenDuringALongStream(t *testing.T) {
	eachHTTP2(t, func(t *testing.T, h holding, connections func(ConnectionOptions) *front) {
		front := connections(ConnectionOptions{IdleTimeout: time.Hour})
		status := h.ask(t, front)
		s, _ := front.row(t)
		assert.False(t, s.abandon(time.Now().Add(2*time.Hour), time.Hour))
		front.connections.Retain(func(string, string) bool { return false })
		h.release()
		assert.Equal(t, http.StatusOK, receive(t, status, "answer"))
		front.awaitOpen(t, 0, "which Retain has seen to")
	})
}

func TestSharedConnections_EndWhenNobodyWantsThem(t *testing.T) {
	eachHTTP2(t, func(t *testing.T, h holding, connections func(ConnectionOptions) *front) {
		front := connections(ConnectionOptions{IdleTimeout: 20 * time.Millisecond})
		front.get(t, "/")
		require.Eventually(t, func() bool {
			cs := front.connections
			cs.mu.Lock()
			defer cs.mu.Unlock()
			for i := range cs.shards {
				if len(cs.shards[i].all()) > 0 {
					return false
				}
			}
			return cs.sweeper == nil && cs.open.Load() == 0 && cs.sharedIdle.Load() == 0
		}, patience, 10*time.Millisecond, "neither a connection, nor a shelf, nor a timer")
	})
}

func TestSharedConnections_AreNotIdleDuringAStream(t *testing.T) {
	eachHTTP2(t, func(t *testing.T, h holding, connections func(ConnectionOptions) *front) {
		front := connections(ConnectionOptions{IdleTimeout: time.Hour})
		front.get(t, "/")
		status := h.ask(t, front)
		_, row := front.row(t)
		row.mu.Lock()
		row.all[0].rested = time.Now().Add(-2 * time.Hour)
		row.mu.Unlock()
		front.connections.sweepRow(row, time.Now())
		front.get(t, "/")
		assert.Equal(t, ConnectionCounts{Open: 1, Opened: 1}, front.connections.Counts())
		h.release()
		assert.Equal(t, http.StatusOK, receive(t, status, "answer"))
		for range 3 {
			front.state(t)
		}
		front.connections.sweepRow(row, time.Now().Add(2*time.Hour))
		assert.Zero(t, front.connections.Counts().Open, "now it is")
	})
}

func TestSharedConnections_AreForgottenWhenTheBackendHasClosedThem(t *testing.T) {
	backend := newH2Peer(t, func(p *h2Peer) {
		if stream, path, ok := p.request(); ok {
			p.answer(stream, path)
		}
	})
	front := newFront(t, backend, setting{options: Options{IdleTimeout: time.Hour}})
	front.get(t, "/")
	front.awaitOpen(t, 0, "the backend has closed it")
	_, row := front.row(t)
	require.Eventually(t, func() bool {
		front.connections.sweepRow(row, time.Now())
		return row.empty() && front.connections.sharedIdle.Load() == 0
	}, patience, time.Millisecond)
}

// A backend that takes one stream at a time gets a connection for each, of which no more stay than may.
func TestSharedConnections_AreBound(t *testing.T) {
	const streams = 4
	for name, c := range map[string]struct {
		options ConnectionOptions
		stay    int
	}{
		"for each backend": {ConnectionOptions{MaxIdlePerBackend: 2}, 2},
		"in all":           {ConnectionOptions{MaxIdle: 1}, 1},
		"by nothing":       {ConnectionOptions{}, streams},
	} {
		t.Run(name, func(t *testing.T) {
			began, wait := make(chan struct{}, streams), make(chan struct{})
			backend := newH2Peer(t, func(p *h2Peer) {
				stream, _, ok := p.request()
				for ok && !p.told { // before that it takes more streams for possible
					_, ok = p.next()
				}
				if !ok {
					return
				}
				began <- struct{}{}
				<-wait
				p.answer(stream, "x")
				p.rest()
			}, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1})
			release := sync.OnceFunc(func() { close(wait) })
			defer release()
			front := newFront(t, backend, setting{options: Options{Connections: newConnections(t, c.options)}})
			var all sync.WaitGroup
			for range streams {
				all.Go(func() {
					response, err := front.Client().Do(front.request(t, http.MethodGet, "/", nil))
					if assert.NoError(t, err) {
						assert.Equal(t, http.StatusOK, response.StatusCode)
						response.Body.Close()
					}
				})
				receive(t, began, "request")
			}
			assert.Equal(t, ConnectionCounts{Open: streams, Opened: streams}, front.connections.Counts())
			release()
			all.Wait()
			for range streams {
				front.state(t)
			}
			assert.Equal(t, c.stay, front.connections.Counts().Open)
		})
	}
}

// Before a backend has said how many streams it takes, others might have to wait for the end of the first.
func TestSharedConnections_AreSharedWhenTheBackendHasSaidWhatItTakes(t *testing.T) {
	for name, c := range map[string]struct {
		grace time.Duration
		says  bool
	}{"it says so": {time.Hour, true}, "it says nothing": {time.Millisecond, false}} {
		t.Run(name, func(t *testing.T) {
			began, say := make(chan struct{}, 2), make(chan struct{})
			backend := newQuietH2Peer(t, func(p *h2Peer) {
				first, path, _ := p.request()
				began <- struct{}{}
				<-say
				if c.says {
					_ = p.WriteSettings()
				}
				second, _, _ := p.request()
				if !c.says {
					_ = p.WriteSettings()
				}
				p.answer(first, path)
				p.answer(second, path)
				p.rest()
			})
			var client *http2Client
			front := newFront(t, backend, setting{around: func(stage http.Handler) http.Handler {
				client = stage.(*proxy).http2
				client.grace = c.grace
				return stage
			}})
			first := make(chan string, 1)
			go func() {
				_, body := front.exchangeRaw(t, http.MethodGet, "GET /path HTTP/1.1\r\nHost: a\r\n\r\n")
				first <- body
			}()
			receive(t, began, "request")
			if c.says {
				s, _ := front.row(t)
				assert.Nil(t, front.connections.reserve(s, client, time.Time{}, time.Now()))
			}
			close(say)
			_, body := front.get(t, "/path")
			assert.Equal(t, "/path", body)
			assert.Equal(t, "/path", receive(t, first, "answer"))
			assert.EqualValues(t, 1, front.connections.Counts().Opened)
		})
	}
}

// What goes again after one connection was lost goes on a new one: the others may be lost just the same.
func TestSharedConnections_AreGivenByAge(t *testing.T) {
	var client *http2Client
	front := newFront(t, hold(t, false).Backend, setting{around: func(stage http.Handler) http.Handler {
		client = stage.(*proxy).http2
		return stage
	}})
	front.get(t, "/")
	s, row := front.row(t)
	require.Eventually(t, func() bool {
		row.mu.Lock()
		defer row.mu.Unlock()
		return !row.all[0].young
	}, patience, time.Millisecond)
	now := time.Now()
	assert.Nil(t, front.connections.reserve(s, client, now, now))
	c := front.connections.reserve(s, client, now.Add(-time.Hour), now)
	require.NotNil(t, c)
	c.http2.Release()
	front.connections.release(s, c, now)
}

func TestSharedConnections_AreMadeOneAtATime(t *testing.T) {
	eachHTTP2(t, func(t *testing.T, h holding, connections func(ConnectionOptions) *front) {
		front := connections(ConnectionOptions{})
		const requests = 20
		var status []<-chan int
		for range requests {
			got := make(chan int, 1)
			status = append(status, got)
			go func() {
				response, err := front.Client().Do(front.request(t, http.MethodGet, "/hold", nil))
				if assert.NoError(t, err) {
					response.Body.Close()
					got <- response.StatusCode
				}
			}()
		}
		for range requests {
			receive(t, h.began, "request")
		}
		assert.Equal(t, ConnectionCounts{Open: 1, Opened: 1}, front.connections.Counts())
		h.release()
		for _, s := range status {
			assert.Equal(t, http.StatusOK, receive(t, s, "answer"))
		}
	})
}

// Who waits for a connection that is made for another request does not wait for good.
func TestSharedConnections_AreMadeForThoseWhoWaitToo(t *testing.T) {
	for name, panics := range map[string]bool{"the client leaves": false, "the dialler panics": true} {
		t.Run(name, func(t *testing.T) {
			dialing, proceed, came := make(chan struct{}, 10), make(chan struct{}), make(chan struct{}, 10)
			var dials atomic.Int32
			front := newFront(t, hold(t, false).Backend, setting{
				options: Options{Connections: newConnections(t, ConnectionOptions{
					ConnectTimeout: 2 * patience,
					Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
						if dials.Add(1) > 1 {
							return new(net.Dialer).DialContext(ctx, network, address)
						}
						dialing <- struct{}{}
						if panics {
							<-proceed
							panic(http.ErrAbortHandler)
						}
						<-ctx.Done()
						return nil, ctx.Err()
					},
				})},
				around: func(stage http.Handler) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						came <- struct{}{}
						stage.ServeHTTP(w, r)
					})
				},
			})
			ask := func(ctx context.Context) <-chan int {
				status := make(chan int, 1)
				go func() {
					response, err := front.Client().Do(front.request(t, http.MethodGet, "/", nil).WithContext(ctx))
					if err != nil {
						status <- 0
						return
					}
					response.Body.Close()
					status <- response.StatusCode
				}()
				receive(t, came, "request")
				return status
			}
			ctx, leave := context.WithTimeout(t.Context(), patience)
			defer leave()
			first := ask(ctx)
			receive(t, dialing, "dial")
			second := ask(t.Context())
			close(proceed)
			if !panics {
				leave()
			}
			assert.Zero(t, receive(t, first, "end of the first request"))
			if got := receive(t, second, "answer to the second"); !panics {
				assert.Equal(t, http.StatusOK, got)
			}
			response, _ := front.get(t, "/")
			assert.Equal(t, http.StatusOK, response.StatusCode)
			assert.EqualValues(t, 2, dials.Load())
		})
	}
}

// Each stage has its own time-outs.
func TestSharedConnections_AreTheStages(t *testing.T) {
	eachHTTP2(t, func(t *testing.T, h holding, connections func(ConnectionOptions) *front) {
		front := connections(ConnectionOptions{})
		other := newFront(t, h.Backend, setting{options: Options{Connections: front.connections}})
		for range 3 {
			front.get(t, "/")
			other.get(t, "/")
		}
		assert.EqualValues(t, 2, front.connections.Counts().Opened)
	})
}

func BenchmarkHTTP2(b *testing.B) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	defer server.Close()
	stage, err := New(Options{Connections: newConnections(b, ConnectionOptions{})})
	require.NoError(b, err)
	backend := &pipeline.Backend{Scheme: pipeline.H2C, Address: server.Listener.Addr().String()}
	handler, r, w := stage(nil), incoming(0), &discarded{header: make(http.Header)}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		state, w2, r2 := pipeline.Enter(w, r)
		state.Backend = backend
		handler.ServeHTTP(w2, r2)
		if state.Failure != nil {
			b.Fatal(state.Failure.Err)
		}
	}
}
