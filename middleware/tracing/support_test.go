package tracing

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/tricot-proxy/tricot/pipeline"
)

const patience = 30 * time.Second

// receiver is a collector: it takes what is exported over HTTP.
type receiver struct {
	*httptest.Server
	mu        sync.Mutex
	refusing  bool
	refused   int
	resources []map[string]string
	scopes    []*commonpb.InstrumentationScope
	spans     []*tracepb.Span
	headers   http.Header
}

// collect starts a receiver, and has the environment name it, and nothing else of OpenTelemetry's.
func collect(t testing.TB) *receiver {
	t.Helper()
	c := &receiver{}
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "OTEL_") {
			t.Setenv(name, "")
		}
	}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	return c
}

func (c *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.headers = r.Header
	if c.refusing || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		c.refused++
		http.Error(w, "not this", http.StatusBadRequest)
		return
	}
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		unpacked, err := gzip.NewReader(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = unpacked
	}
	content, err := io.ReadAll(body)
	var request collectorpb.ExportTraceServiceRequest
	if err = errors.Join(err, proto.Unmarshal(content, &request)); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, resource := range request.GetResourceSpans() {
		c.resources = append(c.resources, texts(resource.GetResource().GetAttributes()))
		for _, scope := range resource.GetScopeSpans() {
			c.scopes = append(c.scopes, scope.GetScope())
			c.spans = append(c.spans, scope.GetSpans()...)
		}
	}
}

func (c *receiver) refuse(refusing bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refusing = refusing
}

// of gives the spans of a kind.
func (c *receiver) of(kind tracepb.Span_SpanKind) []*tracepb.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	var spans []*tracepb.Span
	for _, span := range c.spans {
		if span.GetKind() == kind {
			spans = append(spans, span)
		}
	}
	return spans
}

const (
	server = tracepb.Span_SPAN_KIND_SERVER
	client = tracepb.Span_SPAN_KIND_CLIENT
)

// texts gives attributes as text.
func texts(attributes []*commonpb.KeyValue) map[string]string {
	all := make(map[string]string)
	for _, a := range attributes {
		switch value := a.GetValue().GetValue().(type) {
		case *commonpb.AnyValue_StringValue:
			all[a.GetKey()] = value.StringValue
		case *commonpb.AnyValue_IntValue:
			all[a.GetKey()] = fmt.Sprint(value.IntValue)
		default:
			all[a.GetKey()] = fmt.Sprint(a.GetValue())
		}
	}
	return all
}

func tracer(t testing.TB, options Options) *Tracer {
	t.Helper()
	traced, err := New(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() { _ = traced.Shutdown(context.Background()) })
	return traced
}

// flush ends the tracer, after which all spans are at the receiver.
func flush(t testing.TB, traced *Tracer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(t, traced.Shutdown(ctx))
}

// proxying stands in the place of request_id, route, balance and transport, and sets in the state what they do. It says on
// the channel when it has answered all of a request.
func proxying(backend string) pipeline.Stage {
	route := &pipeline.Route{Host: "app.example.com", Path: "/api"}
	to := &pipeline.Backend{Service: "web", Node: "node-1", Scheme: pipeline.HTTP, Address: backend}
	return pipeline.Stage{Name: "proxying", Wrap: func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			state := pipeline.StateOf(r)
			state.RequestID = "f5ae2621ffff2e7d"
			if r.Host != route.Host {
				http.NotFound(w, r)
				return
			}
			state.Route, state.Backend, state.Tries = route, to, 1
			if r.URL.Path == "/api/second" {
				state.Tries = 3
			}
			out := r.Clone(r.Context())
			out.RequestURI, out.URL.Scheme, out.URL.Host = "", "http", backend
			state.Sent = time.Now()
			response, err := http.DefaultTransport.RoundTrip(out)
			if err != nil {
				state.Failure = &pipeline.Failure{Err: err, Status: http.StatusBadGateway, Unsent: true}
				http.Error(w, "502", http.StatusBadGateway)
				return
			}
			defer response.Body.Close()
			state.Answered = time.Now()
			w.WriteHeader(response.StatusCode)
			_, _ = io.Copy(w, response.Body)
		})
	}}
}

func serve(t testing.TB, traced *Tracer, stages ...pipeline.Stage) *httptest.Server {
	t.Helper()
	chain, err := pipeline.New(append([]pipeline.Stage{{Name: Name, Wrap: traced.Stage}}, stages...), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	served := httptest.NewServer(chain)
	t.Cleanup(served.Close)
	return served
}

// backend starts one that tells what context it got.
func backend(t testing.TB, got chan<- http.Header) string {
	t.Helper()
	b := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/broken" {
			w.WriteHeader(http.StatusInternalServerError)
		}
		got <- r.Header
	}))
	t.Cleanup(b.Close)
	return b.Listener.Addr().String()
}

// ask sends a request, and waits until the server has served it to its end.
func ask(t testing.TB, served *httptest.Server, host, target string, fields ...string) {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, served.URL+target, nil)
	require.NoError(t, err)
	request.Host = host
	for i := 0; i < len(fields); i += 2 {
		request.Header.Add(fields[i], fields[i+1])
	}
	response, err := served.Client().Do(request)
	require.NoError(t, err)
	_, _ = io.Copy(io.Discard, response.Body)
	require.NoError(t, response.Body.Close())
}

const (
	theirs      = "4bf92f3577b34da6a3ce929d0e0e4736"
	theirSpan   = "00f067aa0ba902b7"
	sampled     = "00-" + theirs + "-" + theirSpan + "-01"
	notSampled  = "00-" + theirs + "-" + theirSpan + "-00"
	random      = `^00-[0-9a-f]{32}-[0-9a-f]{16}-01$`
	application = "app.example.com"
)
