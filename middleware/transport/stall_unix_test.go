//go:build unix

package transport

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
)

// newTightBackend is a raw one for whose connections the system takes as little ahead as it can. Over TLS it chooses
// HTTP/1.1.
func newTightBackend(t *testing.T, scheme string, speak func(c *wire)) *pipeline.Backend {
	t.Helper()
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		if failed := raw.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10)
		}); failed != nil {
			return failed
		}
		return err
	}}
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	if scheme == pipeline.HTTPS {
		shown := certificate(t, "a", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{shown}, NextProtos: []string{protocolHTTP1}})
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(patience))
				speak(&wire{Conn: conn, Reader: bufio.NewReaderSize(conn, 16)})
			})
		}
	})
	t.Cleanup(all.Wait)
	t.Cleanup(func() { listener.Close() })
	return &pipeline.Backend{Scheme: scheme, Address: listener.Addr().String()}
}

// newDeafBackend gives one that reads little more than the first line, says something, and keeps the connection.
func newDeafBackend(t *testing.T, scheme, says string) *pipeline.Backend {
	over := make(chan struct{})
	backend := newTightBackend(t, scheme, func(c *wire) {
		_, _ = c.ReadString('\n')
		c.send(says)
		<-over
	})
	t.Cleanup(func() { close(over) }) // before it is waited for
	return backend
}

// h2Settings is how a server begins to speak HTTP/2: with its settings, of which there are none.
const h2Settings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00"

func TestTransport_EndsAnUploadThatTheBackendDoesNotTake(t *testing.T) {
	holding := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	const long, window = 64 << 20, 64 << 10
	narrow := func(s *httptest.Server) { s.Config.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: window} }
	for name, c := range map[string]struct {
		backend func(t *testing.T) *pipeline.Backend
		lengths map[string]int64
	}{
		"HTTP/1.1": {
			func(t *testing.T) *pipeline.Backend { return newDeafBackend(t, pipeline.HTTP, "") },
			map[string]int64{"held": maxHeld, "streamed": long, "in chunks": -1},
		},
		"HTTP/1.1 over TLS": {
			func(t *testing.T) *pipeline.Backend { return newDeafBackend(t, pipeline.HTTPS, "") },
			map[string]int64{"held": maxHeld, "streamed": long, "in chunks": -1},
		},
		"HTTP/2": {
			func(t *testing.T) *pipeline.Backend { return newDeafBackend(t, pipeline.H2C, h2Settings) },
			map[string]int64{"streamed": long, "of no known length": -1},
		},
		"HTTP/2, one stream": {
			func(t *testing.T) *pipeline.Backend { return newH2CBackend(t, holding) },
			map[string]int64{"streamed": long, "of no known length": -1},
		},
		"HTTP/2 over TLS, one stream": {
			func(t *testing.T) *pipeline.Backend { return newSecureBackend(t, narrow, holding) },
			map[string]int64{"read to its end": window + 1, "streamed": long, "of no known length": -1},
		},
	} {
		for body, length := range c.lengths {
			t.Run(name+"/"+body, func(t *testing.T) {
				t.Parallel()
				each(t, func(t *testing.T, secure bool) {
					front := newFront(t, c.backend(t), setting{secure: secure, options: Options{
						ProgressTimeout: 100 * time.Millisecond,
						Connections:     newConnections(t, ConnectionOptions{Dial: dialSmall}),
					}})
					content := io.LimitReader(zeros{}, length)
					if length < 0 {
						content = io.LimitReader(zeros{}, long)
					}
					request := front.request(t, "POST", "/", content)
					request.ContentLength = length
					response, err := front.Client().Do(request)
					if err == nil {
						assert.Equal(t, http.StatusGatewayTimeout, response.StatusCode)
						response.Body.Close()
					} else {
						assert.False(t, secure, err) // over HTTP/1.1 it may still be sending when the connection is closed
					}
					failure := front.state(t).Failure
					require.NotNil(t, failure)
					assert.Equal(t, http.StatusGatewayTimeout, failure.Status, failure.Err)
					assert.ErrorContains(t, failure.Err, "send the request")
				})
			})
		}
	}
}

