package pipeline

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type silent struct{ header http.Header }

func (s *silent) Header() http.Header         { return s.header }
func (s *silent) Write(p []byte) (int, error) { return len(p), nil }
func (s *silent) WriteHeader(int)             {}

func TestEnter_AllocatesOnceForARequest(t *testing.T) {
	w, r := &silent{}, httptest.NewRequest(http.MethodGet, "/", nil)
	assert.Equal(t, 1.0, testing.AllocsPerRun(100, func() { Enter(w, r) }))
	_, again, entered := Enter(w, r)
	assert.Zero(t, testing.AllocsPerRun(100, func() { Enter(again, entered) }))
	assert.Zero(t, testing.AllocsPerRun(100, func() { StateOf(entered) }))
}

func TestEnter_GivesEachStageTheSameState(t *testing.T) {
	w, r := &silent{}, httptest.NewRequest(http.MethodGet, "/", nil)
	assert.Nil(t, StateOf(r))
	begin := time.Now()
	state, w1, r1 := Enter(w, r)
	assert.WithinRange(t, state.Received, begin, time.Now())
	assert.Same(t, state, StateOf(r1))
	assert.Nil(t, StateOf(r), "the request of others stays as it was")

	again, w2, r2 := Enter(w1, r1)
	assert.Same(t, state, again)
	assert.Same(t, w1, w2)
	assert.Same(t, r1, r2)

	wrapped := &silent{}
	_, w3, _ := Enter(wrapped, r1)
	assert.Same(t, wrapped, w3, "a stage's own ResponseWriter is not passed by")
}

func TestStateOf_FindsTheStateThroughDerivedContexts(t *testing.T) {
	type key struct{}
	outer := context.WithValue(t.Context(), key{}, "outer")
	state, _, r := Enter(&silent{}, httptest.NewRequest(http.MethodGet, "/", nil).WithContext(outer))
	assert.Equal(t, "outer", r.Context().Value(key{}))

	ctx, cancel := context.WithCancel(context.WithValue(r.Context(), key{}, "inner"))
	defer cancel()
	derived := r.WithContext(ctx)
	assert.Same(t, state, StateOf(derived))
	assert.Same(t, state, StateOf(derived.Clone(context.WithoutCancel(ctx))))
	assert.Equal(t, "inner", derived.Context().Value(key{}))
}

func TestEnter_EndsItsContextWithTheRequests(t *testing.T) {
	outer, cancel := context.WithCancelCause(t.Context())
	_, _, r := Enter(&silent{}, httptest.NewRequest(http.MethodGet, "/", nil).WithContext(outer))
	derived, cancelDerived := context.WithTimeout(r.Context(), time.Hour)
	defer cancelDerived()
	cancel(io.ErrUnexpectedEOF)
	<-derived.Done()
	assert.ErrorIs(t, context.Cause(derived), io.ErrUnexpectedEOF)
	assert.ErrorIs(t, r.Context().Err(), context.Canceled)
}

// foreign is a context that package context knows nothing of, but for AfterFunc.
type foreign struct {
	context.Context
	calls int
}

func (f *foreign) Value(any) any { return nil }

func (f *foreign) AfterFunc(run func()) func() bool {
	f.calls++
	return context.AfterFunc(f.Context, run)
}

func TestEnter_LetsDerivedContextsUseTheAfterFuncOfTheServers(t *testing.T) {
	base, cancelBase := context.WithCancel(t.Context())
	outer := &foreign{Context: base}
	_, _, r := Enter(&silent{}, httptest.NewRequest(http.MethodGet, "/", nil).WithContext(outer))
	derived, cancel := context.WithCancel(r.Context())
	defer cancel()
	assert.Equal(t, 1, outer.calls)
	ran := make(chan struct{})
	context.AfterFunc(r.Context(), func() { close(ran) })
	stop := context.AfterFunc(r.Context(), func() { assert.Fail(t, "it was stopped") })
	assert.True(t, stop())
	cancelBase()
	<-derived.Done()
	<-ran
}

// seen is what a state said after its request.
type seen struct {
	status int
	bytes  int64
}

// served runs a handler behind Enter on a real server. What the state says at the end comes on the channel.
func served(t *testing.T, handler func(*State, http.ResponseWriter, *http.Request)) (*httptest.Server, <-chan seen) {
	states := make(chan seen, 8)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		state, w, r := Enter(w, r)
		handler(state, w, r)
		states <- seen{state.Status, state.Bytes}
	}))
	t.Cleanup(server.Close)
	return server, states
}

