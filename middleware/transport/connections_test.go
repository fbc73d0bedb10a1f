package transport

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
)

func newConnections(t testing.TB, options ConnectionOptions) *Connections {
	t.Helper()
	cs, err := NewConnections(options)
	require.NoError(t, err)
	t.Cleanup(cs.Close)
	return cs
}

// lasting is a backend that answers every request, and reports the end of each connection.
func lasting(t *testing.T) (*pipeline.Backend, chan struct{}) {
	ends := make(chan struct{}, 1000)
	return newRawBackend(t, func(c *wire) {
		for c.head() != "" {
			c.send(ok("x"))
		}
		ends <- struct{}{}
	}), ends
}

func TestConnections_AreUsedAgainLastOneFirst(t *testing.T) {
	backend, _ := lasting(t)
	cs := newConnections(t, ConnectionOptions{})
	s := cs.shelf(key{scheme: pipeline.HTTP, address: backend.Address})
	var made []*connection
	for range 3 {
		c, err := cs.fresh(t.Context(), s)
		require.NoError(t, err)
		made = append(made, c)
	}
	now := time.Now()
	for _, c := range made {
		cs.keep(c, now)
	}
	assert.Equal(t, ConnectionCounts{Open: 3, Idle: 3, Opened: 3}, cs.Counts())
	for i := range made {
		assert.Same(t, made[2-i], cs.take(s, now))
	}
	assert.Nil(t, cs.take(s, now))
	assert.Zero(t, cs.Counts().Idle)
	assert.Same(t, s, cs.shelf(key{scheme: pipeline.HTTP, address: backend.Address}))
	assert.NotSame(t, s, cs.shelf(key{scheme: pipeline.HTTPS, address: backend.Address, name: "a"}))
	for _, c := range made {
		c.cut()
		c.cut()
	}
	assert.Zero(t, cs.Counts().Open)
}

func TestConnections_AreBoundAndGrowOld(t *testing.T) {
	backend, ends := lasting(t)
	other, _ := lasting(t)
	cs := newConnections(t, ConnectionOptions{MaxIdlePerBackend: 2, MaxIdle: 3, MaxAge: time.Hour, IdleTimeout: time.Minute})
	now := time.Now()
	s, o := cs.shelf(key{scheme: pipeline.HTTP, address: backend.Address}), cs.shelf(key{scheme: pipeline.HTTP, address: other.Address})
	fill := func(s *shelf, n int) {
		var made []*connection
		for range n {
			c, err := cs.fresh(t.Context(), s)
			require.NoError(t, err)
			made = append(made, c)
		}
		for _, c := range made {
			cs.keep(c, now)
		}
	}
	fill(s, 3)
	receive(t, ends, "end of the one too many for a backend")
	assert.Equal(t, 2, cs.Counts().Idle)
	fill(o, 2)
	assert.Equal(t, ConnectionCounts{Open: 3, Idle: 3, Opened: 5}, cs.Counts(), "in all")

	assert.Nil(t, cs.take(s, now.Add(time.Minute)), "idle for too long")
	assert.Equal(t, 1, cs.Counts().Open)
	c := cs.take(o, now.Add(time.Second))
	require.NotNil(t, c)
	cs.keep(c, c.born.Add(time.Hour))
	assert.Zero(t, cs.Counts().Open, "too old to be kept")
	c, err := cs.fresh(t.Context(), o)
	require.NoError(t, err)
	c.born, c.rested = now.Add(-time.Hour), now
	cs.idle.Add(1)
	require.True(t, o.push(c, 1))
	assert.Nil(t, cs.take(o, now), "too old to be used")
}

func TestConnections_NoticeWithoutARequestThatABackendIsGone(t *testing.T) {
	for _, secure := range []bool{false, true} {
		handler := func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "x") }
		server := httptest.NewUnstartedServer(http.HandlerFunc(handler))
		backend := &pipeline.Backend{Scheme: pipeline.HTTP, Address: server.Listener.Addr().String()}
		if secure {
			backend.Scheme = pipeline.HTTPS
			server.StartTLS()
		} else {
			server.Start()
		}
		t.Cleanup(server.Close)
		front := newFront(t, backend, setting{options: Options{IdleTimeout: time.Minute}})
		front.get(t, "/")
		assert.Equal(t, 1, front.connections.Counts().Idle)
		server.CloseClientConnections()
		assert.Eventually(t, func() bool { return front.connections.Counts() == ConnectionCounts{Opened: 1} }, 30*time.Second, 10*time.Millisecond)
	}
}

