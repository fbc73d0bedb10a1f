package h1

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	shared "github.com/tricot-proxy/tricot/pipeline/entrypoint/exchange"
	"github.com/tricot-proxy/tricot/pipeline/entrypoint/servertest"
)

// short is for time-outs that are to pass.
const short = 50 * time.Millisecond

func progress(timeout time.Duration) func(*front) {
	return func(f *front) { f.options.ProgressTimeout = timeout }
}

// letTimePass makes it as late, as far as the connection knows, as if nobody had waited for content for very long. Nobody
// may be waiting for it.
func letTimePass(t *testing.T, r *http.Request) {
	l := r.Context().(*life)
	l.mu.Lock()
	defer l.mu.Unlock()
	assert.NoError(t, l.exchange.conn.setReadDeadline(longAgo()))
}

func TestBody_FailsWhereItsClientStallsAndTheAnswerIsSeen(t *testing.T) {
	for name, head := range map[string]string{
		"with a length":       "Content-Length: 10\r\n\r\n",
		"in chunks":           "Transfer-Encoding: chunked\r\n\r\n5\r\n",
		"that was asked for":  "Content-Length: 10\r\nExpect: 100-continue\r\n\r\n",
		"before its trailers": "Transfer-Encoding: chunked\r\nTrailer: X\r\n\r\n4\r\nhalf\r\n0\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			overBoth(t, func(t *testing.T, serve serving) {
				f := serve(t, servertest.Stalled(t, short), progress(short))
				c := f.dial(t)
				r := bufio.NewReader(c)
				write(t, c, "POST / HTTP/1.1\r\nHost: a\r\n"+head)
				if strings.Contains(head, "Expect") {
					response, err := http.ReadResponse(r, nil)
					require.NoError(t, err)
					require.Equal(t, http.StatusContinue, response.StatusCode)
				}
				response, _ := answer(t, r, "POST")
				assert.Equal(t, http.StatusRequestTimeout, response.StatusCode)
				assert.True(t, response.Close)
				_, err := r.ReadByte()
				assert.ErrorIs(t, err, io.EOF)
			})
		})
	}
}

// Each piece comes when the time for the one before is over.
func TestBody_ComesWholeHoweverLongItTakes(t *testing.T) {
	for name, request := range map[string][]string{
		"with a length": {"Content-Length: 5\r\n\r\n", "h", "e", "l", "l", "o"},
		"in chunks":     {"Transfer-Encoding: chunked\r\n\r\n", "1\r\nh", "\r\n1\r\ne", "\r\n2\r\nl", "l", "\r\n1\r\no", "\r\n0\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			overBoth(t, func(t *testing.T, serve serving) {
				next := make(chan struct{}, 1)
				f := serve(t, func(w http.ResponseWriter, r *http.Request) {
					for p := make([]byte, 1); ; {
						letTimePass(t, r)
						next <- struct{}{}
						n, err := r.Body.Read(p)
						_, _ = w.Write(p[:n])
						if err != nil {
							assert.ErrorIs(t, err, io.EOF)
							return
						}
					}
				})
				c := f.dial(t)
				r := bufio.NewReader(c)
				for range 2 {
					write(t, c, "POST / HTTP/1.1\r\nHost: a\r\n"+request[0])
					for _, piece := range request[1:] {
						receive(t, next)
						write(t, c, piece)
					}
					_, content := answer(t, r, "POST")
					assert.Equal(t, "hello", content)
				}
			})
		})
	}
}

