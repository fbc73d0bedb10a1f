package transport

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
)

func TestTransport_GivesTheAnswerOfABackendThatWantsNoMoreOfTheRequest(t *testing.T) {
	const size = 16 << 20 // more than lies between the two
	for _, closes := range []bool{false, true} {
		for _, known := range []bool{false, true} {
			t.Run(fmt.Sprintf("closes %t, known %t", closes, known), func(t *testing.T) {
				over := make(chan struct{})
				defer close(over)
				front := newFront(t, newRawBackend(t, func(c *wire) {
					if c.head() == "" {
						return
					}
					c.exactly(1000)
					c.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
					if closes {
						_ = c.Conn.(*net.TCPConn).CloseWrite()
					}
					<-over
				}), setting{})
				c := front.connect(t)
				if known {
					c.send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", size))
				} else {
					c.send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n", size))
				}
				go func() { _, _ = io.CopyN(c.Conn, zeros{}, size) }()
				response, err := http.ReadResponse(c.Reader, nil)
				require.NoError(t, err)
				assert.Equal(t, http.StatusRequestEntityTooLarge, response.StatusCode)
				body, _ := io.ReadAll(response.Body)
				assert.Equal(t, "no", string(body))
				c.Conn.Close()
				assert.Nil(t, front.state(t).Failure)
				assert.Zero(t, front.connections.Counts().Idle, "half of a request is still to come on it")
			})
		}
	}
}

func TestTransport_WaitsForNoBackendThatAnswersWithoutReading(t *testing.T) {
	// The system's buffers may hold all that is sent; less of them makes the write stall.
	over := make(chan struct{})
	defer close(over)
	backend := newRawBackend(t, func(c *wire) {
		_ = c.Conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		c.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nunread")
		<-over
	})
	cs := newConnections(t, ConnectionOptions{Dial: dialSmall})
	front := newFront(t, backend, setting{options: Options{Connections: cs}})
	for _, size := range []int{1, maxHeld, maxHeld + 1, 1 << 20} {
		response, body := front.do(t, front.request(t, "POST", "/", bytes.NewReader(make([]byte, size))))
		assert.Equal(t, http.StatusOK, response.StatusCode)
		assert.Equal(t, "unread", body)
	}
}

func TestTransport_GoesOnSendingAHeldBodyThatABackendTakesSlowly(t *testing.T) {
	slow := newRawBackend(t, func(c *wire) {
		_ = c.Conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		<-time.After(5 * haste)
		for {
			request, err := http.ReadRequest(c.Reader)
			if err != nil {
				return
			}
			body, _ := io.ReadAll(request.Body)
			c.send(ok(fmt.Sprint(bytes.Count(body, []byte("x")))))
		}
	})
	cs := newConnections(t, ConnectionOptions{Dial: dialSmall})
	front := newFront(t, slow, setting{options: Options{Connections: cs}})
	for range 3 {
		_, body := front.do(t, front.request(t, "POST", "/", strings.NewReader(strings.Repeat("x", maxHeld))))
		assert.Equal(t, fmt.Sprint(maxHeld), body)
	}
	assert.EqualValues(t, 1, cs.Counts().Opened, "what was sent as a whole may be followed by another")
}

// dialSmall connects with as little room for what is sent as the system allows.
func dialSmall(_ context.Context, network, address string) (net.Conn, error) {
	conn, err := net.Dial(network, address)
	if err != nil {
		return nil, err
	}
	_ = conn.(*net.TCPConn).SetWriteBuffer(4 << 10)
	return conn, nil
}

// odd is a body that a server would not give: of another length than it says.
type odd struct{ io.Reader }

func (odd) Close() error { return nil }

