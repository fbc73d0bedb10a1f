package metrics

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
)

const patience = 30 * time.Second

// proxying stands in the place of route, balance and transport, and sets in the state what they do: the host app.example.com
// has a route to the backend, other ones have none and get a 404.
func proxying(backend *httptest.Server) pipeline.Stage {
	route := &pipeline.Route{Host: "app.example.com"}
	return pipeline.Stage{Name: "proxying", Wrap: func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			state := pipeline.StateOf(r)
			if r.Host != route.Host {
				http.NotFound(w, r)
				return
			}
			state.Route, state.Tries = route, 1
			if r.URL.Path == "/second" {
				state.Tries = 3
			}
			out, err := http.NewRequestWithContext(r.Context(), r.Method, backend.URL+r.URL.Path, r.Body)
			if err != nil {
				panic(err)
			}
			out.ContentLength = r.ContentLength
			state.Sent = time.Now()
			response, err := backend.Client().Do(out)
			if err != nil {
				state.Failure = &pipeline.Failure{Err: err, Status: http.StatusBadGateway}
				http.Error(w, "502", http.StatusBadGateway)
				return
			}
			defer response.Body.Close()
			state.Answered = time.Now()
			w.WriteHeader(response.StatusCode)
			_ = http.NewResponseController(w).Flush() // so that a client sees the head of what is cut short
			if _, err := io.Copy(w, response.Body); err != nil {
				panic(http.ErrAbortHandler)
			}
		})
	}}
}

// serve starts a server with the stage and others behind it.
func serve(t testing.TB, counts *Requests, stages ...pipeline.Stage) *httptest.Server {
	t.Helper()
	chain, err := pipeline.New(append([]pipeline.Stage{{Name: Name, Wrap: counts.Stage}}, stages...), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	server := httptest.NewServer(chain)
	t.Cleanup(server.Close)
	return server
}

// answering is a stage that is a handler.
func answering(handler http.HandlerFunc) pipeline.Stage {
	return pipeline.Stage{Name: "answering", Wrap: func(http.Handler) http.Handler { return handler }}
}

func ask(t testing.TB, server *httptest.Server, method, host, path string, body io.Reader) {
	t.Helper()
	request, err := http.NewRequest(method, server.URL+path, body)
	require.NoError(t, err)
	request.Host = host
	response, err := server.Client().Do(request)
	require.NoError(t, err)
	_, _ = io.Copy(io.Discard, response.Body)
	require.NoError(t, response.Body.Close())
}

// values gives what a registry shows, by name and labels; of a histogram its count and sum.
func values(t testing.TB, counts *Requests) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(counts))
	families, err := registry.Gather()
	require.NoError(t, err)
	all := make(map[string]float64)
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			name := family.GetName()
			for _, label := range metric.GetLabel() {
				name += " " + label.GetValue()
			}
			switch family.GetType() {
			case dto.MetricType_COUNTER:
				all[name] = metric.GetCounter().GetValue()
			case dto.MetricType_GAUGE:
				all[name] = metric.GetGauge().GetValue()
			default:
				all[name+" count"] = float64(metric.GetHistogram().GetSampleCount())
				all[name+" sum"] = metric.GetHistogram().GetSampleSum()
			}
		}
	}
	return all
}

// await waits until so many requests have been counted: a client has its answer a little before.
func await(t testing.TB, counts *Requests, requests uint64) map[string]float64 {
	t.Helper()
	require.Eventually(t, func() bool {
		var n uint64
		for _, host := range counts.Hosts() {
			n += host.Requests
		}
		return n >= requests
	}, patience, time.Millisecond)
	return values(t, counts)
}

// routed serves a request that matches a rule of the host.
func routed(counts *Requests, host string) {
	counts.Stage(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		pipeline.StateOf(r).Route = &pipeline.Route{Host: host}
	})).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
}

func listed(counts *Requests) []string {
	var names []string
	for name := range counts.Hosts() {
		names = append(names, name)
	}
	return names
}
