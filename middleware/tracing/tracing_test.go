package tracing

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
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

func TestTracing_MakesASpanForTricotAndOneForTheBackendsPart(t *testing.T) {
	collector := collect(t)
	got := make(chan http.Header, 1)
	address := backend(t, got)
	traced := tracer(t, Options{Version: "1.2.3", Instance: "web-1"})
	served := serve(t, traced, proxying(address))
	ask(t, served, application, "/api/a%2Fb?token=secret", "Cookie", "secret=1", "Authorization", "Bearer secret",
		"Traceparent", sampled, "Tracestate", "vendor=value", "Baggage", "user=7")
	served.Close() // waits for requests
	flush(t, traced)

	require.Len(t, collector.of(server), 1)
	require.Len(t, collector.of(client), 1)
	tricot, proxied := collector.of(server)[0], collector.of(client)[0]
	assert.Equal(t, theirs, fmt.Sprintf("%x", tricot.GetTraceId()))
	assert.Equal(t, theirSpan, fmt.Sprintf("%x", tricot.GetParentSpanId()))
	assert.Equal(t, theirs, fmt.Sprintf("%x", proxied.GetTraceId()))
	assert.Equal(t, tricot.GetSpanId(), proxied.GetParentSpanId())

	seen := <-got
	assert.Equal(t, []string{fmt.Sprintf("00-%s-%x-01", theirs, proxied.GetSpanId())}, seen["Traceparent"])
	assert.Equal(t, []string{"vendor=value"}, seen["Tracestate"])
	assert.Equal(t, []string{"user=7"}, seen["Baggage"])

	assert.Equal(t, "GET app.example.com/api", tricot.GetName())
	assert.Equal(t, map[string]string{
		"http.request.method": "GET", "url.scheme": "http", "url.path": "/api/a%2Fb", "network.protocol.version": "1.1",
		"server.address": application, "client.address": "127.0.0.1", "network.peer.address": "127.0.0.1",
		"http.route": "app.example.com/api", "http.response.status_code": "200", "tricot.request_id": "f5ae2621ffff2e7d",
	}, texts(tricot.GetAttributes()))
	host, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	assert.Equal(t, "GET", proxied.GetName())
	assert.Equal(t, map[string]string{
		"http.request.method": "GET", "url.full": "http://" + address + "/api/a%2Fb", "server.address": host, "server.port": port,
		"http.response.status_code": "200", "tricot.service": "web", "tricot.node": "node-1",
	}, texts(proxied.GetAttributes()))
	for _, span := range []*tracepb.Span{tricot, proxied} {
		assert.Equal(t, tracepb.Status_STATUS_CODE_UNSET, span.GetStatus().GetCode())
		assert.NotContains(t, span.String(), "secret")
	}
	assert.LessOrEqual(t, tricot.GetStartTimeUnixNano(), proxied.GetStartTimeUnixNano())
	assert.LessOrEqual(t, proxied.GetStartTimeUnixNano(), proxied.GetEndTimeUnixNano())
	assert.LessOrEqual(t, proxied.GetEndTimeUnixNano(), tricot.GetEndTimeUnixNano())

	for key, value := range map[string]string{"service.name": "tricot", "service.version": "1.2.3", "service.instance.id": "web-1"} {
		assert.Equal(t, value, collector.resources[0][key])
	}
	assert.Equal(t, scope, collector.scopes[0].GetName())
	assert.Equal(t, "1.2.3", collector.scopes[0].GetVersion())
}

func TestTracing_TheClientSpanIsTheBackendsPartOfTheTime(t *testing.T) {
	collector := collect(t)
	traced := tracer(t, Options{})
	came := time.Unix(1_700_000_000, 0)
	traced.Stage(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		state := pipeline.StateOf(r)
		state.Sent, state.Answered = came.Add(2*time.Second), came.Add(5*time.Second)
	})).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	flush(t, traced)
	require.Len(t, collector.of(client), 1)
	span := collector.of(client)[0]
	assert.Equal(t, uint64(came.Add(2*time.Second).UnixNano()), span.GetStartTimeUnixNano())
	assert.Equal(t, uint64(came.Add(5*time.Second).UnixNano()), span.GetEndTimeUnixNano())
}