func TestConnections_LeaveNothingBehindWhenNothingIsAsked(t *testing.T) {
	backend, _ := lasting(t)
	front := newFront(t, backend, setting{options: Options{IdleTimeout: 20 * time.Millisecond}})
	front.get(t, "/")
	cs := front.connections
	assert.Eventually(t, func() bool {
		cs.mu.Lock()
		defer cs.mu.Unlock()
		for i := range cs.shards {
			if len(cs.shards[i].all()) > 0 {
				return false
			}
		}
		return cs.sweeper == nil && cs.open.Load() == 0
	}, 30*time.Second, 10*time.Millisecond, "neither a connection, nor a shelf, nor a timer")
	front.get(t, "/")
	assert.EqualValues(t, 2, cs.Counts().Opened)
}

func TestConnections_SweepAllThatLiesBelowWhatIsUsed(t *testing.T) {
	backend, ends := lasting(t)
	cs := newConnections(t, ConnectionOptions{IdleTimeout: time.Minute})
	s := cs.shelf(key{scheme: pipeline.HTTP, address: backend.Address})
	now := time.Now()
	const old, recent = 3*sweepStep + 5, 3
	var made []*connection
	for range old + recent {
		c, err := cs.fresh(t.Context(), s)
		require.NoError(t, err)
		made = append(made, c)
	}
	for i, c := range made {
		at := now
		if i < old {
			at = now.Add(-2 * time.Minute)
			if i%10 == 0 { // some of them are used
				at = now.Add(-30 * time.Second)
			}
		}
		cs.keep(c, at)
	}
	cs.sweepShelf(s, now)
	const used = (old + 9) / 10
	for range old - used {
		receive(t, ends, "end of a connection")
	}
	assert.Equal(t, ConnectionCounts{Open: used + recent, Idle: used + recent, Opened: old + recent}, cs.Counts())
}

func TestConnections_EndWithTheBackendsPlaceInTheTable(t *testing.T) {
	hold, held := make(chan struct{}), make(chan struct{}, 1)
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			held <- struct{}{}
			<-hold
		}
		_, _ = io.WriteString(w, "x")
	}
	release := sync.OnceFunc(func() { close(hold) })
	defer release()
	stays, leaves := newBackend(t, handler), newBackend(t, handler)
	h2 := newSecureBackend(t, nil, handler)
	cs := newConnections(t, ConnectionOptions{})
	fronts := map[*pipeline.Backend]*front{}
	for _, b := range []*pipeline.Backend{stays, leaves, h2} {
		fronts[b] = newFront(t, b, setting{options: Options{Connections: cs}})
		fronts[b].get(t, "/")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		response, err := fronts[leaves].Client().Do(fronts[leaves].request(t, "GET", "/hold", nil))
		if assert.NoError(t, err) {
			assert.Equal(t, http.StatusOK, response.StatusCode)
			response.Body.Close()
		}
	}()
	receive(t, held, "request")
	fronts[leaves].get(t, "/")
	assert.Equal(t, ConnectionCounts{Open: 4, Idle: 2, Opened: 4, Reused: 1}, cs.Counts())

	cs.Retain(func(scheme, address string) bool { return scheme == stays.Scheme && address == stays.Address })
	assert.Equal(t, 1, cs.Counts().Idle)
	release()
	receive(t, done, "answer")
	assert.Eventually(t, func() bool { return cs.Counts().Open == 1 }, 30*time.Second, time.Millisecond, "what was in use has ended, too")
	assert.EqualValues(t, 1, cs.Counts().Reused, "what has been is not forgotten")

	fronts[stays].get(t, "/")
	assert.Equal(t, 1, cs.Counts().Idle)
	cs.Close()
	assert.Eventually(t, func() bool { return cs.Counts().Open == 0 }, 30*time.Second, time.Millisecond)
	fronts[stays].get(t, "/") // is served nevertheless
	assert.Zero(t, cs.Counts().Idle)
}

func TestConnections_ToASecureBackendThatSpeaksHTTP11AreOurs(t *testing.T) {
	backend := newSecureBackend(t, func(s *httptest.Server) { s.EnableHTTP2 = false }, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprint(w, r.Proto, " ", len(body))
	})
	front := newFront(t, backend, setting{})
	for i := range 5 {
		request := front.request(t, "POST", "/", bytes.NewReader(make([]byte, i*40_000)))
		request.Host = "app.example"
		_, body := front.do(t, request)
		assert.Equal(t, fmt.Sprint("HTTP/1.1 ", i*40_000), body)
	}
	counts := front.connections.Counts()
	assert.EqualValues(t, 1, counts.Opened)
	assert.EqualValues(t, 4, counts.Reused)
}

