package entrypoint

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline/entrypoint/exchange"
	"github.com/tricot-proxy/tricot/pipeline/entrypoint/h1"
	"github.com/tricot-proxy/tricot/pipeline/entrypoint/servertest"
)

var _ h1.BuffersWriter = (*conn)(nil)

const (
	shortProgress = 50 * time.Millisecond
	// onTheWay is more than can be on its way between two sockets with small buffers.
	onTheWay = 1 << 20
	// tooMuch is more than any two sockets take in that nobody reads from.
	tooMuch = 32 << 20
)

// acceptedWithin gives both ends of a connection whose client has so long to take something.
func acceptedWithin(t testing.TB, timeout time.Duration) (*conn, net.Conn) {
	options, _ := plain(protocol)
	options.ProgressTimeout = timeout
	e, err := Listen(options)
	require.NoError(t, err)
	t.Cleanup(func() { _ = e.Close() })
	client := dial(t, e)
	c := e.listener.accept()
	require.NotNil(t, c)
	return c, client
}

// letIdleTimePass makes it as late, as far as an open connection knows, as if nothing had been written for very long.
// Nobody may be writing.
func letIdleTimePass(t *testing.T, c *conn) {
	t.Helper()
	c.progress.mu.Lock()
	defer c.progress.mu.Unlock()
	c.progress.until = 1
	require.NoError(t, c.TCPConn.SetWriteDeadline(time.Unix(1, 0)))
}

// letTimePass makes the time be over that the client has, for one write that waits. It returns when the time runs anew.
func letTimePass(t *testing.T, c *conn) {
	t.Helper()
	c.progress.mu.Lock()
	before := c.progress.until
	err := c.TCPConn.SetWriteDeadline(time.Unix(1, 0))
	c.progress.mu.Unlock()
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		c.progress.mu.Lock()
		defer c.progress.mu.Unlock()
		return c.progress.until != 0 && c.progress.until != before
	}, patience, time.Millisecond)
}

// theOpen gives the server's end of the one connection that an entrypoint has.
func theOpen(t *testing.T, e *Entrypoint) *conn {
	t.Helper()
	e.listener.mu.Lock()
	defer e.listener.mu.Unlock()
	require.Len(t, e.listener.open, 1)
	for c := range e.listener.open {
		return c
	}
	return nil
}

// ways are those in which something is written to a connection.
var ways = map[string]func(c *conn, p []byte) (int64, error){
	"Write": func(c *conn, p []byte) (int64, error) {
		n, err := c.Write(p)
		return int64(n), err
	},
	"WriteBuffers": func(c *conn, p []byte) (int64, error) {
		return c.WriteBuffers(&net.Buffers{p[:1], p[1:1000], p[1000:]})
	},
}

func assertStalled(t *testing.T, err error) {
	t.Helper()
	servertest.AssertStalled(t, exchange.StallError{Writing: true, After: shortProgress}, err)
}

// failed gives the error of something that ends by itself.
func failed(t *testing.T, do func() error) error {
	t.Helper()
	errs := make(chan error, 1)
	go func() { errs <- do() }()
	return receive(t, errs)
}

// fill writes more to a connection than it takes while nobody reads.
func fill(c *conn) error {
	_, err := c.Write(make([]byte, tooMuch))
	return err
}

func TestConn_FailsWhereItsClientTakesNothing(t *testing.T) {
	for name, write := range ways {
		t.Run(name, func(t *testing.T) {
			c, _ := acceptedWithin(t, shortProgress)
			assertStalled(t, failed(t, func() error {
				n, err := write(c, make([]byte, tooMuch))
				assert.Less(t, n, int64(tooMuch))
				return err
			}))
		})
	}
	t.Run("held back", func(t *testing.T) {
		c, _ := acceptedWithin(t, shortProgress)
		assertStalled(t, failed(t, func() (err error) {
			for err == nil {
				c.Hold()
				_, err = c.Write(make([]byte, gatherLimit))
				if released := c.Release(); err == nil {
					err = released
				}
			}
			return err
		}))
	})
	t.Run("copied", func(t *testing.T) {
		c, _ := acceptedWithin(t, shortProgress)
		assertStalled(t, failed(t, func() error {
			_, err := io.Copy(c, bytes.NewReader(make([]byte, tooMuch)))
			return err
		}))
	})
}