func TestTransport_GoesOnSendingWhatABackendTakesSlowlyOverTLS(t *testing.T) {
	slow := newTightBackend(t, pipeline.HTTPS, func(c *wire) {
		_ = c.Conn.(*tls.Conn).Handshake()
		<-time.After(5 * haste)
		for {
			request, err := http.ReadRequest(c.Reader)
			if err != nil {
				return
			}
			n, _ := io.Copy(io.Discard, request.Body)
			c.send(ok(fmt.Sprint(n)))
		}
	})
	cs := newConnections(t, ConnectionOptions{Dial: dialSmall})
	front := newFront(t, slow, setting{options: Options{Connections: cs}})
	for _, length := range []int{maxHeld, maxHeld, 1 << 20} {
		_, body := front.do(t, front.request(t, "POST", "/", bytes.NewReader(make([]byte, length))))
		assert.Equal(t, fmt.Sprint(length), body)
	}
	assert.EqualValues(t, 1, cs.Counts().Opened, "what was sent as a whole may be followed by another")
}

func TestTransport_GivesABackendTimeToAnswerFromWhenItHasTakenTheRequest(t *testing.T) {
	t.Parallel()
	const head = 3 * time.Second
	backend := newTightBackend(t, pipeline.HTTPS, func(c *wire) {
		_ = c.Conn.(*tls.Conn).Handshake()
		<-time.After(head + head/4)
		if request, err := http.ReadRequest(c.Reader); err == nil {
			_, _ = io.Copy(io.Discard, request.Body)
			c.send(ok("late"))
		}
	})
	front := newFront(t, backend, setting{options: Options{
		ResponseHeaderTimeout: head, Connections: newConnections(t, ConnectionOptions{Dial: dialSmall, ConnectTimeout: patience}),
	}})
	_, body := front.do(t, front.request(t, "POST", "/", bytes.NewReader(make([]byte, maxHeld))))
	assert.Equal(t, "late", body)
}

func TestTransport_NoticesThatAClientLeavesWhileASecureBackendTakesNothing(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan struct{})
	backend := newTightBackend(t, pipeline.HTTPS, func(c *wire) {
		_, _ = c.ReadString('\n')
		leave()
		<-gone
	})
	t.Cleanup(func() { close(gone) })
	front := newFront(t, backend, setting{secure: true, options: Options{
		Connections: newConnections(t, ConnectionOptions{Dial: dialSmall}),
	}})
	_, err := front.Client().Do(front.request(t, "POST", "/", bytes.NewReader(make([]byte, maxHeld))).WithContext(ctx))
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, pipeline.StatusClientLeft, front.state(t).Failure.Status)
}

func TestTransport_EndsAnAnswerToAnUploadThatTheBackendDoesNotTake(t *testing.T) {
	const pace = 10 * time.Millisecond // an answer that goes on is no reason to wait
	pieces := func(c *wire) {
		_, _ = c.ReadString('\n')
		_, err := io.WriteString(c.Conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for err == nil {
			<-time.After(pace)
			_, err = io.WriteString(c.Conn, "1\r\nx\r\n")
		}
	}
	for name, backend := range map[string]*pipeline.Backend{
		"HTTP/1.1":          newTightBackend(t, pipeline.HTTP, pieces),
		"HTTP/1.1 over TLS": newTightBackend(t, pipeline.HTTPS, pieces),
		"HTTP/2": newH2CBackend(t, func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, "x")
				_ = http.NewResponseController(w).Flush()
				<-time.After(pace)
			}
		}),
	} {
		t.Run(name, func(t *testing.T) {
			front := newFront(t, backend, setting{secure: true, options: Options{ProgressTimeout: 100 * time.Millisecond}})
			response, err := front.Client().Do(front.request(t, "POST", "/", io.LimitReader(zeros{}, 64<<20)))
			if err == nil {
				_, err = io.Copy(io.Discard, response.Body)
				response.Body.Close()
			}
			assert.Error(t, err, "it is cut")
			failure := front.state(t).Failure
			require.NotNil(t, failure)
			assert.Equal(t, http.StatusGatewayTimeout, failure.Status, failure.Err)
		})
	}
}
