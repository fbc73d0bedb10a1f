package h1

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline/entrypoint/servertest"
)

func TestServe_AnswersPipelinedRequestsInTheirOrder(t *testing.T) {
	overBoth(t, func(t *testing.T, serve serving) {
		f := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/asks" {
				r.Context().Done()
			}
			_, _ = io.Copy(w, r.Body)
			_, _ = io.WriteString(w, r.URL.Path)
		})
		c := f.dial(t)
		const n = 200
		go func() {
			for range n {
				_, _ = io.WriteString(c, "GET /asks HTTP/1.1\r\nHost: a\r\n\r\nPOST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"+
					"\r\nPOST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nworld\r\n0\r\n\r\n")
			}
		}()
		r := bufio.NewReader(c)
		for range n {
			for _, want := range []string{"/asks", "hello/b", "world/c"} {
				_, content := answer(t, r, "GET")
				require.Equal(t, want, content)
			}
		}
	})
}

func TestServe_TakesAHeadThatArrivesByBytes(t *testing.T) {
	overBoth(t, func(t *testing.T, serve serving) {
		f := serve(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, r.Method+" "+r.Header.Get("X-Long"))
		})
		c := f.dial(t)
		r := bufio.NewReader(c)
		long := strings.Repeat("~", 200)
		for range 2 {
			for _, b := range []byte("GET / HTTP/1.1\r\nHost: a\r\nX-Long: " + long + "\r\n\r\n") {
				write(t, c, string(b))
			}
			_, content := answer(t, r, "GET")
			assert.Equal(t, "GET "+long, content)
		}
	})
}

func TestServe_TakesAHeadThatIsLongerThanItsBuffer(t *testing.T) {
	f := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Header.Get("X-Long")) })
	c := f.dial(t)
	r := bufio.NewReader(c)
	for _, size := range []int{3 << 10, 5 << 10, 100 << 10} {
		long := strings.Repeat("~", size)
		write(t, c, "GET / HTTP/1.1\r\nHost: a\r\nX-Long: "+long+"\r\n\r\n"+get)
		_, content := answer(t, r, "GET")
		assert.True(t, content == long)
		answer(t, r, "GET")
	}
}

func TestServe_WritesAHeadThatIsLongerThanItsBuffer(t *testing.T) {
	overBoth(t, func(t *testing.T, serve serving) {
		long := strings.Repeat("~", 100<<10)
		f := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Long", long)
			_, _ = io.WriteString(w, "hello")
		})
		c := f.dial(t)
		r := bufio.NewReader(c)
		for range 2 {
			write(t, c, get)
			response, content := answer(t, r, "GET")
			assert.True(t, response.Header.Get("X-Long") == long)
			assert.Equal(t, "hello", content)
		}
	})
}

// Pieces of all sizes around those of the buffer and of TLS records, with and without a length, flushed and not.
func TestServe_SendsWhatIsWrittenInWhateverPieces(t *testing.T) {
	overBoth(t, func(t *testing.T, serve serving) {
		pieces := []int{1, 10, 4095, 4096, 8000, 16000, 16383, 16384, 16385, 20000, 32768, 40000, 65536, 3}
		var whole strings.Builder
		for i, size := range pieces {
			whole.WriteString(strings.Repeat(string(rune('a'+i)), size))
		}
		want := whole.String()
		f := serve(t, func(w http.ResponseWriter, r *http.Request) {
			query := r.URL.Query()
			if query.Has("length") {
				w.Header().Set("Content-Length", strconv.Itoa(len(want)))
			}
			for i, size := range pieces {
				n, err := io.WriteString(w, strings.Repeat(string(rune('a'+i)), size))
				assert.NoError(t, err)
				assert.Equal(t, size, n)
				if query.Has("flush") {
					assert.NoError(t, http.NewResponseController(w).Flush())
				}
			}
		})
		c := f.dial(t)
		r := bufio.NewReader(c)
		for _, query := range []string{"", "?length", "?flush", "?length&flush"} {
			for range 2 {
				write(t, c, "GET /"+query+" HTTP/1.1\r\nHost: a\r\n\r\n")
				_, content := answer(t, r, "GET")
				assert.True(t, want == content, "%q: %d bytes", query, len(content))
			}
			write(t, c, "HEAD /"+query+" HTTP/1.1\r\nHost: a\r\n\r\n")
			_, content := answer(t, r, "HEAD")
			assert.Empty(t, content)
			old := f.talk(t, "GET /"+query+" HTTP/1.0\r\n\r\n")
			_, content, _ = strings.Cut(old, "\r\n\r\n")
			assert.True(t, want == content, "%q: %d bytes", query, len(content))
		}
	})
}