func TestState_KnowsWhatTheClientGot(t *testing.T) {
	for _, c := range []struct {
		name    string
		method  string
		handler func(http.ResponseWriter, *http.Request)
		want    seen
	}{
		{"nothing written", "GET", func(http.ResponseWriter, *http.Request) {}, seen{0, 0}},
		{"a body alone", "GET", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "hello")
			_, _ = io.WriteString(w, ", world")
		}, seen{200, 12}},
		{"a status alone", "GET", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, seen{204, 0}},
		{"the first status counts", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(404)
			w.WriteHeader(500)
		}, seen{404, 0}},
		{"a status after the body", "GET", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "hello")
			w.WriteHeader(500)
		}, seen{200, 5}},
		{"1xx are not the answer", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusProcessing)
			w.WriteHeader(201)
		}, seen{201, 0}},
		{"1xx and no answer", "GET", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103) }, seen{0, 0}},
		{"a flush sends the head", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
			w.WriteHeader(500)
		}, seen{200, 0}},
		{"a body that no status allows", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(304)
			_, err := io.WriteString(w, "hello")
			assert.ErrorIs(t, err, http.ErrBodyNotAllowed)
		}, seen{304, 0}},
		{"HEAD has no body", "HEAD", func(w http.ResponseWriter, r *http.Request) {
			r.Method = "GET" // a stage may change its mind, the client does not
			n, err := io.WriteString(w, "hello")
			assert.NoError(t, err)
			assert.Equal(t, 5, n)
		}, seen{200, 0}},
		{"no status at all", "GET", func(w http.ResponseWriter, _ *http.Request) {
			assert.Panics(t, func() { w.WriteHeader(0) })
			assert.Panics(t, func() { w.WriteHeader(1000) })
		}, seen{0, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			server, states := served(t, func(_ *State, w http.ResponseWriter, r *http.Request) { c.handler(w, r) })
			r, err := http.NewRequest(c.method, server.URL, nil)
			require.NoError(t, err)
			response, err := server.Client().Do(r)
			require.NoError(t, err)
			body, err := io.ReadAll(response.Body)
			require.NoError(t, err)
			_ = response.Body.Close()
			got := <-states
			assert.Equal(t, c.want, got)
			assert.Len(t, body, int(got.bytes))
			if got.status != 0 {
				assert.Equal(t, got.status, response.StatusCode)
			}
		})
	}
}

func TestState_CountsBytesThatWereWrittenWhenTheClientLeft(t *testing.T) {
	left := make(chan struct{})
	server, states := served(t, func(_ *State, w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "hello")
		assert.NoError(t, http.NewResponseController(w).Flush())
		<-left
		<-r.Context().Done()
	})
	response, err := server.Client().Get(server.URL)
	require.NoError(t, err)
	_ = response.Body.Close()
	close(left)
	assert.Equal(t, seen{200, 5}, <-states)
}

func TestExchange_FlushReachesTheClientAtOnce(t *testing.T) {
	read := make(chan struct{})
	for name, flush := range map[string]func(http.ResponseWriter) error{
		"controller": func(w http.ResponseWriter) error { return http.NewResponseController(w).Flush() },
		"interface":  func(w http.ResponseWriter) error { w.(http.Flusher).Flush(); return nil },
	} {
		server, _ := served(t, func(_ *State, w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "event\n")
			assert.NoError(t, flush(w))
			<-read
		})
		response, err := server.Client().Get(server.URL)
		require.NoError(t, err, name)
		line, err := bufio.NewReader(response.Body).ReadString('\n')
		require.NoError(t, err, name)
		assert.Equal(t, "event\n", line)
		read <- struct{}{}
		_ = response.Body.Close()
	}
}

func TestExchange_SaysThatAFlushIsNotSupported(t *testing.T) {
	_, w, _ := Enter(&silent{}, httptest.NewRequest(http.MethodGet, "/", nil))
	assert.ErrorIs(t, http.NewResponseController(w).Flush(), http.ErrNotSupported)
	_, _, err := http.NewResponseController(w).Hijack()
	assert.ErrorIs(t, err, http.ErrNotSupported)
}

func TestExchange_UnwrapsToDeadlinesAndFullDuplex(t *testing.T) {
	server, states := served(t, func(_ *State, w http.ResponseWriter, _ *http.Request) {
		controller := http.NewResponseController(w)
		assert.NoError(t, controller.EnableFullDuplex())
		assert.NoError(t, controller.SetReadDeadline(time.Now().Add(time.Minute)))
		assert.NoError(t, controller.SetWriteDeadline(time.Now().Add(time.Minute)))
	})
	response, err := server.Client().Get(server.URL)
	require.NoError(t, err)
	_ = response.Body.Close()
	<-states
}

