package compress

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"weak"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestResponse_LeavesTheStreamOpenWhenTheHandlerPanics(t *testing.T) {
	text := page(20_000)
	eachWay(t, func(t *testing.T, protocol string, c coding) {
		var dies sync.Map
		server := serve(t, protocol, Options{}, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			_, _ = io.WriteString(w, text[:8_000])
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, text[8_000:])
			if _, die := dies.Load(r.Header.Get("Client")); die {
				panic(http.ErrAbortHandler)
			}
		})
		dies.Store("unlucky", true)
		var clients sync.WaitGroup
		for i := range 6 {
			client := strconv.Itoa(i)
			if i%2 == 0 {
				client = "unlucky"
			}
			clients.Go(func() {
				for range 2 {
					response := server.do(t, http.MethodGet, http.Header{"Accept-Encoding": {c.String()}, "Client": {client}})
					raw, err := io.ReadAll(response.Body)
					if client != "unlucky" {
						assert.NoError(t, err)
						content, err := io.ReadAll(decode(t, c.String(), bytes.NewReader(raw)))
						assert.NoError(t, err)
						assert.Equal(t, text, string(content))
						continue
					}
					assert.Error(t, err, "the connection tells")
					content, err := io.ReadAll(decode(t, c.String(), bytes.NewReader(raw)))
					assert.ErrorIs(t, err, io.ErrUnexpectedEOF, "the stream tells")
					assert.True(t, strings.HasPrefix(text, string(content)))
				}
			})
		}
		clients.Wait()
	})
}

func TestResponse_PassesAPanicOnAndDropsTheEncoder(t *testing.T) {
	for _, c := range everyCoding {
		wrap, err := New(Options{})
		require.NoError(t, err)
		stage := wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			_, _ = io.WriteString(w, page(5000))
			panic("the backend died")
		})).(*compressor)
		r := httptest.NewRequest(http.MethodGet, "http://example.com/", nil)
		r.Header.Set("Accept-Encoding", c.String())
		assert.PanicsWithValue(t, "the backend died", func() { stage.ServeHTTP(httptest.NewRecorder(), r) })
		assert.Nil(t, stage.streams.pools[c].Get())
	}
}

func TestResponse_CutsOffWhatEndsShortOfItsContentLength(t *testing.T) {
	eachWay(t, func(t *testing.T, protocol string, c coding) {
		server := serve(t, protocol, Options{}, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.Header().Set("Content-Length", "5000")
			_, _ = io.WriteString(w, page(4999))
			w.(http.Flusher).Flush()
		})
		response := server.get(t, c.String())
		raw, err := io.ReadAll(response.Body)
		assert.Error(t, err)
		_, err = io.ReadAll(decode(t, c.String(), bytes.NewReader(raw)))
		assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	})
}

func TestResponse_RefusesMoreThanItsContentLength(t *testing.T) {
	server := serve(t, "HTTP/1.1", Options{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Content-Length", "5000")
		_, err := io.WriteString(w, page(5000))
		assert.NoError(t, err)
		n, err := io.WriteString(w, "x")
		assert.Zero(t, n)
		assert.ErrorIs(t, err, http.ErrContentLength)
	})
	assert.Equal(t, page(5000), decodeAll(t, server.get(t, "gzip")))
}

func TestResponse_TellsTheHandlerThatTheClientLeft(t *testing.T) {
	eachWay(t, func(t *testing.T, protocol string, c coding) {
		told := make(chan error, 1)
		server := serve(t, protocol, Options{}, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			noise := make([]byte, 64<<10)
			random := rand.NewChaCha8([32]byte{})
			for {
				_, _ = random.Read(noise)
				_, err := w.Write(noise)
				if err == nil {
					err = http.NewResponseController(w).Flush()
				}
				if err != nil {
					told <- err
					return
				}
			}
		})
		ctx, leave := context.WithCancel(t.Context())
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
		require.NoError(t, err)
		request.Header.Set("Accept-Encoding", c.String())
		response, err := server.Client().Do(request)
		require.NoError(t, err)
		defer response.Body.Close()
		leave()
		select {
		case err := <-told:
			assert.Error(t, err)
		case <-time.After(30 * time.Second):
			t.Error("the handler was told nothing")
		}
	})
}

func TestResponse_GivesTheHandlerTheErrorOfAWrite(t *testing.T) {
	for _, c := range everyCoding {
		wrap, err := New(Options{})
		require.NoError(t, err)
		stage := wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			_, _ = io.WriteString(w, page(5000))
			assert.ErrorIs(t, http.NewResponseController(w).Flush(), errBroken)
			_, err := io.WriteString(w, page(5000))
			if err == nil {
				err = http.NewResponseController(w).Flush()
			}
			assert.ErrorIs(t, err, errBroken)
		})).(*compressor)
		r := httptest.NewRequest(http.MethodGet, "http://example.com/", nil)
		r.Header.Set("Accept-Encoding", c.String())
		stage.ServeHTTP(&broken{header: http.Header{}}, r)
		assert.Nil(t, stage.streams.pools[c].Get(), "a stream that failed is not for another response")
	}
}

var errBroken = errors.New("broken pipe")

// broken is a client that has gone.
type broken struct{ header http.Header }

func (b *broken) Header() http.Header       { return b.header }
func (b *broken) WriteHeader(int)           {}
func (b *broken) Write([]byte) (int, error) { return 0, errBroken }

func TestResponse_IsClosedOnceTheHandlerHasReturned(t *testing.T) {
	for _, accepted := range []string{"br", "zstd", "gzip", "identity"} {
		wrap, err := New(Options{})
		require.NoError(t, err)
		var kept http.ResponseWriter
		handler := wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			kept = w
			w.Header().Set("Content-Type", "text/plain")
			_, _ = io.WriteString(w, "all of it")
		}))
		r := httptest.NewRequest(http.MethodGet, "http://example.com/", nil)
		r.Header.Set("Accept-Encoding", accepted)
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, r)
		length := recorder.Body.Len()

		_, err = io.WriteString(kept, "and more")
		assert.Error(t, err)
		assert.Error(t, http.NewResponseController(kept).Flush())
		assert.Equal(t, length, recorder.Body.Len())
	}
}

func TestResponse_IsNotReachableFromThePoolOnceItIsDone(t *testing.T) {
	for _, c := range everyCoding {
		wrap, err := New(Options{})
		require.NoError(t, err)
		handler := wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			_, _ = io.WriteString(w, page(5000))
			w.(http.Flusher).Flush()
		}))
		serveOnce := func() weak.Pointer[httptest.ResponseRecorder] {
			r := httptest.NewRequest(http.MethodGet, "http://example.com/", nil)
			r.Header.Set("Accept-Encoding", c.String())
			recorder := httptest.NewRecorder()
			handler.ServeHTTP(recorder, r)
			return weak.Make(recorder)
		}
		client := serveOnce()
		runtime.GC() // once: a second one would empty the pool
		assert.Nil(t, client.Value(), c.String())
		runtime.KeepAlive(handler)
	}
}