func TestServe_SendsAFlushedPieceAtOnce(t *testing.T) {
	overBoth(t, func(t *testing.T, serve serving) {
		next := make(chan struct{})
		f := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			for range 3 {
				_, _ = io.WriteString(w, "hello")
				w.(http.Flusher).Flush()
				receive(t, next)
			}
			_, _ = io.WriteString(w, strings.Repeat("x", 20<<10))
			w.(http.Flusher).Flush()
			receive(t, next)
		})
		c := f.dial(t)
		write(t, c, get)
		r := bufio.NewReader(c)
		response, err := http.ReadResponse(r, nil)
		require.NoError(t, err)
		p := make([]byte, 5)
		for range 3 {
			_, err = io.ReadFull(response.Body, p)
			require.NoError(t, err)
			next <- struct{}{}
		}
		_, err = io.ReadFull(response.Body, make([]byte, 20<<10))
		require.NoError(t, err)
		close(next)
		rest, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		assert.Empty(t, rest)
	})
}

func TestServe_CutsWhatWouldOtherwiseLookWhole(t *testing.T) {
	cut := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	t.Run("plain", func(t *testing.T) {
		c := serve(t, cut).dial(t)
		write(t, c, "GET / HTTP/1.0\r\n\r\n")
		_, err := io.ReadAll(c)
		assert.ErrorIs(t, err, syscall.ECONNRESET)
	})
	t.Run("TLS", func(t *testing.T) {
		c := serve(t, cut, func(f *front) { f.tls = servertest.ServerTLS(t) }).dial(t)
		write(t, c, "GET / HTTP/1.0\r\n\r\n")
		_, err := io.ReadAll(c)
		assert.Error(t, err)
	})
	t.Run("chunked", func(t *testing.T) {
		c := serve(t, cut).dial(t)
		write(t, c, get)
		response, err := http.ReadResponse(bufio.NewReader(c), nil)
		require.NoError(t, err)
		_, err = io.ReadAll(response.Body)
		assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	})
}

func TestServe_EndsAConnectionAsItsOwnerSays(t *testing.T) {
	f := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	c := f.dial(t)
	r := bufio.NewReader(c)
	write(t, c, get)
	answer(t, r, "GET")
	f.last.Store(true)
	write(t, c, get)
	response, content := answer(t, r, "GET")
	assert.Equal(t, "hello", content)
	assert.True(t, response.Close)
	_, err := r.ReadByte()
	assert.ErrorIs(t, err, io.EOF)

	f.last.Store(false)
	f.refuseEnd.Store(true)
	assert.Equal(t, okPlain5, f.talk(t, get+get), "one answer, and nobody knew before that it is the last")

	f = serve(t, uncalled(t), func(f *front) { f.refuseBegin.Store(true) })
	assert.Empty(t, f.talk(t, get))
}

func TestServe_ClosesAfterTheLastAnswerSuchThatItIsSeen(t *testing.T) {
	f := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		_, _ = io.WriteString(w, "hello")
	})
	for range 20 {
		c := f.dial(t)
		write(t, c, get+strings.Repeat(get, 1000))
		answer := readAll(t, c)
		assert.Equal(t, strings.Replace(okPlain5, "\r\nContent-Type", "\r\nConnection: close\r\nContent-Type", 1), order(answer))
	}
}

func TestServe_LogsAPanicWithItsStack(t *testing.T) {
	f := serve(t, func(http.ResponseWriter, *http.Request) { panic("out of cheese") })
	c := f.dial(t)
	write(t, c, get)
	assert.Empty(t, readAll(t, c))
	f.log.Await(t, "level=ERROR")
	assert.Contains(t, f.log.String(), "out of cheese")
	assert.Contains(t, f.log.String(), "TestServe_LogsAPanicWithItsStack")
}

func TestServe_TellsTheLogHowAHandlerMisusesTheAnswer(t *testing.T) {
	f := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "many")
		w.WriteHeader(200)
		w.WriteHeader(500)
		assert.Panics(t, func() { serveless(w).WriteHeader(99) })
		assert.Panics(t, func() { serveless(w).WriteHeader(1000) })
		_, _ = io.WriteString(w, "hello")
	})
	c := f.dial(t)
	write(t, c, get)
	response, content := answer(t, bufio.NewReader(c), "GET")
	assert.Equal(t, "hello", content)
	assert.Equal(t, int64(5), response.ContentLength)
	assert.Contains(t, f.log.String(), "level=WARN msg=server error=\"superfluous WriteHeader: 500 after 200\" method=GET host=a")
	assert.Contains(t, f.log.String(), "invalid Content-Length")
}

// serveless gives the same ResponseWriter as if no status had been given.
func serveless(w http.ResponseWriter) http.ResponseWriter {
	return &response{exchange: w.(*response).exchange}
}

