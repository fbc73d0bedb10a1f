package transport

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
)

// The first connection goes as if it had been closed when the second request came.
func TestTransport_SendsASafeRequestAgainOnANewHTTP2Connection(t *testing.T) {
	for method, status := range map[string]int{
		"GET": 200, "HEAD": 200, "OPTIONS": 200, "DELETE": 200, "PUT": 200, "POST": 502, "PATCH": 502,
	} {
		t.Run(method, func(t *testing.T) {
			var connections atomic.Int32
			backend := newH2Peer(t, func(p *h2Peer) {
				first := connections.Add(1) == 1
				for n := 0; ; n++ {
					stream, path, ok := p.request()
					if !ok || first && n == 1 {
						return
					}
					if method == http.MethodHead && !first {
						p.head(stream, true, ":status", "200")
						continue
					}
					p.answer(stream, path)
				}
			})
			front := newFront(t, backend, setting{})
			front.get(t, "/first")
			require.Nil(t, front.state(t).Failure)
			response, body := front.do(t, front.request(t, method, "/second", nil))
			assert.Equal(t, status, response.StatusCode)
			failure := front.state(t).Failure
			if status != http.StatusOK {
				require.NotNil(t, failure)
				assert.False(t, failure.Repeatable)
				assert.EqualValues(t, 1, connections.Load())
				return
			}
			assert.Nil(t, failure)
			if method != "HEAD" {
				assert.Equal(t, "/second", body)
			}
			assert.EqualValues(t, 2, connections.Load())
			assert.Empty(t, front.log.String())
		})
	}
}

func TestTransport_LeavesItToOthersWhereANewHTTP2ConnectionFails(t *testing.T) {
	var connections atomic.Int32
	backend := newH2Peer(t, func(p *h2Peer) {
		connections.Add(1)
		p.request()
	})
	front := newFront(t, backend, setting{})
	response, _ := front.get(t, "/")
	assert.Equal(t, http.StatusBadGateway, response.StatusCode)
	failure := front.state(t).Failure
	require.NotNil(t, failure)
	assert.True(t, failure.Repeatable)
	assert.False(t, failure.Unsent)
	assert.EqualValues(t, 1, connections.Load())
}

func TestTransport_NeverFailsARequestForAnHTTP2ConnectionThatWasClosedWhileIdle(t *testing.T) {
	for _, method := range []string{"GET", "POST", "PUT"} {
		t.Run(method, func(t *testing.T) {
			backend := newH2Peer(t, func(p *h2Peer) {
				stream, path, ok := p.request()
				if ok {
					if method != "GET" {
						p.body()
					}
					p.answer(stream, path)
				}
			})
			front := newFront(t, backend, setting{})
			for range 5 {
				request := front.request(t, method, "/", nil)
				if method != "GET" {
					request = front.request(t, method, "/", strings.NewReader("body"))
				}
				response, body := front.do(t, request)
				require.Equal(t, http.StatusOK, response.StatusCode, body)
				if method != "GET" { // its end may cross the next request, of which the body is on its way then
					require.Eventually(t, func() bool { return front.connections.Counts().Open == 0 }, patience, 1e6)
				}
			}
		})
	}
}

// What the backend says that it has not processed may go again, whatever it is.
func TestTransport_SendsAgainWhatAnHTTP2BackendHasNotProcessed(t *testing.T) {
	for name, c := range map[string]struct {
		refuse  func(p *h2Peer, stream uint32)
		another bool // it needs another connection
	}{
		"a refused stream": {func(p *h2Peer, stream uint32) { _ = p.WriteRSTStream(stream, http2.ErrCodeRefusedStream) }, false},
		"a stream behind the last": {func(p *h2Peer, stream uint32) {
			_ = p.WriteGoAway(stream-2, http2.ErrCodeNo, nil)
			p.rest()
		}, true},
		"a first stream behind the last": {func(p *h2Peer, stream uint32) {
			_ = p.WriteGoAway(stream-2, http2.ErrCodeEnhanceYourCalm, nil)
			p.rest()
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			for _, body := range []string{"", "body"} {
				var requests atomic.Int32
				backend := newH2Peer(t, func(p *h2Peer) {
					for {
						stream, path, ok := p.request()
						switch {
						case !ok:
							return
						case requests.Add(1) == 2:
							c.refuse(p, stream)
							continue
						case path == "/first":
							p.answer(stream, path)
							continue
						}
						if body != "" {
							p.head(stream, false, ":status", "100")
							assert.Equal(t, body, p.body())
						}
						p.answer(stream, path)
					}
				})
				front := newFront(t, backend, setting{options: Options{ContinueTimeout: patience}})
				front.get(t, "/first")
				request := front.request(t, "POST", "/second", nil)
				if body != "" {
					request = front.request(t, "POST", "/second", strings.NewReader(body))
					request.Header.Set("Expect", "100-continue") // so it is not read before
					front.Client().Transport.(*http.Transport).ExpectContinueTimeout = patience
				}
				response, answer := front.do(t, request)
				assert.Equal(t, http.StatusOK, response.StatusCode)
				assert.Equal(t, "/second", answer)
				want := uint64(1)
				if c.another {
					want = 2
				}
				assert.Equal(t, want, front.connections.Counts().Opened)
				assert.Empty(t, front.log.String())
			}
		})
	}
}

