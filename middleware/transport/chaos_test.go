package transport

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/tricot-proxy/tricot/pipeline"
)

// unruly answers each request with what it asked for, in one of many right ways and often a wrong one: but it never says
// anything that would be a right answer to another request.
func unruly(t *testing.T) *pipeline.Backend {
	return newRawBackend(t, func(c *wire) {
		for {
			_ = c.SetDeadline(time.Now().Add(patience))
			request, err := http.ReadRequest(c.Reader)
			if err != nil {
				return
			}
			id := request.Header.Get("X-Id")
			if rand.IntN(20) == 0 { // without reading the body
				c.send("HTTP/1.1 413 Too Large\r\nX-Id: " + id + "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
				return
			}
			if _, err := io.Copy(io.Discard, request.Body); err != nil {
				return
			}
			content := strings.Repeat(id+"\n", 1+rand.IntN(4)*rand.IntN(4000))
			fields := "X-Id: " + id + "\r\n"
			length := fmt.Sprintf("Content-Length: %d\r\n", len(content))
			if request.Method == http.MethodHead {
				content = ""
			}
			switch rand.IntN(16) {
			case 0: // nothing
				return
			case 1: // half a head
				c.send("HTTP/1.1 200 OK\r\n" + fields)
				return
			case 2: // half a body
				c.send("HTTP/1.1 200 OK\r\n" + fields + length + "\r\n" + content[:len(content)/2])
				return
			case 3: // nonsense
				c.send("HTTP/1.1 200 OK\r\nX-Id : " + id + "\r\n\r\n")
			case 4: // too much
				c.send("HTTP/1.1 200 OK\r\n" + fields + length + "\r\n" + content +
					"HTTP/1.1 200 OK\r\nX-Id: poison\r\nContent-Length: 6\r\n\r\npoison")
			case 5: // two lengths
				c.send("HTTP/1.1 200 OK\r\n" + fields + length + "Content-Length: 1\r\n\r\n" + content)
			case 6: // an end after it
				c.send("HTTP/1.1 200 OK\r\n" + fields + length + "\r\n" + content)
				return
			case 7: // until the end
				c.send("HTTP/1.1 200 OK\r\n" + fields + "\r\n" + content)
				return
			case 8: // a switch
				c.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n" + fields + "\r\n")
			case 9: // late
				time.AfterFunc(3*haste, func() { c.send("HTTP/1.1 200 OK\r\n" + fields + length + "\r\n" + content) })
			case 10, 11: // chunks, byte by byte at first
				c.send("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + fields)
				c.send("\r\n")
				if request.Method != http.MethodHead {
					c.send("1")
					c.send("\r\n" + content[:1] + "\r\n")
					c.send(fmt.Sprintf("%x\r\n%s\r\n0\r\nX-Id: %s\r\n\r\n", len(content)-1, content[1:], id))
				}
			default:
				c.send("HTTP/1.1 200 OK\r\n" + fields + length + "\r\n" + content)
			}
		}
	})
}

func TestTransport_GivesNobodyTheAnswerOfAnother(t *testing.T) {
	each(t, func(t *testing.T, secure bool) {
		backend := unruly(t)
		front := newFront(t, backend, setting{secure: secure, around: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("X-Panic") != "" { // in the middle of the answer
					w = &panicking{ResponseWriter: w}
				}
				next.ServeHTTP(w, r)
			})
		}})
		go func() { // nobody looks at them
			for range front.states {
			}
		}()
		const clients, requests = 60, 15
		var right, cut, refused atomic.Int64
		var all sync.WaitGroup
		for client := range clients {
			all.Go(func() {
				for n := range requests {
					id := fmt.Sprintf("id-%d-%d", client, n)
					method := []string{"GET", "HEAD", "POST", "PUT"}[rand.IntN(4)]
					var body io.Reader
					if method == "POST" || method == "PUT" {
						content := bytes.NewReader(bytes.Repeat([]byte("x"), rand.IntN(4)*rand.IntN(50_000)))
						body = content
						if rand.IntN(2) == 0 {
							body = io.MultiReader(content) // of unknown length
						}
					}
					request := front.request(t, method, "/", body)
					request.Header.Set("X-Id", id)
					if rand.IntN(30) == 0 {
						request.Header.Set("X-Panic", "1")
					}
					response, err := front.Client().Do(request)
					if err != nil {
						cut.Add(1)
						continue
					}
					content, err := io.ReadAll(response.Body)
					response.Body.Close()
					switch {
					case response.StatusCode == http.StatusBadGateway:
						refused.Add(1)
						if err == nil && method != "HEAD" {
							assert.Equal(t, "502 bad gateway: the backend gave no valid answer\n", string(content))
						}
					case err != nil:
						cut.Add(1)
						fallthrough
					default:
						assert.Equal(t, id, response.Header.Get("X-Id"))
						for line := range strings.Lines(string(content)) {
							if err == nil || strings.HasSuffix(line, "\n") {
								assert.Equal(t, id+"\n", line)
							}
						}
						if err == nil {
							right.Add(1)
						}
					}
				}
			})
		}
		all.Wait()
		assert.Positive(t, right.Load())
		assert.Positive(t, refused.Load())
		assert.Positive(t, cut.Load())
		assert.Positive(t, front.connections.Counts().Reused)
		assert.Eventually(t, func() bool {
			counts := front.connections.Counts()
			return counts.Open == counts.Idle
		}, 30*time.Second, 10*time.Millisecond, "a connection is in use by nobody")
	})
}

// panicking is the response of a stage that fails in the middle.
type panicking struct{ http.ResponseWriter }

func (p *panicking) Write([]byte) (int, error) { panic(http.ErrAbortHandler) }

func (p *panicking) Unwrap() http.ResponseWriter { return p.ResponseWriter }