func TestTracing_TakesTheContextThatIsOneAndBeginsATraceWhereNoneIs(t *testing.T) {
	got := make(chan http.Header, 1)
	for name, c := range map[string]struct {
		fields      []string
		traceparent string
		tracestate  []string
	}{
		"none":                     {nil, random, nil},
		"sampled":                  {[]string{"Traceparent", sampled}, `^00-` + theirs + `-[0-9a-f]{16}-01$`, nil},
		"not sampled":              {[]string{"Traceparent", notSampled, "Tracestate", "a=b"}, `^00-` + theirs + `-[0-9a-f]{16}-00$`, []string{"a=b"}},
		"a state in two fields":    {[]string{"Traceparent", sampled, "Tracestate", "a=b", "Tracestate", "c=d"}, `^00-` + theirs, []string{"a=b,c=d"}},
		"a state that is none":     {[]string{"Traceparent", sampled, "Tracestate", "no state"}, `^00-` + theirs, nil},
		"a state alone":            {[]string{"Tracestate", "a=b"}, random, nil},
		"malformed":                {[]string{"Traceparent", "00-x-y-01", "Tracestate", "a=b"}, random, nil},
		"two":                      {[]string{"Traceparent", sampled, "Traceparent", sampled}, random, nil},
		"an invalid trace":         {[]string{"Traceparent", "00-" + strings.Repeat("0", 32) + "-" + theirSpan + "-01"}, random, nil},
		"a version from to-morrow": {[]string{"Traceparent", "cc" + sampled[2:] + "-more"}, `^00-` + theirs + `-[0-9a-f]{16}-01$`, nil},
		"two of them":              {[]string{"Traceparent", "cc" + sampled[2:] + "-more", "Traceparent", "cc" + sampled[2:] + "-more"}, random, nil},
	} {
		t.Run(name, func(t *testing.T) {
			collector := collect(t)
			traced := tracer(t, Options{})
			served := serve(t, traced, proxying(backend(t, got)))
			ask(t, served, application, "/api", c.fields...)
			served.Close()
			flush(t, traced)
			seen := <-got
			require.Len(t, seen["Traceparent"], 1)
			assert.Regexp(t, c.traceparent, seen["Traceparent"][0])
			assert.NotContains(t, seen["Traceparent"][0], theirSpan)
			assert.Equal(t, c.traceparent != random, strings.Contains(seen["Traceparent"][0], theirs))
			assert.Equal(t, c.tracestate, seen["Tracestate"])
			want := 2
			if strings.HasSuffix(seen["Traceparent"][0], "-00") {
				want = 0
			}
			assert.Len(t, collector.spans, want, "what is not sampled is not exported")
		})
	}
}