func TestTransport_SendsNoBodyThatIsNotAsLongAsItSays(t *testing.T) {
	for _, c := range []struct {
		name      string
		says, has int64
		status    int
		cause     string
	}{
		{"shorter, held", 10, 9, pipeline.StatusClientLeft, "EOF"},
		{"longer, held", 10, 11, 400, "longer"},
		{"shorter, streamed", 1 << 20, 1<<20 - 1, pipeline.StatusClientLeft, "EOF"},
		{"longer, streamed", 1 << 20, 1<<20 + 1, 400, "longer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := make(chan string, 1)
			backend := newRawBackend(t, func(w *wire) {
				w.head()
				got <- w.rest()
			})
			cs := newConnections(t, ConnectionOptions{})
			stage, err := New(Options{Connections: cs})
			require.NoError(t, err)
			r := incoming(0)
			r.Method, r.ContentLength, r.Body = "POST", c.says, odd{io.LimitReader(zeros{}, c.has)}
			state, w2, r2 := pipeline.Enter(newRecorded(), r)
			state.Backend = backend
			func() {
				defer func() { _ = recover() }()
				stage(nil).ServeHTTP(w2, r2)
			}()
			require.NotNil(t, state.Failure)
			assert.ErrorContains(t, state.Failure.Err, c.cause)
			assert.Equal(t, c.status, state.Failure.Status)
			assert.Equal(t, 0, cs.Counts().Open)
			if c.says > maxHeld {
				assert.LessOrEqual(t, int64(len(receive(t, got, "body"))), c.says)
			} else {
				assert.Zero(t, cs.Counts().Opened, "the backend need not know of it")
			}
		})
	}
}

func TestTransport_SendsChunksAsTheyCome(t *testing.T) {
	pieces := make(chan string)
	front := newFront(t, newRawBackend(t, func(c *wire) {
		if c.head() == "" {
			return
		}
		for _, want := range []string{"1\r\na\r\n", "3\r\nbcd\r\n"} {
			got := c.exactly(len(want))
			pieces <- got
		}
		pieces <- c.exactly(5)
		c.send(ok("x"))
	}), setting{})
	c := front.connect(t)
	c.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
	assert.Equal(t, "1\r\na\r\n", receive(t, pieces, "first chunk"))
	c.send("3\r\nbcd\r\n")
	assert.Equal(t, "3\r\nbcd\r\n", receive(t, pieces, "second chunk"))
	c.send("0\r\n\r\n")
	assert.Equal(t, "0\r\n\r\n", receive(t, pieces, "last chunk"))
	response, err := http.ReadResponse(c.Reader, nil)
	require.NoError(t, err)
	assert.Equal(t, http.StatusOK, response.StatusCode)
	front.state(t)
	assert.Equal(t, 1, front.connections.Counts().Idle, "after a whole upload")
}

func TestTransport_EndsARequestThatTheBackendDoesNotTakeOrAnswer(t *testing.T) {
	t.Run("no more of the request", func(t *testing.T) {
		front := newFront(t, newRawBackend(t, func(c *wire) { c.head(); <-t.Context().Done() }),
			setting{options: Options{ProgressTimeout: 100 * time.Millisecond}})
		c := front.connect(t)
		c.send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", 64<<20))
		go func() { _, _ = io.CopyN(c.Conn, zeros{}, 64<<20) }()
		response, err := http.ReadResponse(c.Reader, nil)
		require.NoError(t, err)
		assert.Equal(t, http.StatusGatewayTimeout, response.StatusCode)
		c.Conn.Close()
		assert.Equal(t, http.StatusGatewayTimeout, front.state(t).Failure.Status)
	})
	t.Run("no more of the answer", func(t *testing.T) {
		for _, answer := range []string{
			"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nno", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n", "HTTP/1.1 200 OK\r\n\r\nno",
		} {
			front := newFront(t, newRawBackend(t, func(c *wire) { c.head(); c.send(answer); <-t.Context().Done() }),
				setting{options: Options{ProgressTimeout: 100 * time.Millisecond}})
			response, err := front.Client().Do(front.request(t, "GET", "/", nil))
			if err == nil {
				_, err = io.ReadAll(response.Body)
				response.Body.Close()
			}
			assert.Error(t, err)
			failure := front.state(t).Failure
			require.NotNil(t, failure)
			assert.Equal(t, http.StatusGatewayTimeout, failure.Status)
		}
	})
	t.Run("no answer to an upload", func(t *testing.T) {
		front := newFront(t, newRawBackend(t, func(c *wire) { c.head(); c.exactly(5); <-t.Context().Done() }),
			setting{options: Options{ResponseHeaderTimeout: 100 * time.Millisecond}})
		response, _ := front.do(t, front.request(t, "POST", "/", io.MultiReader(strings.NewReader("hello"))))
		assert.Equal(t, http.StatusGatewayTimeout, response.StatusCode)
	})
}
