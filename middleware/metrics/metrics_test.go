package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
)

func TestMetrics_CountAKnownMixOfRequests(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		switch {
		case r.URL.Path == "/missing":
			w.WriteHeader(http.StatusNotFound)
		case r.URL.Path == "/broken":
			w.WriteHeader(http.StatusInternalServerError)
		case r.URL.Path == "/cut":
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case r.Method == http.MethodPost:
			w.WriteHeader(http.StatusCreated)
		default:
			_, _ = io.WriteString(w, "hello")
		}
	}))
	defer backend.Close()
	counts := New()
	server := serve(t, counts, proxying(backend))
	const app = "app.example.com"
	ask(t, server, "GET", app, "/", nil)
	ask(t, server, "GET", app, "/?query", nil)
	ask(t, server, "GET", app, "/second", nil)
	ask(t, server, "HEAD", app, "/", nil)
	ask(t, server, "POST", app, "/", strings.NewReader("0123456789"))
	ask(t, server, "POST", app, "/", io.MultiReader(strings.NewReader("01234567890123456789"))) // chunked
	ask(t, server, "PUT", app, "/broken", nil)
	ask(t, server, "DELETE", app, "/missing", nil)
	ask(t, server, "PATCH", app, "/missing", nil)
	ask(t, server, "OPTIONS", app, "/missing", nil)
	ask(t, server, "BREW", app, "/missing", nil)
	ask(t, server, "PROPFIND", app, "/missing", nil)
	ask(t, server, "GET", app, "/cut", nil)
	ask(t, server, "GET", "unknown.example.com", "/", nil)
	ask(t, server, "BREW", "unknown.example.org", "/", nil)

	got := await(t, counts, 15)
	want := map[string]float64{
		"tricot_requests_total 200 app.example.com GET":                 4,
		"tricot_requests_total 200 app.example.com HEAD":                1,
		"tricot_requests_total 201 app.example.com POST":                2,
		"tricot_requests_total 500 app.example.com PUT":                 1,
		"tricot_requests_total 404 app.example.com DELETE":              1,
		"tricot_requests_total 404 app.example.com PATCH":               1,
		"tricot_requests_total 404 app.example.com OPTIONS":             1,
		"tricot_requests_total 404 app.example.com other":               2,
		"tricot_requests_total 404 (none) GET":                          1,
		"tricot_requests_total 404 (none) other":                        1,
		"tricot_requests_in_flight":                                     0,
		"tricot_upgraded_connections_open":                              0,
		"tricot_upgraded_connections_total app.example.com":             0,
		"tricot_upgraded_connections_total (none)":                      0,
		"tricot_request_content_bytes_total app.example.com":            30,
		"tricot_request_content_bytes_total (none)":                     0,
		"tricot_response_content_bytes_total app.example.com":           3*5 + 4,
		"tricot_response_content_bytes_total (none)":                    2 * float64(len("404 page not found\n")),
		"tricot_request_retries_total app.example.com":                  2,
		"tricot_request_retries_total (none)":                           0,
		"tricot_request_duration_seconds app.example.com count":         13,
		"tricot_request_duration_seconds (none) count":                  2,
		"tricot_request_backend_duration_seconds app.example.com count": 13,
		"tricot_request_backend_duration_seconds (none) count":          0,
		"tricot_request_own_duration_seconds count":                     14, // not that of the one with retries
	}
	for name := range got {
		if strings.HasSuffix(name, " sum") {
			delete(got, name)
		}
	}
	assert.Equal(t, want, got)

	hosts := make(map[string]HostCounts)
	for host, counts := range counts.Hosts() {
		hosts[host] = counts
	}
	assert.Len(t, hosts, 2)
	of := hosts[app]
	assert.Equal(t, [...]uint64{13, 1, 2, 30, 19}, [...]uint64{of.Requests, of.Errors, of.Retries, of.Received, of.Sent})
	assert.Equal(t, uint64(2), hosts[NoRoute].Requests)
	assert.Zero(t, hosts[NoRoute].Errors)
}

func TestMetrics_FollowPrometheusConventions(t *testing.T) {
	counts := New()
	counts.Stage(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	problems, err := testutil.CollectAndLint(counts)
	require.NoError(t, err)
	assert.Empty(t, problems)
}

func TestMetrics_MethodsAndCodesAreBounded(t *testing.T) {
	counts := New()
	handler := counts.Stage(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Sscan(r.URL.Query().Get("status"), &pipeline.StateOf(r).Status)
	}))
	for status := -1; status <= 2000; status++ {
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(fmt.Sprintf("M%d", status), fmt.Sprintf("/?status=%d", status), nil))
	}
	n := 0
	for name, value := range values(t, counts) {
		if !strings.HasPrefix(name, "tricot_requests_total") {
			continue
		}
		n++
		assert.Contains(t, name, " other", "the method")
		switch name {
		case "tricot_requests_total other (none) other":
			assert.Equal(t, 1+99+1401.0, value)
		case "tricot_requests_total 200 (none) other": // what a handler that wrote nothing is worth, too
			assert.Equal(t, 2.0, value)
		default:
			assert.Equal(t, 1.0, value, name)
		}
	}
	assert.Equal(t, 501, n)
}