func TestTransport_LeavesItToOthersWhereAnHTTP2BackendRefusesAgainAndAgain(t *testing.T) {
	var requests atomic.Int32
	backend := newH2Peer(t, func(p *h2Peer) {
		for {
			stream, _, ok := p.request()
			if !ok {
				return
			}
			requests.Add(1)
			_ = p.WriteRSTStream(stream, http2.ErrCodeRefusedStream)
		}
	})
	front := newFront(t, backend, setting{})
	response, _ := front.do(t, front.request(t, "POST", "/", nil))
	assert.Equal(t, http.StatusBadGateway, response.StatusCode)
	failure := front.state(t).Failure
	require.NotNil(t, failure)
	assert.True(t, failure.Repeatable)
	assert.False(t, failure.Unsent, "it had work from it")
	assert.EqualValues(t, maxRefusals, requests.Load())
}

func TestTransport_DoesNotSendAgainWhatAnHTTP2BackendGaveUp(t *testing.T) {
	var requests atomic.Int32
	backend := newH2Peer(t, func(p *h2Peer) {
		for {
			stream, path, ok := p.request()
			switch {
			case !ok:
				return
			case path == "/own":
				p.answer(stream, path)
			default:
				requests.Add(1)
				_ = p.WriteRSTStream(stream, http2.ErrCodeInternal)
			}
		}
	})
	for method, repeatable := range map[string]bool{"GET": true, "POST": false} {
		front := newFront(t, backend, setting{})
		front.get(t, "/own")
		front.state(t)
		before := requests.Load()
		response, _ := front.do(t, front.request(t, method, "/", nil))
		assert.Equal(t, http.StatusBadGateway, response.StatusCode)
		failure := front.state(t).Failure
		require.NotNil(t, failure)
		assert.Equal(t, repeatable, failure.Repeatable, method)
		assert.EqualValues(t, 1, requests.Load()-before)
		_, body := front.get(t, "/own")
		assert.Equal(t, "/own", body)
		assert.EqualValues(t, 1, front.connections.Counts().Opened, "which is the stream's matter alone")
	}
}

// A body of which something has been read is gone.
func TestTransport_DoesNotSendAPartOfABodyAgain(t *testing.T) {
	for name, whole := range map[string]bool{"the beginning": false, "all of it": true} {
		t.Run(name, func(t *testing.T) {
			var connections atomic.Int32
			backend := newH2Peer(t, func(p *h2Peer) {
				first := connections.Add(1) == 1
				for n := 0; ; n++ {
					stream, path, ok := p.request()
					switch {
					case !ok:
						return
					case !first || n == 0:
						p.answer(stream, path)
						continue
					case whole:
						assert.Equal(t, "begun", p.body())
					default:
						_ = p.frame() // of the body
					}
					return
				}
			})
			each(t, func(t *testing.T, secure bool) {
				connections.Store(0)
				front := newFront(t, backend, setting{secure: secure})
				front.get(t, "/")
				front.state(t)
				body, feed := io.Pipe()
				defer feed.Close()
				go func() {
					_, _ = io.WriteString(feed, "begun")
					if whole {
						_ = feed.Close()
					}
				}()
				response, _ := front.do(t, front.request(t, http.MethodPut, "/", body))
				assert.Equal(t, http.StatusBadGateway, response.StatusCode)
				failure := front.state(t).Failure
				require.NotNil(t, failure)
				assert.False(t, failure.Repeatable)
				assert.EqualValues(t, 1, connections.Load())
			})
		})
	}
}
