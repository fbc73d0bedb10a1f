package headers

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
)

var backend = &pipeline.Backend{Headers: []pipeline.Header{
	{Name: "X-Served-By", Values: []string{"web"}},
	{Name: "X-Two", Values: []string{"a", "b"}},
}}

// serve starts a server whose handler stands behind the stage.
func serve(t *testing.T, handler func(state *pipeline.State, w http.ResponseWriter)) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(New()(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler(pipeline.StateOf(r), w)
	})))
	t.Cleanup(server.Close)
	return server
}

func get(t *testing.T, server *httptest.Server) *http.Response {
	t.Helper()
	response, err := server.Client().Get(server.URL)
	require.NoError(t, err)
	t.Cleanup(func() { response.Body.Close() })
	return response
}

func TestHeaders_SetsThemHoweverTheResponseBegins(t *testing.T) {
	for name, begin := range map[string]func(w http.ResponseWriter){
		"WriteHeader": func(w http.ResponseWriter) { w.WriteHeader(http.StatusTeapot) },
		"Write":       func(w http.ResponseWriter) { _, _ = io.WriteString(w, "content") },
		"Flush":       func(w http.ResponseWriter) { w.(http.Flusher).Flush() },
		"FlushError":  func(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() },
		"not at all":  func(http.ResponseWriter) {},
	} {
		t.Run(name, func(t *testing.T) {
			response := get(t, serve(t, func(state *pipeline.State, w http.ResponseWriter) {
				state.Backend, state.Answered = backend, time.Now()
				begin(w)
			}))
			assert.Equal(t, []string{"web"}, response.Header["X-Served-By"])
			assert.Equal(t, []string{"a", "b"}, response.Header["X-Two"])
		})
	}
}

func TestHeaders_ReplacesWhatTheBackendSent(t *testing.T) {
	response := get(t, serve(t, func(state *pipeline.State, w http.ResponseWriter) {
		state.Backend, state.Answered = backend, time.Now()
		w.Header()["X-Served-By"] = []string{"me", "myself"}
		w.Header().Set("X-Two", "c")
		w.Header().Set("X-Other", "kept")
		w.WriteHeader(http.StatusOK)
	}))
	assert.Equal(t, []string{"web"}, response.Header["X-Served-By"])
	assert.Equal(t, []string{"a", "b"}, response.Header["X-Two"])
	assert.Equal(t, []string{"kept"}, response.Header["X-Other"])
}

func TestHeaders_KeepsAcceptEncodingInVaryForTheCompressStage(t *testing.T) {
	for _, c := range []struct {
		tag, before, want []string
	}{
		{[]string{"Origin"}, []string{"Cookie, accept-encoding"}, []string{"Origin", "Accept-Encoding"}},
		{[]string{"Origin", "accept-encoding"}, []string{"Accept-Encoding"}, []string{"Origin", "accept-encoding"}},
		{[]string{"*"}, []string{"Accept-Encoding"}, []string{"*"}},
		{[]string{"Origin"}, []string{"Cookie"}, []string{"Origin"}},
		{[]string{"Origin"}, nil, []string{"Origin"}},
	} {
		varying := &pipeline.Backend{Headers: []pipeline.Header{{Name: "Vary", Values: slices.Clip(c.tag)}}}
		response := get(t, serve(t, func(state *pipeline.State, w http.ResponseWriter) {
			state.Backend, state.Answered = varying, time.Now()
			w.Header()["Vary"] = c.before
			w.WriteHeader(http.StatusOK)
		}))
		assert.Equal(t, c.want, response.Header["Vary"])
		assert.Equal(t, c.tag, varying.Headers[0].Values, "the backend's own values stay as they are")
	}
}

func TestHeaders_LeavesTheBackendsValuesAlone(t *testing.T) {
	get(t, serve(t, func(state *pipeline.State, w http.ResponseWriter) {
		state.Backend, state.Answered = backend, time.Now()
		w.WriteHeader(http.StatusOK)
		w.Header().Add("X-Served-By", "more")
	}))
	assert.Equal(t, []string{"web"}, backend.Headers[0].Values)
}

func TestHeaders_LeavesResponsesOfOurOwnAlone(t *testing.T) {
	for name, handler := range map[string]func(state *pipeline.State, w http.ResponseWriter){
		"no backend": func(_ *pipeline.State, w http.ResponseWriter) { http.Error(w, "404", http.StatusNotFound) },
		"no answer": func(state *pipeline.State, w http.ResponseWriter) {
			state.Backend = backend
			http.Error(w, "502", http.StatusBadGateway)
		},
		"nothing written": func(state *pipeline.State, _ http.ResponseWriter) { state.Backend = backend },
	} {
		t.Run(name, func(t *testing.T) {
			assert.NotContains(t, get(t, serve(t, handler)).Header, "X-Served-By")
		})
	}
}

func TestHeaders_SetsThoseOfTheBackendThatAnswered(t *testing.T) {
	response := get(t, serve(t, func(state *pipeline.State, w http.ResponseWriter) {
		state.Backend = backend // refused
		state.Backend, state.Answered = &pipeline.Backend{}, time.Now()
		w.WriteHeader(http.StatusOK)
	}))
	assert.NotContains(t, response.Header, "X-Served-By")
}

func TestHeaders_SparesInformationalResponsesAndMarksTheSwitchOfProtocols(t *testing.T) {
	server := serve(t, func(state *pipeline.State, w http.ResponseWriter) {
		w.WriteHeader(http.StatusEarlyHints)
		state.Backend, state.Answered = backend, time.Now()
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "chat")
		w.WriteHeader(http.StatusSwitchingProtocols)
		conn, _, err := http.NewResponseController(w).Hijack()
		if assert.NoError(t, err) {
			conn.Close()
		}
	})
	raw, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	defer raw.Close()
	_, err = io.WriteString(raw, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	require.NoError(t, err)
	all, err := io.ReadAll(raw)
	require.NoError(t, err)
	heads := strings.Split(string(all), "\r\n\r\n")
	require.Len(t, heads, 3)
	assert.Equal(t, "HTTP/1.1 103 Early Hints", heads[0])
	assert.Contains(t, heads[1], "HTTP/1.1 101 Switching Protocols\r\n")
	assert.Contains(t, heads[1], "X-Served-By: web\r\n")
}

func TestHeaders_AllocatesNothing(t *testing.T) {
	handler := New()(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusOK) }))
	state, w, r := pipeline.Enter(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	discard := &discard{w.Header()}
	state.Backend, state.Answered = backend, time.Now()
	handler.ServeHTTP(discard, r)
	assert.Zero(t, testing.AllocsPerRun(1000, func() { handler.ServeHTTP(discard, r) }))
}

func BenchmarkHeaders(b *testing.B) {
	handler := New()(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusOK) }))
	state, w, r := pipeline.Enter(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	discard := &discard{w.Header()}
	state.Backend, state.Answered = backend, time.Now()
	b.ReportAllocs()
	for b.Loop() {
		handler.ServeHTTP(discard, r)
	}
}

type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