func TestMetrics_SayWhatBecameOfARequestWithoutAResponse(t *testing.T) {
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		code    string
	}{
		"nothing was written": {func(http.ResponseWriter, *http.Request) {}, "200"},
		"aborted":             {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "other"},
		"aborted in the body": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "half")
			panic(http.ErrAbortHandler)
		}, "200"},
		"the client left": {func(_ http.ResponseWriter, r *http.Request) {
			pipeline.StateOf(r).Failure = &pipeline.Failure{Status: 499, Err: context.Canceled}
			panic(http.ErrAbortHandler)
		}, "499"},
	} {
		t.Run(name, func(t *testing.T) {
			counts := New()
			func() {
				defer func() { _ = recover() }()
				counts.Stage(c.handler).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
			}()
			got := values(t, counts)
			assert.Equal(t, 1.0, got["tricot_requests_total "+c.code+" (none) GET"], got)
			assert.Zero(t, got["tricot_requests_in_flight"])
		})
	}
}

func TestMetrics_CountAClientThatLeftBeforeItsAnswer(t *testing.T) {
	counts := New()
	came := make(chan struct{})
	server := serve(t, counts, answering(func(_ http.ResponseWriter, r *http.Request) {
		close(came)
		<-r.Context().Done()
	}))
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	require.NoError(t, err)
	<-came
	require.NoError(t, conn.Close())
	assert.Equal(t, 1.0, await(t, counts, 1)["tricot_requests_total 499 (none) GET"])
}

func TestMetrics_LetAPanicPass(t *testing.T) {
	handler := New().Stage(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	assert.PanicsWithValue(t, http.ErrAbortHandler, func() {
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	})
}

func TestMetrics_ShowRequestsInFlight(t *testing.T) {
	counts := New()
	came, end := make(chan struct{}), make(chan struct{})
	server := serve(t, counts, answering(func(http.ResponseWriter, *http.Request) {
		came <- struct{}{}
		<-end
	}))
	var clients sync.WaitGroup
	for range 3 {
		clients.Go(func() {
			response, err := server.Client().Get(server.URL)
			if assert.NoError(t, err) {
				assert.NoError(t, response.Body.Close())
			}
		})
	}
	for range 3 {
		<-came
	}
	got := values(t, counts)
	assert.Equal(t, 3.0, got["tricot_requests_in_flight"])
	assert.NotContains(t, got, "tricot_requests_total 200 (none) GET", "they have not ended")
	close(end)
	clients.Wait()
	assert.Zero(t, await(t, counts, 3)["tricot_requests_in_flight"])
}

// proxied leaves what the other stages leave of a request that a backend answered.
func proxied() http.HandlerFunc {
	route := &pipeline.Route{Host: "app.example.com"}
	return func(_ http.ResponseWriter, r *http.Request) {
		state := pipeline.StateOf(r)
		state.Route, state.Tries, state.Status, state.Bytes = route, 1, http.StatusOK, 48211
		state.Sent, state.Answered = state.Received.Add(20*time.Microsecond), state.Received.Add(2*time.Millisecond)
	}
}

func TestMetrics_AllocateNothingForARequest(t *testing.T) {
	handler := New().Stage(proxied())
	_, w, r := pipeline.Enter(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	assert.Zero(t, testing.AllocsPerRun(1000, func() { handler.ServeHTTP(w, r) }))
}

func TestMetrics_AllocateNothingForARequestThatFails(t *testing.T) {
	route, failure := &pipeline.Route{Host: "app.example.com"}, &pipeline.Failure{Err: errors.New("refused"), Status: 502}
	handler := New().Stage(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		state := pipeline.StateOf(r)
		state.Route, state.Tries, state.Status, state.Failure = route, 3, http.StatusBadGateway, failure
	}))
	_, w, r := pipeline.Enter(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	assert.Zero(t, testing.AllocsPerRun(1000, func() { handler.ServeHTTP(w, r) }))
}

func BenchmarkMetrics(b *testing.B) {
	for _, hosts := range []int{1, 10_000} {
		b.Run(fmt.Sprintf("hosts=%d", hosts), func(b *testing.B) {
			counts := New()
			for i := range hosts {
				routed(counts, fmt.Sprintf("host-%d.example.com", i))
			}
			handler := counts.Stage(proxied())
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(loop *testing.PB) {
				_, w, r := pipeline.Enter(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
				for loop.Next() {
					handler.ServeHTTP(w, r)
				}
			})
		})
	}
	b.Run("alone", func(b *testing.B) {
		handler := New().Stage(proxied())
		_, w, r := pipeline.Enter(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
		b.ReportAllocs()
		for b.Loop() {
			handler.ServeHTTP(w, r)
		}
	})
}