func TestTransport_NeverFailsARequestForAConnectionThatWasClosedWhileIdle(t *testing.T) {
	for _, method := range []string{"GET", "POST", "PUT", "PATCH"} {
		for _, size := range []int{0, 10, 100_000} {
			t.Run(fmt.Sprint(method, " ", size), func(t *testing.T) {
				closed := make(chan struct{}, 1)
				backend := newRawBackend(t, func(c *wire) {
					request, err := http.ReadRequest(c.Reader)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, request.Body)
					c.send(ok("x"))
					c.Conn.Close()
					closed <- struct{}{}
				})
				front := newFront(t, backend, setting{options: Options{IdleTimeout: time.Hour}})
				for range 5 {
					response, body := front.do(t, front.request(t, method, "/", strings.NewReader(strings.Repeat("x", size))))
					require.Equal(t, http.StatusOK, response.StatusCode, body)
					receive(t, closed, "end of the connection")
				}
			})
		}
	}
}

func TestTransport_SendsASafeRequestAgainOnANewConnection(t *testing.T) {
	for _, c := range []struct {
		method, body string
		status       int
	}{
		{"GET", "", 200}, {"HEAD", "", 200}, {"DELETE", "", 200}, {"PUT", "again", 200},
		{"POST", "", 502}, {"POST", "never again", 502}, {"PATCH", "x", 502},
	} {
		t.Run(c.method+" "+c.body, func(t *testing.T) {
			bodies := make(chan string, 10)
			var mu sync.Mutex
			first := true
			backend := newRawBackend(t, func(w *wire) {
				for n := 0; ; n++ {
					request, err := http.ReadRequest(w.Reader)
					if err != nil {
						return
					}
					body, _ := io.ReadAll(request.Body)
					mu.Lock()
					last := first && n == 1
					first = first && n == 0
					mu.Unlock()
					if last { // as if the connection had been closed when the request came
						return
					}
					bodies <- string(body)
					w.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
			})
			front := newFront(t, backend, setting{})
			front.get(t, "/")
			receive(t, bodies, "first request")
			response, _ := front.do(t, front.request(t, c.method, "/", strings.NewReader(c.body)))
			assert.Equal(t, c.status, response.StatusCode)
			if c.status == http.StatusOK {
				assert.Equal(t, c.body, receive(t, bodies, "second request"))
				assert.EqualValues(t, 2, front.connections.Counts().Opened)
			} else {
				assert.EqualValues(t, 1, front.connections.Counts().Opened)
			}
			assert.Empty(t, bodies)
		})
	}
}

func TestNewConnections_RefusesWhatMakesNoSense(t *testing.T) {
	for name, options := range map[string]ConnectionOptions{
		"ConnectTimeout":    {ConnectTimeout: -1},
		"IdleTimeout":       {IdleTimeout: -1},
		"MaxAge":            {MaxAge: -1},
		"MaxIdlePerBackend": {MaxIdlePerBackend: -1},
		"MaxIdle":           {MaxIdle: -1},
	} {
		_, err := NewConnections(options)
		assert.ErrorContains(t, err, name)
	}
}

func TestConnections_DialWithWhatTheyAreGiven(t *testing.T) {
	backend, _ := lasting(t)
	cs := newConnections(t, ConnectionOptions{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		assert.Equal(t, "elsewhere:80", address)
		return new(net.Dialer).DialContext(ctx, network, backend.Address)
	}})
	front := newFront(t, &pipeline.Backend{Scheme: pipeline.HTTP, Address: "elsewhere:80"}, setting{options: Options{Connections: cs}})
	_, body := front.get(t, "/")
	assert.Equal(t, "x", body)
}

func BenchmarkConnections(b *testing.B) {
	server := httptest.NewServer(nil)
	defer server.Close()
	cs := newConnections(b, ConnectionOptions{})
	for i := range 1000 {
		cs.shelf(key{scheme: pipeline.HTTP, address: fmt.Sprint("192.0.2.1:", i)})
	}
	k := key{scheme: pipeline.HTTP, address: server.Listener.Addr().String()}
	c, err := cs.fresh(b.Context(), cs.shelf(k))
	require.NoError(b, err)
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		cs.keep(c, now)
		if c = cs.take(cs.shelf(k), now); c == nil {
			b.Fatal("lost")
		}
	}
}

func TestConnections_SpreadTheNamesThatClientsThinkUp(t *testing.T) {
	cs := newConnections(t, ConnectionOptions{})
	for n := range 1000 {
		cs.shelf(key{scheme: pipeline.HTTPS, address: "127.0.0.1:443", name: fmt.Sprintf("n%d.app.test", n)})
	}
	for i := range cs.shards {
		assert.Less(t, len(cs.shards[i].all()), 100, "the next name copies all of them")
	}
}