func TestTracing_SaysWhatWentWrong(t *testing.T) {
	failed := func(failure pipeline.Failure, answered bool) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			state := pipeline.StateOf(r)
			state.Sent, state.Failure = time.Now(), &failure
			if answered {
				state.Answered = state.Sent
			}
			if failure.Status == pipeline.StatusClientLeft {
				panic(http.ErrAbortHandler)
			}
			w.WriteHeader(failure.Status)
			if answered {
				panic(http.ErrAbortHandler)
			}
		}
	}
	answered := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			state := pipeline.StateOf(r)
			state.Sent, state.Answered = time.Now(), time.Now()
			w.WriteHeader(status)
		}
	}
	cause := errors.New("connection refused")
	for name, c := range map[string]struct {
		handler        http.HandlerFunc
		server, client string // error.type
		description    string
	}{
		"nothing":          {answered(http.StatusOK), "", "", ""},
		"a client's error": {answered(http.StatusNotFound), "", "404", ""},
		"a backend's":      {answered(http.StatusServiceUnavailable), "503", "503", ""},
		"no connection":    {failed(pipeline.Failure{Err: cause, Status: 502, Unsent: true}, false), "502", "no_connection", "connection refused"},
		"no valid answer":  {failed(pipeline.Failure{Err: cause, Status: 502}, false), "502", "no_answer", "connection refused"},
		"no answer":        {failed(pipeline.Failure{Err: cause, Status: 504}, false), "504", "timeout", "connection refused"},
		"half an answer":   {failed(pipeline.Failure{Err: cause, Status: 502}, true), "aborted", "no_answer", "connection refused"},
		"the client left":  {failed(pipeline.Failure{Err: cause, Status: 499}, false), "client_left", "client_left", "connection refused"},
		"a panic": {func(_ http.ResponseWriter, r *http.Request) {
			pipeline.StateOf(r).Sent = time.Now()
			panic("out of cheese")
		}, "aborted", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			collector := collect(t)
			traced := tracer(t, Options{})
			func() {
				defer func() { _ = recover() }()
				traced.Stage(c.handler).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
			}()
			flush(t, traced)
			for kind, want := range map[tracepb.Span_SpanKind]string{server: c.server, client: c.client} {
				require.Len(t, collector.of(kind), 1)
				span := collector.of(kind)[0]
				assert.Equal(t, want, texts(span.GetAttributes())["error.type"], kind)
				assert.Equal(t, want != "", span.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR, kind)
			}
			assert.Equal(t, c.description, collector.of(client)[0].GetStatus().GetMessage())
		})
	}
}

func TestTracing_CountsTheBackendsThatWereAskedInVain(t *testing.T) {
	collector := collect(t)
	got := make(chan http.Header, 1)
	traced := tracer(t, Options{})
	served := serve(t, traced, proxying(backend(t, got)))
	ask(t, served, application, "/api/second")
	served.Close()
	flush(t, traced)
	require.Len(t, collector.of(client), 1)
	assert.Equal(t, "2", texts(collector.of(client)[0].GetAttributes())["http.request.resend_count"])
}

func TestTracing_ARequestThatNoBackendIsAskedForHasNoClientSpan(t *testing.T) {
	collector := collect(t)
	traced := tracer(t, Options{})
	served := serve(t, traced, proxying("127.0.0.1:1"))
	ask(t, served, "unknown.example.com", "/.well-known/acme-challenge/secret-token")
	served.Close()
	flush(t, traced)
	assert.Empty(t, collector.of(client))
	require.Len(t, collector.of(server), 1)
	span := collector.of(server)[0]
	assert.Equal(t, "GET", span.GetName())
	attributes := texts(span.GetAttributes())
	assert.NotContains(t, attributes, "http.route")
	assert.Equal(t, "/.well-known/acme-challenge/***", attributes["url.path"])
	assert.NotContains(t, span.String(), "secret-token")
}

func TestTracing_WhatAClientSendsCannotSpoilABatch(t *testing.T) {
	collector := collect(t)
	traced := tracer(t, Options{})
	handler := traced.Stage(http.NotFoundHandler())
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Method, r.RequestURI, r.Host, r.RemoteAddr = "B\xff", "/\xff"+strings.Repeat("é", 5000), "a\xff:99999", "@"
	r.ProtoMajor, r.ProtoMinor = 2, 0
	handler.ServeHTTP(httptest.NewRecorder(), r)
	r = httptest.NewRequest(http.MethodGet, "https://app.example.com:8443/", nil)
	handler.ServeHTTP(httptest.NewRecorder(), r)
	flush(t, traced)
	require.Len(t, collector.of(server), 2)
	odd, plain := texts(collector.of(server)[0].GetAttributes()), texts(collector.of(server)[1].GetAttributes())
	assert.Equal(t, "_OTHER", odd["http.request.method"])
	assert.Equal(t, "B\ufffd", odd["http.request.method_original"])
	assert.Equal(t, "HTTP", collector.of(server)[0].GetName())
	assert.True(t, strings.HasPrefix(odd["url.path"], "/\ufffdé"))
	assert.Less(t, len(odd["url.path"]), 2100)
	assert.NotContains(t, odd, "server.address")
	assert.Equal(t, "2", odd["network.protocol.version"])
	assert.Equal(t, []string{"https", "app.example.com", "8443"}, []string{plain["url.scheme"], plain["server.address"], plain["server.port"]})
}