// bare is a connection that says what the server keeps while it waits.
type bare struct {
	script
	read func(p []byte)
}

func (b *bare) Read(p []byte) (int, error) {
	b.read(p)
	return b.script.Read(p)
}

func TestServe_HoldsNoBufferWhileItWaitsForARequest(t *testing.T) {
	server := newFront(t, func(http.ResponseWriter, *http.Request) {}).Server
	var waits int
	client := &bare{script: script{Reader: strings.NewReader(get + get)}}
	c := &conn{server: server, client: client, below: client, turns: new(switches)}
	client.read = func(p []byte) {
		if !c.inHead {
			waits++
			assert.Len(t, p, 1)
			assert.Nil(t, c.buffers)
		}
	}
	client.Reader = io.MultiReader(strings.NewReader(get), strings.NewReader(get))
	c.serve()
	assert.Equal(t, 3, waits)
	assert.True(t, client.closed)
}

func TestServe_BoundsTheTimeOfAHeadFromItsFirstBytes(t *testing.T) {
	overBoth(t, func(t *testing.T, serve serving) {
		var f *front
		f = serve(t, func(http.ResponseWriter, *http.Request) { f.options.ReadHeaderTimeout = 50 * time.Millisecond })
		c := f.dial(t)
		r := bufio.NewReader(c)
		write(t, c, get)
		answer(t, r, "GET")
		stop := make(chan struct{})
		defer close(stop)
		write(t, c, "GET / HTTP/1.1\r\nHost: a\r\n")
		go func() { // always something, never all
			for {
				select {
				case <-stop:
					return
				case <-time.After(10 * time.Millisecond):
					if _, err := io.WriteString(c, "X: 1\r\n"); err != nil {
						return
					}
				}
			}
		}()
		_, err := r.ReadByte()
		require.Error(t, err)
		timeout, ok := errors.AsType[net.Error](err)
		assert.False(t, ok && timeout.Timeout(), "it is still open")
	})
}

func TestServe_KeepsAConnectionForAsLongAsItMayBeIdle(t *testing.T) {
	overBoth(t, func(t *testing.T, serve serving) {
		const idle = 500 * time.Millisecond
		var f *front
		var answered time.Time
		f = serve(t, func(http.ResponseWriter, *http.Request) {
			f.options.ReadHeaderTimeout, f.options.IdleTimeout = time.Millisecond, idle
			answered = time.Now()
		})
		c := f.dial(t)
		write(t, c, get+get)
		r := bufio.NewReader(c)
		answer(t, r, "GET")
		answer(t, r, "GET")
		_, err := r.ReadByte()
		assert.ErrorIs(t, err, io.EOF)
		assert.GreaterOrEqual(t, time.Since(answered), idle)
	})
}

func TestServe_StandsClientsThatDoAsTheyLike(t *testing.T) {
	overBoth(t, func(t *testing.T, serve serving) {
		f := serve(t, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/watch":
				r.Context().Done()
			case "/wait":
				select {
				case <-r.Context().Done(): // not where the client has sent more than it was asked for
				case <-time.After(20 * time.Millisecond):
				}
			case "/duplex":
				_ = http.NewResponseController(w).EnableFullDuplex()
				go func() { _, _ = io.Copy(io.Discard, r.Body) }()
			case "/read":
				_, _ = io.Copy(io.Discard, r.Body)
			case "/cut":
				panic(http.ErrAbortHandler)
			case "/take":
				c, _, err := http.NewResponseController(w).Hijack()
				if err == nil {
					_, _ = io.Copy(io.Discard, c)
					_ = c.Close()
				}
				return
			}
			_, _ = w.Write(make([]byte, len(r.URL.RawQuery)*1000))
		}, func(f *front) { f.linger = time.Second })
		var clients sync.WaitGroup
		paths := []string{"/", "/watch", "/wait", "/duplex", "/read", "/cut", "/take"}
		for i := range 60 {
			clients.Go(func() {
				c, err := net.Dial("tcp", f.listener.Addr().String())
				if err != nil {
					return
				}
				if f.tls != nil {
					c = tls.Client(c, servertest.ClientTLS())
				}
				defer c.Close()
				for j := range 5 {
					path := paths[(i+j*(i/7+1))%len(paths)]
					request := "POST " + path + "?" + strings.Repeat("x", i) + " HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n" + strings.Repeat("y", 1000)
					if j == 4 { // leave in the middle, somewhere
						request = request[:len(request)*i/60]
					}
					if _, err := io.WriteString(c, request); err != nil {
						return
					}
					if i%3 > 0 { // or do not pipeline
						_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
						_, _ = c.Read(make([]byte, 10000))
					}
				}
			})
		}
		clients.Wait()
	})
}
