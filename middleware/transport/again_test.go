package transport

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
)

// deaf is a connection of which the second write is refused as a whole.
type deaf struct {
	net.Conn
	writes int
}

func (d *deaf) Write(p []byte) (int, error) {
	if d.writes++; d.writes == 2 {
		return 0, syscall.EPIPE
	}
	return d.Conn.Write(p)
}

func TestTransport_SendsAnyRequestAgainOfWhichNothingWasSent(t *testing.T) {
	for _, method := range []string{"GET", "POST", "PATCH"} {
		for _, length := range []int{0, 10, maxHeld + 1} {
			t.Run(fmt.Sprint(method, " ", length), func(t *testing.T) {
				first := true
				cs := newConnections(t, ConnectionOptions{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
					conn, err := new(net.Dialer).DialContext(ctx, network, address)
					if first && err == nil {
						first = false
						return &deaf{Conn: conn}, nil
					}
					return conn, err
				}})
				front := newFront(t, newBackend(t, func(w http.ResponseWriter, r *http.Request) {
					n, _ := io.Copy(io.Discard, r.Body)
					_, _ = fmt.Fprint(w, r.Method, " ", n)
				}), setting{options: Options{Connections: cs}})
				front.get(t, "/")
				response, body := front.do(t, front.request(t, method, "/", strings.NewReader(strings.Repeat("x", length))))
				assert.Equal(t, http.StatusOK, response.StatusCode)
				assert.Equal(t, fmt.Sprint(method, " ", length), body)
				assert.EqualValues(t, 2, cs.Counts().Opened)
			})
		}
	}
}

func TestTransport_AsksOnceWhereABackendHasBegunToAnswer(t *testing.T) {
	for name, begun := range map[string]string{
		"an informational response": "HTTP/1.1 103 Early Hints\r\n\r\n",
		"half a head":               "HTTP/1.1 200 OK\r\nContent-Le",
		"one byte":                  "H",
	} {
		t.Run(name, func(t *testing.T) {
			asked := make(chan string, 100)
			front := newFront(t, newRawBackend(t, func(c *wire) {
				for _, answer := range []string{ok("x"), begun} {
					head := c.head()
					if head == "" {
						return
					}
					asked <- head
					c.send(answer)
				}
				c.end()
			}), setting{})
			front.get(t, "/")
			response, _ := front.get(t, "/")
			assert.Equal(t, http.StatusBadGateway, response.StatusCode)
			assert.Len(t, asked, 2)
			assert.EqualValues(t, 1, front.connections.Counts().Opened)
		})
	}
}

func TestTransport_KeepsAConnectionOnlyWhereTheBackendDoes(t *testing.T) {
	for _, c := range []struct {
		head   string
		opened int
	}{
		{"HTTP/1.1 200 OK\r\n", 1},
		{"HTTP/1.1 200 OK\r\nConnection: close\r\n", 2},
		{"HTTP/1.1 200 OK\r\nConnection: odd, Close\r\n", 2},
		{"HTTP/1.0 200 OK\r\n", 2},
		{"HTTP/1.0 200 OK\r\nConnection: odd\r\n", 2},
		{"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", 1},
	} {
		t.Run(c.head, func(t *testing.T) {
			front := newFront(t, newRawBackend(t, func(w *wire) {
				for w.head() != "" {
					w.send(c.head + "Content-Length: 1\r\n\r\nx") // and the connection stays open
				}
			}), setting{})
			for range 2 {
				_, body := front.get(t, "/")
				assert.Equal(t, "x", body)
			}
			assert.EqualValues(t, c.opened, front.connections.Counts().Opened)
		})
	}
}

// last is a client that looks at something while it takes the last of an answer.
type last struct {
	discarded
	size int
	look func()
}

func (l *last) Write(p []byte) (int, error) {
	n, err := l.discarded.Write(p)
	if l.bytes == l.size {
		l.look()
	}
	return n, err
}

func TestTransport_LeavesAConnectionBeforeTheClientHasTakenTheLastOfAnAnswer(t *testing.T) {
	for _, size := range []int{1, 1 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			backend := quickBackend(t, size)
			cs := newConnections(t, ConnectionOptions{})
			for range 2 {
				idle := -1
				client := &last{discarded{header: make(http.Header)}, size, func() { idle = cs.Counts().Idle }}
				state := direct(t, Options{Connections: cs}, client, backend)
				require.Nil(t, state.Failure)
				assert.Equal(t, size, client.bytes)
				assert.Equal(t, 1, idle)
			}
			assert.Equal(t, ConnectionCounts{Open: 1, Idle: 1, Opened: 1, Reused: 1}, cs.Counts())
		})
	}
}

// wavering is a backend that closes a connection when it has read the head of the second request on it, and says how many
// heads and bodies it has got. What has to happen before it closes, first waits for.
func wavering(t *testing.T, first func()) (backend *pipeline.Backend, heads chan string, bodies chan string) {
	heads, bodies = make(chan string, 10), make(chan string, 10)
	return newRawBackend(t, func(c *wire) {
		for n := 0; ; n++ {
			request, err := http.ReadRequest(c.Reader)
			if err != nil {
				return
			}
			if n > 0 {
				heads <- "cut"
				first()
				return
			}
			heads <- "kept"
			body, err := io.ReadAll(request.Body)
			if err != nil {
				return
			}
			bodies <- string(body)
			c.send(ok("done"))
		}
	}), heads, bodies
}