// Who listens to a stream may have nothing to say for long.
func TestBody_WaitsForASilentClientThatHasGotTheBeginningOfAnAnswer(t *testing.T) {
	overBoth(t, func(t *testing.T, serve serving) {
		f := serve(t, func(w http.ResponseWriter, r *http.Request) {
			c := http.NewResponseController(w)
			assert.NoError(t, c.EnableFullDuplex())
			assert.NoError(t, c.Flush())
			content, err := io.ReadAll(r.Body)
			assert.NoError(t, err)
			_, _ = w.Write(content)
		}, progress(short))
		c := f.dial(t)
		r := bufio.NewReader(c)
		write(t, c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
		response, err := http.ReadResponse(r, nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, response.StatusCode)
		servertest.RequireSilent(t, c, 4*short)
		write(t, c, "hello")
		content, err := io.ReadAll(response.Body)
		assert.NoError(t, err)
		assert.Equal(t, "hello", string(content))
	})
}

func TestBody_LeavesNoDeadlineToAHandlerThatTakesItsTime(t *testing.T) {
	overBoth(t, func(t *testing.T, serve serving) {
		came := make(chan struct{})
		f := serve(t, func(w http.ResponseWriter, r *http.Request) {
			close(came)
			content, err := io.ReadAll(r.Body) // which is waited for
			assert.NoError(t, err)
			letTimePass(t, r)
			done := r.Context().Done() // somebody reads now, to see the client leave
			w.WriteHeader(http.StatusEarlyHints)
			l := r.Context().(*life)
			l.mu.Lock()
			assert.NotNil(t, l.watching)
			assert.Zero(t, l.exchange.conn.readDeadline)
			l.mu.Unlock()
			select {
			case <-done:
				assert.Fail(t, "the client has not left")
			case <-time.After(short):
			}
			_, _ = w.Write(content)
		})
		c := f.dial(t)
		write(t, c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
		receive(t, came)
		write(t, c, "hello")
		r := bufio.NewReader(c)
		response, err := http.ReadResponse(r, nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusEarlyHints, response.StatusCode)
		_, content := answer(t, r, "POST")
		assert.Equal(t, "hello", content)
	})
}

func TestBody_HasTheHandlersDeadlineInPlaceOfTheServers(t *testing.T) {
	overBoth(t, func(t *testing.T, serve serving) {
		f := serve(t, func(w http.ResponseWriter, r *http.Request) {
			assert.NoError(t, http.NewResponseController(w).SetReadDeadline(time.Now().Add(time.Hour)))
			_, err := io.Copy(w, r.Body)
			assert.NoError(t, err)
		}, progress(short))
		c := f.dial(t)
		write(t, c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe")
		servertest.RequireSilent(t, c, 4*short)
		write(t, c, "llo")
		_, content := answer(t, bufio.NewReader(c), "POST")
		assert.Equal(t, "hello", content)
	})
}

func TestBody_HasTheServersDeadlineAgainWhenTheHandlersIsTakenAway(t *testing.T) {
	for name, reads := range map[string]bool{"before it is read": false, "while it is read": true} {
		t.Run(name, func(t *testing.T) {
			errs := make(chan error, 1)
			f := serve(t, func(w http.ResponseWriter, r *http.Request) {
				read := func() {
					_, err := io.Copy(io.Discard, r.Body)
					errs <- err
				}
				control := http.NewResponseController(w)
				assert.NoError(t, control.SetReadDeadline(time.Now().Add(time.Hour)))
				if reads {
					began := make(chan struct{})
					r.Body = &noting{ReadCloser: r.Body, began: began}
					go read()
					receive(t, began)
				}
				assert.NoError(t, control.SetReadDeadline(time.Time{}))
				if !reads {
					go read()
				}
				servertest.AssertStalled(t, shared.StallError{After: short}, receive(t, errs))
			}, progress(short))
			c := f.dial(t)
			write(t, c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
			response, _ := answer(t, bufio.NewReader(c), "POST")
			assert.Equal(t, http.StatusOK, response.StatusCode)
		})
	}
}

// noting closes began before the first Read.
type noting struct {
	io.ReadCloser
	began chan struct{}
}

func (n *noting) Read(p []byte) (int, error) {
	if n.began != nil {
		close(n.began)
		n.began = nil
	}
	return n.ReadCloser.Read(p)
}

func TestBody_HasTheDeadlineOfAHandlerThatIsSoonerThanTheServers(t *testing.T) {
	errs := make(chan error, 1)
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		assert.NoError(t, http.NewResponseController(w).SetReadDeadline(time.Now().Add(short)))
		_, err := io.Copy(io.Discard, r.Body)
		errs <- err
	})
	write(t, f.dial(t), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe")
	servertest.AssertNotStalled(t, receive(t, errs))
}

func TestHijack_LeavesAConnectionSilentForAsLongAsItsOwnersLike(t *testing.T) {
	overBoth(t, func(t *testing.T, serve serving) {
		f := serve(t, servertest.Hijacking(t, func(c net.Conn, buffered *bufio.ReadWriter) {
			line, err := buffered.ReadString('\n') // by way of the server's reader
			assert.NoError(t, err)
			_, _ = io.WriteString(c, line)
		}), progress(short))
		c := f.dial(t)
		write(t, c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhel")
		servertest.RequireSilent(t, c, 4*short)
		write(t, c, "lo\n")
		assert.Equal(t, "hello\n", readAll(t, c))
	})
}

func TestHijack_LeavesDeadlinesToTheNewOwner(t *testing.T) {
	overBoth(t, func(t *testing.T, serve serving) {
		errs := make(chan error, 1)
		f := serve(t, servertest.Hijacking(t, func(c net.Conn, buffered *bufio.ReadWriter) {
			assert.NoError(t, c.SetReadDeadline(time.Now().Add(short)))
			_, err := buffered.ReadByte()
			errs <- err
		}))
		write(t, f.dial(t), get)
		servertest.AssertNotStalled(t, receive(t, errs))
	})
}