// The client reads more than can be on its way each time before the time is over, so it has been given something.
func TestConn_WritesOnWhileItsClientTakesALittleNowAndThen(t *testing.T) {
	for name, write := range ways {
		t.Run(name, func(t *testing.T) {
			c, client := acceptedWithin(t, time.Minute)
			require.NoError(t, c.SetWriteBuffer(16<<10))
			require.NoError(t, client.(*net.TCPConn).SetReadBuffer(16<<10))
			content := []byte(servertest.Pattern(1, 6*onTheWay))
			type result struct {
				n   int64
				err error
			}
			written := make(chan result, 1)
			go func() {
				n, err := write(c, content)
				written <- result{n, err}
			}()
			var got bytes.Buffer
			for range 4 {
				got.WriteString(read(t, client, onTheWay))
				letTimePass(t, c)
			}
			got.WriteString(read(t, client, len(content)-got.Len()))
			assert.True(t, bytes.Equal(content, got.Bytes()))
			assert.Equal(t, result{int64(len(content)), nil}, receive(t, written))
		})
	}
}

// The system may have room for which it wakes nobody yet.
func TestConn_TriesOnceMoreBeforeItGivesUpOnAClient(t *testing.T) {
	const longer = time.Hour
	for name, write := range ways {
		t.Run(name, func(t *testing.T) {
			c, client := acceptedWithin(t, time.Minute)
			c.listener.lastTry = longer
			content := []byte(servertest.Pattern(1, tooMuch))
			written := make(chan error, 1)
			go func() {
				_, err := write(c, content)
				written <- err
			}()
			for lastTry := false; !lastTry; { // as long as something more fits in
				letTimePass(t, c)
				c.progress.mu.Lock()
				lastTry = c.progress.until-time.Since(c.listener.began) > longer/2
				c.progress.mu.Unlock()
			}
			assert.True(t, bytes.Equal(content, []byte(read(t, client, len(content)))))
			assert.NoError(t, receive(t, written))
		})
	}
}

func TestConn_WritesAfterASilenceOfAnyLength(t *testing.T) {
	for name, write := range ways {
		t.Run(name, func(t *testing.T) {
			c, client := acceptedWithin(t, time.Minute)
			content := []byte(servertest.Pattern(1, 2000))
			for range 3 {
				n, err := write(c, content)
				require.NoError(t, err)
				assert.EqualValues(t, len(content), n)
				assert.Equal(t, string(content), read(t, client, len(content)))
				letIdleTimePass(t, c)
			}
		})
	}
}

func TestConn_CopiesWhatComesAfterASilenceOfAnyLength(t *testing.T) {
	c, client := acceptedWithin(t, time.Minute)
	other, from := acceptedWithin(t, time.Minute)
	copied := make(chan error, 1)
	go func() {
		_, err := io.Copy(c, other.TCPConn)
		copied <- err
	}()
	for range 3 {
		_, err := io.WriteString(from, "hello")
		require.NoError(t, err)
		assert.Equal(t, "hello", read(t, client, 5))
		letIdleTimePass(t, c)
	}
	require.NoError(t, from.Close())
	assert.NoError(t, receive(t, copied))
}

func TestConn_MovesItsDeadlineOnlyWhereLittleIsLeft(t *testing.T) {
	c, client := acceptedWithin(t, time.Hour)
	write := func() time.Duration {
		_, err := io.WriteString(c, "hello")
		require.NoError(t, err)
		read(t, client, 5)
		return c.progress.until
	}
	first := write()
	assert.Equal(t, first, write())
	c.progress.until -= 10 * time.Minute
	assert.GreaterOrEqual(t, write(), first)
}