func TestExchange_KnowsAnUpgradeByItsHijack(t *testing.T) {
	for name, hijack := range map[string]func(http.ResponseWriter) (net.Conn, *bufio.ReadWriter, error){
		"controller": func(w http.ResponseWriter) (net.Conn, *bufio.ReadWriter, error) {
			return http.NewResponseController(w).Hijack()
		},
		"interface": func(w http.ResponseWriter) (net.Conn, *bufio.ReadWriter, error) {
			return w.(http.Hijacker).Hijack()
		},
	} {
		for _, before := range []int{0, http.StatusTeapot} {
			server, states := served(t, func(state *State, w http.ResponseWriter, _ *http.Request) {
				state.Status = before
				conn, buffered, err := hijack(w)
				if !assert.NoError(t, err, name) {
					return
				}
				defer conn.Close()
				line, err := buffered.ReadString('\n')
				assert.NoError(t, err)
				_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n\r\n"+line)
				state.Bytes = int64(len(line))
			})
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			require.NoError(t, err)
			_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\nping\n")
			require.NoError(t, err)
			answer, err := io.ReadAll(conn)
			require.NoError(t, err)
			_ = conn.Close()
			assert.True(t, strings.HasSuffix(string(answer), "\r\n\r\nping\n"))
			want := http.StatusSwitchingProtocols
			if before != 0 {
				want = before
			}
			assert.Equal(t, seen{want, 5}, <-states, name)
		}
	}
}

func TestEnter_BringsTrailersAcrossAnnouncedOrNot(t *testing.T) {
	for name, announced := range map[string]string{"announced": "Trailer: X-Sum\r\n", "not announced": ""} {
		t.Run(name, func(t *testing.T) {
			server, states := served(t, func(_ *State, w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				fmt.Fprint(w, string(body), err, r.Trailer.Get("X-Sum"))
			})
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			require.NoError(t, err)
			defer conn.Close()
			_, err = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"+announced+
				"\r\n4\r\nbody\r\n0\r\nX-Sum: 42\r\n\r\n")
			require.NoError(t, err)
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err)
			body, err := io.ReadAll(response.Body)
			require.NoError(t, err)
			assert.Equal(t, "body<nil>42", string(body))
			<-states
		})
	}
}

func TestNew_LetsTheServerRemoveTheFilesOfAFormThatAStageParsed(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	files := make(chan int, 1)
	parse := Stage{Name: "parse", Wrap: func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			assert.NoError(t, r.ParseMultipartForm(0))
			entries, err := os.ReadDir(dir)
			assert.NoError(t, err)
			files <- len(entries)
		})
	}}
	chain, err := New([]Stage{parse}, discard())
	require.NoError(t, err)
	server := httptest.NewServer(chain)
	defer server.Close()

	var form bytes.Buffer
	writer := multipart.NewWriter(&form)
	file, err := writer.CreateFormFile("file", "file.bin")
	require.NoError(t, err)
	_, err = file.Write(make([]byte, 11<<20)) // ParseMultipartForm adds 10 MiB to what it is told
	require.NoError(t, err)
	require.NoError(t, writer.Close())
	response, err := server.Client().Post(server.URL, writer.FormDataContentType(), &form)
	require.NoError(t, err)
	_ = response.Body.Close()
	assert.Equal(t, 1, <-files)
	require.Eventually(t, func() bool {
		entries, err := os.ReadDir(dir)
		return err == nil && len(entries) == 0
	}, 30*time.Second, time.Millisecond)
}

func TestEnter_KeepsRequestsApartUnderConcurrency(t *testing.T) {
	chain, err := New([]Stage{named("a"), {Name: "echo", Wrap: func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			state, w, r := Enter(w, r)
			body, err := io.ReadAll(r.Body)
			assert.NoError(t, err)
			_, _ = w.Write(body)
			fmt.Fprintf(w, " %d", state.Bytes)
		})
	}}}, discard())
	require.NoError(t, err)
	server := httptest.NewServer(chain)
	defer server.Close()
	var wait sync.WaitGroup
	for i := range 20 {
		wait.Go(func() {
			text := strings.Repeat("x", i*1000)
			response, err := server.Client().Post(server.URL, "text/plain", strings.NewReader(text))
			if !assert.NoError(t, err) {
				return
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			assert.NoError(t, err)
			assert.Equal(t, fmt.Sprint(text, " ", len(text)), string(body))
		})
	}
	wait.Wait()
}

func BenchmarkEnter(b *testing.B) {
	b.ReportAllocs()
	w, r := &silent{}, httptest.NewRequest(http.MethodGet, "/", nil)
	for b.Loop() {
		_, w, r := Enter(w, r)
		Enter(w, r)
	}
}
