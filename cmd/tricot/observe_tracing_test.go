package main_test

import (
	"compress/gzip"
	"encoding/hex"
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// spans is a receiver of OpenTelemetry's protocol.
type spans struct {
	mu  sync.Mutex
	all []*tracepb.Span
}

func (s *spans) receive(w http.ResponseWriter, r *http.Request) {
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
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(content, &request) != nil {
		http.Error(w, "these are no spans", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, resource := range request.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			s.all = append(s.all, scope.GetSpans()...)
		}
	}
}

// of gives the spans of a trace by their kind.
func (s *spans) of(trace string) map[tracepb.Span_SpanKind]*tracepb.Span {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := map[tracepb.Span_SpanKind]*tracepb.Span{}
	for _, span := range s.all {
		if hex.EncodeToString(span.GetTraceId()) == trace {
			found[span.GetKind()] = span
		}
	}
	return found
}

func TestTracing_SendsASpanForTricotAndOneForTheBackendThatIsItsParent(t *testing.T) {
	t.Parallel()
	received := &spans{}
	collector := serve(t, received.receive)
	parents := make(chan string, 1)
	web := serve(t, func(_ http.ResponseWriter, r *http.Request) { parents <- r.Header.Get("Traceparent") })
	entry := web.service(t, "web", "tricot app.test")
	p := newProxy(t, config{"middleware.tracing.enabled": true}, entry)
	p.cmd.Env = []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + collector.address, "OTEL_BSP_SCHEDULE_DELAY=20"}
	p.launch()
	p.awaitReady(entry)

	const trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	get(t, p.client(t, http2), "https://app.test/traced", "Traceparent", "00-"+trace+"-"+span+"-01")
	parent := <-parents
	require.Regexp(t, "^00-"+trace+"-[0-9a-f]{16}-01$", parent)
	p.eventually(func() bool { return len(received.of(trace)) == 2 }, "the spans do not come")
	server, client := received.of(trace)[tracepb.Span_SPAN_KIND_SERVER], received.of(trace)[tracepb.Span_SPAN_KIND_CLIENT]
	require.NotNil(t, server)
	require.NotNil(t, client)
	assert.Equal(t, span, hex.EncodeToString(server.GetParentSpanId()))
	assert.Equal(t, server.GetSpanId(), client.GetParentSpanId())
	assert.Equal(t, parent[36:52], hex.EncodeToString(client.GetSpanId()), "what the backend does is below the span of its part")

	get(t, p.client(t, http1), "https://app.test/")
	begun := <-parents
	require.Regexp(t, `^00-[0-9a-f]{32}-[0-9a-f]{16}-01$`, begun)
	assert.NotContains(t, begun, trace)
	require.Equal(t, 0, p.stop())
	assert.Len(t, received.of(begun[3:35]), 2, "the last spans are sent at the end")
}
