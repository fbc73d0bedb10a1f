package transport

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
)

func TestTransport_GivesWhatThereIsOfAnAnswerWhileTheBackendPauses(t *testing.T) {
	onlyHTTP1 := func(s *httptest.Server) { s.EnableHTTP2 = false }
	for name, start := range map[string]func(*testing.T, http.HandlerFunc) *pipeline.Backend{
		"HTTP/1.1": newBackend,
		"HTTP/1.1 over TLS": func(t *testing.T, handler http.HandlerFunc) *pipeline.Backend {
			return newSecureBackend(t, onlyHTTP1, handler)
		},
		"HTTP/2": newH2CBackend,
		"HTTP/2 over TLS": func(t *testing.T, handler http.HandlerFunc) *pipeline.Backend {
			return newSecureBackend(t, nil, handler)
		},
	} {
		for framing, length := range map[string]string{"with a length": "30", "without": ""} {
			t.Run(name+"/"+framing, func(t *testing.T) {
				each(t, func(t *testing.T, secure bool) {
					seen := make(chan struct{})
					front := newFront(t, start(t, func(w http.ResponseWriter, r *http.Request) {
						if length != "" {
							w.Header().Set("Content-Length", length)
						}
						w.WriteHeader(http.StatusOK)
						for _, piece := range []string{"", "first.....", "second....", "third....."} {
							_, _ = io.WriteString(w, piece)
							_ = http.NewResponseController(w).Flush()
							select {
							case <-seen:
							case <-r.Context().Done():
							}
						}
					}), setting{secure: secure})
					response, err := front.Client().Do(front.request(t, "GET", "/", nil)) // the head comes by itself
					require.NoError(t, err)
					defer response.Body.Close()
					assert.Equal(t, length, response.Header.Get("Content-Length"))
					for _, want := range []string{"first.....", "second....", "third....."} {
						seen <- struct{}{}
						piece := make([]byte, len(want))
						_, err := io.ReadFull(response.Body, piece)
						require.NoError(t, err)
						assert.Equal(t, want, string(piece))
					}
					seen <- struct{}{}
					_, err = io.ReadFull(response.Body, make([]byte, 1))
					assert.Equal(t, io.EOF, err)
				})
			})
		}
	}
}

// flushes is a client of which is known when it is flushed to.
type flushes struct {
	discarded
	happened chan int // how much had been written by then
}

func (f *flushes) FlushError() error {
	f.happened <- f.bytes
	return nil
}

// direct asks a backend by a stage that stands alone, for a client that is a stand-in.
func direct(t testing.TB, options Options, w http.ResponseWriter, backend *pipeline.Backend) *pipeline.State {
	t.Helper()
	stage, err := New(options)
	require.NoError(t, err)
	state, w, r := pipeline.Enter(w, incoming(0))
	state.Backend = backend
	stage(nil).ServeHTTP(w, r)
	return state
}

func TestTransport_FlushesOnceForEachPauseOfTheBackend(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n"
	piece := strings.Repeat("x", 10)
	for _, secure := range []bool{false, true} {
		for _, c := range []struct {
			name   string
			pieces []string // the next one comes when the one before has been flushed
			want   []int
		}{
			{"none", []string{head + strings.Repeat(piece, 4)}, nil},
			{"behind the head", []string{head, strings.Repeat(piece, 4)}, []int{0}},
			{"between pieces", []string{head + piece, piece, piece, piece}, []int{10, 20, 30}},
		} {
			t.Run(c.name, func(t *testing.T) {
				client := &flushes{discarded: discarded{header: make(http.Header)}, happened: make(chan int, 100)}
				var got []int
				speak := func(w http.ResponseWriter, _ *http.Request) {
					conn, _, err := http.NewResponseController(w).Hijack()
					if err != nil {
						panic(err)
					}
					defer conn.Close()
					for i, piece := range c.pieces {
						_, _ = io.WriteString(conn, piece)
						if i < len(c.pieces)-1 {
							got = append(got, receive(t, client.happened, "flush"))
						}
					}
					_, _ = io.Copy(io.Discard, conn) // until the proxy closes it
				}
				backend := newBackend(t, speak)
				if secure {
					backend = newSecureBackend(t, func(s *httptest.Server) { s.EnableHTTP2 = false }, speak)
				}
				cs := newConnections(t, ConnectionOptions{})
				state := direct(t, Options{Connections: cs}, client, backend)
				cs.Close()
				require.Nil(t, state.Failure)
				assert.Equal(t, 40, client.bytes)
				assert.Equal(t, c.want, got)
				assert.Empty(t, client.happened, "no more than one for each")
			})
		}
	}
}