func TestTransport_SendsAnUploadAgainOfWhichNothingWasTaken(t *testing.T) {
	long := strings.Repeat("long", maxHeld)
	for _, c := range []struct {
		name, method, expect string
		length               int64
	}{
		{"long", "PUT", "", int64(len(long))},
		{"in chunks", "PUT", "", -1},
		{"of a method that is repeated", "DELETE", "", -1},
		{"asked for", "PUT", "100-continue", int64(len(long))},
	} {
		t.Run(c.name, func(t *testing.T) {
			each(t, func(t *testing.T, secure bool) {
				invited, once := make(chan struct{}), sync.OnceFunc(func() {})
				if c.expect == "" {
					close(invited)
				} else {
					once = sync.OnceFunc(func() { close(invited) })
				}
				const invite = time.Millisecond
				backend, heads, bodies := wavering(t, func() { receive(t, invited, "invitation") })
				front := newFront(t, backend, setting{secure: secure, options: Options{ContinueTimeout: invite}})
				front.get(t, "/")
				assert.Equal(t, "kept", receive(t, heads, "first request"))
				assert.Empty(t, receive(t, bodies, "first body"))

				body, feed := io.Pipe()
				defer feed.Close()
				request := front.request(t, c.method, "/", body)
				request.ContentLength = c.length
				if c.expect != "" {
					request.Header.Set("Expect", c.expect)
					request = request.WithContext(httptrace.WithClientTrace(request.Context(), &httptrace.ClientTrace{Got100Continue: once}))
				}
				answered := make(chan *http.Response, 1)
				go func() {
					response, err := front.Client().Do(request)
					if assert.NoError(t, err) {
						defer response.Body.Close()
					}
					answered <- response
				}()
				assert.Equal(t, "cut", receive(t, heads, "second request"))
				assert.Equal(t, "kept", receive(t, heads, "the same once more"))
				if c.expect != "" {
					<-time.After(50 * invite) // nobody waits for the invitation once more
				}
				_, err := io.WriteString(feed, long)
				require.NoError(t, err)
				require.NoError(t, feed.Close())
				assert.Equal(t, len(long), len(receive(t, bodies, "second body")))
				response := receive(t, answered, "answer")
				require.NotNil(t, response)
				assert.Equal(t, http.StatusOK, response.StatusCode)
				assert.EqualValues(t, 2, front.connections.Counts().Opened)
			})
		})
	}
}

func TestTransport_SendsNoUploadAgainThatIsNotToBeRepeated(t *testing.T) {
	for _, c := range []struct {
		name, method, sent string
	}{
		{"begun", "PUT", "x"},
		{"not idempotent", "POST", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			taken := make(chan struct{})
			backend := newRawBackend(t, func(w *wire) {
				w.head()
				w.send(ok("first"))
				w.head()
				w.exactly(len("1\r\nx\r\n") * len(c.sent))
				close(taken)
			})
			front := newFront(t, backend, setting{})
			front.get(t, "/")
			client := front.connect(t)
			client.send(c.method + " / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
			if c.sent != "" {
				client.send("1\r\n" + c.sent + "\r\n")
			}
			response, err := http.ReadResponse(client.Reader, nil)
			require.NoError(t, err)
			defer response.Body.Close()
			assert.Equal(t, http.StatusBadGateway, response.StatusCode)
			receive(t, taken, "second request")
			assert.EqualValues(t, 1, front.connections.Counts().Opened)
		})
	}
}

func TestTransport_LeavesNoUploadBehindWhereThereIsNoSecondConnection(t *testing.T) {
	var dialled atomic.Int32
	cs := newConnections(t, ConnectionOptions{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if dialled.Add(1) > 1 {
			return nil, syscall.ECONNREFUSED
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}})
	backend, heads, _ := wavering(t, func() {})
	front := newFront(t, backend, setting{options: Options{Connections: cs}})
	front.get(t, "/")
	assert.Equal(t, "kept", receive(t, heads, "first request"))
	client := front.connect(t)
	client.send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
	response, err := http.ReadResponse(client.Reader, nil)
	require.NoError(t, err)
	defer response.Body.Close()
	assert.Equal(t, http.StatusBadGateway, response.StatusCode)
	assert.Equal(t, "cut", receive(t, heads, "second request"))
	client.send("1\r\nx\r\n0\r\n\r\n") // now its reading ends
	assert.Eventually(t, func() bool {
		var stacks strings.Builder
		_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1)
		return !strings.Contains(stacks.String(), "(*upload).run")
	}, patience, 10*time.Millisecond)
}

func TestUpload_EndsWhereNoOtherConnectionComes(t *testing.T) {
	body, feed := io.Pipe()
	u := &upload{body: &requestBody{from: body, length: maxHeld + 1}, deferred: new(socket), to: new(connection),
		pools: newPools(), done: make(chan struct{})}
	require.True(t, u.withdraw())
	go u.run()
	_, err := feed.Write([]byte("x"))
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		u.mu.Lock()
		defer u.mu.Unlock()
		return u.taken
	}, patience, time.Millisecond)
	assert.False(t, u.withdraw(), "it has something for somebody")
	u.abandon()
	receive(t, u.done, "end")
	assert.ErrorIs(t, u.failure(), errFinished)
}