func TestTracing_LetsAPanicPass(t *testing.T) {
	collect(t)
	handler := tracer(t, Options{}).Stage(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	assert.PanicsWithValue(t, http.ErrAbortHandler, func() {
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	})
}

func TestTracing_FollowsTheStandardVariables(t *testing.T) {
	for name, c := range map[string]struct {
		set   map[string]string
		spans int
		check func(t *testing.T, c *receiver)
	}{
		"the sampler":  {map[string]string{"OTEL_TRACES_SAMPLER": "always_off"}, 0, nil},
		"its argument": {map[string]string{"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}, 0, nil},
		"no exporter":  {map[string]string{"OTEL_TRACES_EXPORTER": "none"}, 0, nil},
		"disabled":     {map[string]string{"OTEL_SDK_DISABLED": "true"}, 0, nil},
		"the service": {map[string]string{"OTEL_SERVICE_NAME": "edge", "OTEL_RESOURCE_ATTRIBUTES": "service.instance.id=b,deployment.environment.name=test"}, 1,
			func(t *testing.T, c *receiver) {
				assert.Equal(t, "edge", c.resources[0]["service.name"])
				assert.Equal(t, "b", c.resources[0]["service.instance.id"])
				assert.Equal(t, "test", c.resources[0]["deployment.environment.name"])
			}},
		"fields": {map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": "Api-Key=se%20cret"}, 1,
			func(t *testing.T, c *receiver) { assert.Equal(t, "se cret", c.headers.Get("Api-Key")) }},
		"compression": {map[string]string{"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}, 1,
			func(t *testing.T, c *receiver) { assert.Equal(t, "gzip", c.headers.Get("Content-Encoding")) }},
	} {
		t.Run(name, func(t *testing.T) {
			collector := collect(t)
			for name, value := range c.set {
				t.Setenv(name, value)
			}
			traced := tracer(t, Options{Instance: "a"})
			traced.Stage(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
			flush(t, traced)
			require.Len(t, collector.spans, c.spans)
			if c.check != nil {
				c.check(t, collector)
			}
		})
	}
}

func TestTracing_ExportsOverTLSToACollectorWhoseCAItIsGiven(t *testing.T) {
	collector := collect(t)
	secure := httptest.NewTLSServer(collector)
	defer secure.Close()
	certificate := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(certificate,
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600))
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", secure.URL+"/v1/traces")
	t.Setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", certificate)
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "30000")
	traced := tracer(t, Options{})
	traced.Stage(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	flush(t, traced)
	assert.Len(t, collector.of(server), 1)
}

func TestTracing_SpeaksPlainHTTPWhereNothingIsSaidOfTheEndpoint(t *testing.T) {
	collect(t)
	assert.Empty(t, overrides())
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	assert.Len(t, overrides(), 1)
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_INSECURE", "false")
	assert.Empty(t, overrides())
}

func TestTracing_DisabledLeavesTheContextOfAClientAsItIs(t *testing.T) {
	collect(t)
	t.Setenv("OTEL_SDK_DISABLED", "true")
	got := make(chan http.Header, 1)
	served := serve(t, tracer(t, Options{}), proxying(backend(t, got)))
	ask(t, served, application, "/api", "Traceparent", sampled)
	assert.Equal(t, []string{sampled}, (<-got)["Traceparent"])
}

func TestTracing_RefusesVariablesThatAreWrongAndKeepsSecrets(t *testing.T) {
	noCertificate := filepath.Join(t.TempDir(), "none.pem")
	require.NoError(t, os.WriteFile(noCertificate, []byte("secret"), 0o600))
	for name, values := range map[string][]string{
		"OTEL_TRACES_EXPORTER":                         {"console"},
		"OTEL_TRACES_SAMPLER":                          {"jaeger_remote", "ALWAYS"},
		"OTEL_EXPORTER_OTLP_PROTOCOL":                  {"grpc"},
		"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL":           {"grpc"},
		"OTEL_EXPORTER_OTLP_ENDPOINT":                  {"localhost:4318", "http://", "ftp://secret@a", "http://a b"},
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT":           {"localhost"},
		"OTEL_EXPORTER_OTLP_TIMEOUT":                   {"10s", "-1"},
		"OTEL_EXPORTER_OTLP_HEADERS":                   {"secret", "a=b,secret", "a=secret%zz", "=secret"},
		"OTEL_EXPORTER_OTLP_COMPRESSION":               {"zstd"},
		"OTEL_EXPORTER_OTLP_CERTIFICATE":               {filepath.Join(t.TempDir(), "missing.pem"), noCertificate},
		"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE":        {noCertificate},
		"OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE": {noCertificate},
		"OTEL_RESOURCE_ATTRIBUTES":                     {"nothing"},
	} {
		for _, value := range values {
			t.Run(name+"="+value, func(t *testing.T) {
				collect(t)
				t.Setenv(name, value)
				_, err := New(t.Context(), Options{})
				require.ErrorContains(t, err, name)
				assert.NotContains(t, err.Error(), "secret")
			})
		}
	}
	for _, ratio := range []string{"-1", "1.5", "NaN", "half"} {
		collect(t)
		t.Setenv("OTEL_TRACES_SAMPLER", "traceidratio")
		t.Setenv("OTEL_TRACES_SAMPLER_ARG", ratio)
		_, err := New(t.Context(), Options{})
		require.ErrorContains(t, err, "OTEL_TRACES_SAMPLER_ARG", ratio)
	}
}

func TestTracing_SaysOnceThatSpansAreLostAndOnceThatTheyAreNot(t *testing.T) {
	collector := collect(t)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
	var mu sync.Mutex
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&locked{mu: &mu, to: &out}, nil))
	has := func(text string) bool {
		mu.Lock()
		defer mu.Unlock()
		return strings.Contains(out.String(), text)
	}
	traced := tracer(t, Options{Log: log})
	handler := traced.Stage(http.NotFoundHandler())
	one := func() {
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	}
	collector.refuse(true)
	require.Eventually(t, func() bool {
		one()
		return has("level=WARN")
	}, patience, 5*time.Millisecond)
	require.Eventually(t, func() bool {
		one()
		collector.mu.Lock()
		defer collector.mu.Unlock()
		return collector.refused > 2
	}, patience, 5*time.Millisecond)
	collector.refuse(false)
	require.Eventually(t, func() bool {
		one()
		return has("level=INFO")
	}, patience, 5*time.Millisecond)
	flush(t, traced)
	text := out.String()
	assert.Contains(t, text, "not this", "what the collector says")
	assert.Equal(t, 1, strings.Count(text, "spans cannot be exported"))
	assert.Equal(t, 1, strings.Count(text, "spans are exported again"))
	assert.Regexp(t, `lost=[1-9]`, text)
}

type locked struct {
	mu *sync.Mutex
	to io.Writer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.to.Write(p)
}

func TestTracing_DoesNotWaitForACollectorThatHangsLongerThanItIsTold(t *testing.T) {
	collect(t)
	hanging, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer hanging.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+hanging.Addr().String())
	traced := tracer(t, Options{})
	traced.Stage(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("time is up"))
	require.ErrorContains(t, traced.Shutdown(ctx), "time is up")
}

func BenchmarkTracing(b *testing.B) {
	for _, sampler := range []string{"always_on", "always_off"} {
		b.Run(sampler, func(b *testing.B) {
			collect(b)
			b.Setenv("OTEL_TRACES_SAMPLER", sampler)
			b.Setenv("OTEL_TRACES_EXPORTER", "none")
			handler := tracer(b, Options{}).Stage(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				state := pipeline.StateOf(r)
				state.Sent, state.Answered = state.Received, state.Received
			}))
			_, w, r := pipeline.Enter(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
			b.ReportAllocs()
			for b.Loop() {
				handler.ServeHTTP(w, r)
			}
		})
	}
}