func TestReadPiece_FlushesOnlyWhereItWouldWait(t *testing.T) {
	for _, c := range []struct {
		name          string
		there, coming string
		err           error // of what is there
		want          []int // the flushes
	}{
		{"something is there", "there", "", nil, nil},
		{"the end is there", "", "", io.EOF, nil},
		{"nothing is there", "", "coming", errQuiet, []int{7}},
	} {
		t.Run(c.name, func(t *testing.T) {
			below, other := net.Pipe()
			defer below.Close()
			go func() {
				_, _ = io.WriteString(other, c.coming)
				other.Close()
			}()
			client := &flushes{discarded: discarded{bytes: 7}, happened: make(chan int, 10)}
			look := func(p []byte) (int, error) { return copy(p, c.there), c.err }
			x := &exchange{w: client, connection: &connection{Conn: below, hasty: true, probe: &probe{look: look}}}
			p := make([]byte, 10)
			n, err, byClient := x.readPiece(p)
			assert.Equal(t, c.there+c.coming, string(p[:n]))
			assert.Equal(t, c.err == io.EOF, err == io.EOF)
			assert.False(t, byClient)
			close(client.happened)
			var got []int
			for bytes := range client.happened {
				got = append(got, bytes)
			}
			assert.Equal(t, c.want, got)
		})
	}
}

func TestTransport_EndsOnlyTheRequestWhenAStageCannotFlushBesideIt(t *testing.T) {
	for name, cause := range map[string]any{"panic": "odd stage", "abort": http.ErrAbortHandler} {
		t.Run(name, func(t *testing.T) {
			gone := make(chan struct{})
			backend := newH2CBackend(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", "2")
				_, _ = io.WriteString(w, "x")
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
				close(gone)
			})
			recovered := make(chan any, 1)
			front := newFront(t, backend, setting{around: func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					defer func() {
						recovered <- recover()
						panic(http.ErrAbortHandler)
					}()
					next.ServeHTTP(unflushable{w, func() error { panic(cause) }}, r)
				})
			}})
			_, err := front.Client().Do(front.request(t, "GET", "/", nil))
			assert.Error(t, err)
			if caught := receive(t, recovered, "panic"); cause != http.ErrAbortHandler {
				assert.Contains(t, caught, cause)
			} else {
				assert.Equal(t, cause, caught)
			}
			receive(t, gone, "end of the backend's request")
		})
	}
}

// unflushable is a response whose flush does something of its own.
type unflushable struct {
	http.ResponseWriter
	flush func() error
}

func (u unflushable) FlushError() error { return u.flush() }

func TestTransport_BlamesTheClientThatTakesNothingWhileAnHTTP2BackendPauses(t *testing.T) {
	backend := newH2CBackend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "2")
		_, _ = io.WriteString(w, "x")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	front := newFront(t, backend, setting{around: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(unflushable{w, func() error { return errors.New("gone") }}, r)
		})
	}})
	_, err := front.Client().Do(front.request(t, "GET", "/", nil))
	assert.Error(t, err)
	failure := front.state(t).Failure
	require.NotNil(t, failure)
	assert.Equal(t, pipeline.StatusClientLeft, failure.Status)
	assert.ErrorContains(t, failure.Err, "gone")
}

func TestPauses_EndAnAnswerThatStandsStillAfterWhatThereWasIsFlushed(t *testing.T) {
	content, backend := io.Pipe()
	defer backend.Close()
	flushed := make(chan struct{}, 1)
	p := &pauses{from: content, limit: 20 * time.Millisecond, flush: func() error {
		flushed <- struct{}{}
		return nil
	}}
	_, err, byClient := p.read(make([]byte, 1))
	assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
	assert.ErrorContains(t, err, "nothing has come for 20ms")
	assert.False(t, byClient)
	assert.Len(t, flushed, 1)
}

func TestPauses_LetAReadTakeItsTimeWhenOneBeforeItWasLookedAtLate(t *testing.T) {
	content, backend := io.Pipe()
	defer backend.Close()
	p := &pauses{from: content, limit: time.Hour, live: true}
	p.begin()
	assert.False(t, p.over(), "its own time is not up")
	p.since = time.Now().Add(-time.Hour)
	assert.True(t, p.over())
	p.timer.Stop()
	p.reading = false
	assert.False(t, p.over(), "nobody reads")
}

// BenchmarkTransport_Flushes says how often an answer is flushed to the client: never where it is there as a whole.
func BenchmarkTransport_Flushes(b *testing.B) {
	for name, size := range map[string]int{"1 KiB": 1 << 10, "64 KiB": 64 << 10, "1 MiB": 1 << 20} {
		b.Run(name, func(b *testing.B) {
			stage, err := New(Options{Log: slog.New(slog.DiscardHandler)})
			require.NoError(b, err)
			handler, backend, r := stage(nil), quickBackend(b, size), incoming(0)
			w := &counted{discarded: discarded{header: make(http.Header)}}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				clear(w.header)
				state, w2, r2 := pipeline.Enter(w, r)
				state.Backend = backend
				handler.ServeHTTP(w2, r2)
			}
			b.ReportMetric(float64(w.flushes)/float64(b.N), "flushes/op")
		})
	}
}

type counted struct {
	discarded
	flushes int
}

func (c *counted) FlushError() error { c.flushes++; return nil }