func TestConn_HasADeadlineOfItsOwnersInPlaceOfItsOwn(t *testing.T) {
	sets := map[string]func(c *conn, t time.Time) error{
		"SetWriteDeadline": (*conn).SetWriteDeadline,
		"SetDeadline":      (*conn).SetDeadline,
	}
	for name, set := range sets {
		t.Run(name+" later", func(t *testing.T) {
			c, client := acceptedWithin(t, shortProgress)
			require.NoError(t, set(c, time.Now().Add(time.Hour)))
			written := make(chan error, 1)
			go func() { written <- fill(c) }()
			select {
			case err := <-written:
				require.Fail(t, "the write has ended", "%v", err)
			case <-time.After(4 * shortProgress):
			}
			read(t, client, tooMuch)
			assert.NoError(t, receive(t, written))
		})
		t.Run(name+" sooner", func(t *testing.T) {
			c, _ := acceptedWithin(t, time.Minute)
			require.NoError(t, set(c, time.Now().Add(shortProgress)))
			err := failed(t, func() error { return fill(c) })
			servertest.AssertNotStalled(t, err)
		})
		t.Run(name+" taken away", func(t *testing.T) {
			c, _ := acceptedWithin(t, shortProgress)
			require.NoError(t, set(c, time.Now().Add(time.Hour)))
			require.NoError(t, set(c, time.Time{}))
			assertStalled(t, failed(t, func() error { return fill(c) }))
		})
		t.Run(name+" taken away from a write that waits", func(t *testing.T) {
			c, client := acceptedWithin(t, shortProgress)
			require.NoError(t, set(c, time.Now().Add(time.Hour)))
			written := make(chan error, 1)
			go func() { written <- fill(c) }()
			read(t, client, 1)
			require.NoError(t, set(c, time.Time{}))
			assertStalled(t, receive(t, written))
		})
	}
	t.Run("SetDeadline is for reading too", func(t *testing.T) {
		c, _ := acceptedWithin(t, time.Minute)
		require.NoError(t, c.SetDeadline(time.Unix(1, 0)))
		_, err := c.Read(make([]byte, 1))
		assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
	})
}

// overHTTP1 runs a test without and with TLS.
func overHTTP1(t *testing.T, test func(t *testing.T, options func(http.HandlerFunc) Options, open func(*Entrypoint) net.Conn)) {
	t.Run("plain", func(t *testing.T) {
		test(t, func(handler http.HandlerFunc) Options {
			options, _ := plain(handler)
			return options
		}, func(e *Entrypoint) net.Conn { return dial(t, e) })
	})
	t.Run("TLS", func(t *testing.T) {
		test(t, func(handler http.HandlerFunc) Options {
			options, _ := secure(t, handler)
			return options
		}, func(e *Entrypoint) net.Conn { return handshake(t, e, "http/1.1") })
	})
}

func TestServe_EndsAnAnswerThatItsClientStopsToTake(t *testing.T) {
	overHTTP1(t, func(t *testing.T, options func(http.HandlerFunc) Options, open func(*Entrypoint) net.Conn) {
		for name, size := range map[string]int{"in small pieces": 1000, "in large ones": 100_000, "in one": tooMuch} {
			t.Run(name, func(t *testing.T) {
				errs := make(chan error, 1)
				o := options(func(w http.ResponseWriter, r *http.Request) {
					piece := make([]byte, size)
					var err error
					for err == nil {
						_, err = w.Write(piece)
					}
					assert.Error(t, r.Context().Err())
					errs <- err
				})
				o.ProgressTimeout = shortProgress
				c := open(serve(t, o))
				_, err := io.WriteString(c, get)
				require.NoError(t, err)
				assertStalled(t, receive(t, errs))
				requireClosed(t, c)
			})
		}
	})
}

func TestServe_FailsWhereContentStopsToCome(t *testing.T) {
	overHTTP1(t, func(t *testing.T, options func(http.HandlerFunc) Options, open func(*Entrypoint) net.Conn) {
		errs := make(chan error, 1)
		o := options(func(_ http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(io.Discard, r.Body)
			errs <- err
		})
		o.ProgressTimeout = shortProgress
		_, err := io.WriteString(open(serve(t, o)), "POST / HTTP/1.1\r\nHost: app.example.com\r\nContent-Length: 10\r\n\r\nhalf")
		require.NoError(t, err)
		servertest.AssertStalled(t, exchange.StallError{After: shortProgress}, receive(t, errs))
	})
}

func TestServe_ServesAClientThatTakesALittleNowAndThen(t *testing.T) {
	content := []byte(servertest.Pattern(1, 4*onTheWay))
	came := make(chan struct{})
	options, _ := plain(func(w http.ResponseWriter, _ *http.Request) {
		receive(t, came)
		n, err := w.Write(content)
		assert.NoError(t, err)
		assert.Equal(t, len(content), n)
	})
	e := serve(t, options)
	c := dial(t, e)
	require.NoError(t, c.(*net.TCPConn).SetReadBuffer(16<<10))
	_, err := io.WriteString(c, get)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return e.requests.inFlight() == 1 }, patience, time.Millisecond)
	server := theOpen(t, e)
	require.NoError(t, server.SetWriteBuffer(16<<10))
	close(came)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
	r := bufio.NewReader(c)
	response, err := http.ReadResponse(r, nil)
	require.NoError(t, err)
	got := make([]byte, len(content))
	for i := range 3 {
		_, err = io.ReadFull(response.Body, got[i*onTheWay:(i+1)*onTheWay])
		require.NoError(t, err)
		if i < 2 {
			letTimePass(t, server)
		}
	}
	_, err = io.ReadFull(response.Body, got[3*onTheWay:])
	require.NoError(t, err)
	assert.True(t, bytes.Equal(content, got))
}

func TestServe_LetsAHandlerBeSilentForAsLongAsItLikes(t *testing.T) {
	overHTTP1(t, func(t *testing.T, options func(http.HandlerFunc) Options, open func(*Entrypoint) net.Conn) {
		g := newGate()
		e := serve(t, options(g.ServeHTTP))
		c := open(e)
		r := bufio.NewReader(c)
		_, err := io.WriteString(c, get+get)
		require.NoError(t, err)
		receive(t, g.came)
		letIdleTimePass(t, theOpen(t, e))
		close(g.open)
		_, body := answerOn(t, c, r)
		assert.Equal(t, "done", body)
		answerOn(t, c, r)
		letIdleTimePass(t, theOpen(t, e))
		_, body = ask(t, c, r, get)
		assert.Equal(t, "done", body)
	})
}

func TestServe_LetsAnUpgradedConnectionBeSilentForAsLongAsItLikes(t *testing.T) {
	overHTTP1(t, func(t *testing.T, options func(http.HandlerFunc) Options, open func(*Entrypoint) net.Conn) {
		e := serve(t, options(servertest.Hijacking(t, func(c net.Conn, buffered *bufio.ReadWriter) { _, _ = io.Copy(c, buffered) })))
		c := open(e)
		_, err := io.WriteString(c, get)
		require.NoError(t, err)
		for range 3 {
			_, err := io.WriteString(c, "hello")
			require.NoError(t, err)
			assert.Equal(t, "hello", read(t, c, 5))
			letIdleTimePass(t, theOpen(t, e))
		}
	})
}

func TestServe_EndsAnUpgradedConnectionWhoseClientTakesNothing(t *testing.T) {
	overHTTP1(t, func(t *testing.T, options func(http.HandlerFunc) Options, open func(*Entrypoint) net.Conn) {
		errs := make(chan error, 1)
		o := options(servertest.Hijacking(t, func(c net.Conn, _ *bufio.ReadWriter) {
			var err error
			for err == nil {
				_, err = c.Write(make([]byte, 100_000))
			}
			errs <- err
		}))
		o.ProgressTimeout = shortProgress
		c := open(serve(t, o))
		_, err := io.WriteString(c, get)
		require.NoError(t, err)
		assertStalled(t, receive(t, errs))
	})
}
