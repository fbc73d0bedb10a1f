package tracing

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// The fields of W3C Trace Context, in canonical form.
const (
	traceparent = "Traceparent"
	tracestate  = "Tracestate"
)

// extract gives the request's context, with the span that the client sent.
func extract(r *http.Request) context.Context {
	return propagation.TraceContext{}.Extract(r.Context(), fields(r.Header))
}

// inject puts a span into a request's header, and removes what came in its place: a tracestate without its traceparent
// says nothing (Trace Context, section 3.3).
func inject(header http.Header, span trace.SpanContext) {
	delete(header, tracestate)
	propagation.TraceContext{}.Inject(trace.ContextWithSpanContext(context.Background(), span), fields(header))
}

// fields reads and writes a header as the propagator wants it.
type fields http.Header

// Get gives a traceparent only where there is just one, and all of a tracestate that came in several fields.
func (f fields) Get(key string) string {
	values := f[http.CanonicalHeaderKey(key)]
	if len(values) > 1 && http.CanonicalHeaderKey(key) == traceparent {
		return ""
	}
	return strings.Join(values, ",")
}

// Set replaces a field.
func (f fields) Set(key, value string) { f[http.CanonicalHeaderKey(key)] = []string{value} }

// Keys names the fields that there are.
func (f fields) Keys() []string {
	var keys []string
	for _, name := range []string{traceparent, tracestate} {
		if _, ok := f[name]; ok {
			keys = append(keys, name)
		}
	}
	return keys
}

// identifiers makes the ids of spans. The backend's part is a span that is made when it is over, for only then is known
// when it began; but the backend gets its id before. So that id is made ahead, and given to the span by its context.
type identifiers struct{}

var _ sdk.IDGenerator = identifiers{}

type spanIDKey struct{}

// withSpanID has the next span that is started with the context get the id.
func withSpanID(ctx context.Context, id trace.SpanID) context.Context {
	return context.WithValue(ctx, spanIDKey{}, id)
}

// NewIDs gives those of a new trace.
func (identifiers) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	var id trace.TraceID
	for !id.IsValid() {
		binary.NativeEndian.PutUint64(id[:8], rand.Uint64())
		binary.NativeEndian.PutUint64(id[8:], rand.Uint64())
	}
	return id, newSpanID()
}

// NewSpanID gives the one in the context, or a new one.
func (identifiers) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	if id, ok := ctx.Value(spanIDKey{}).(trace.SpanID); ok {
		return id
	}
	return newSpanID()
}

func newSpanID() (id trace.SpanID) {
	for !id.IsValid() {
		binary.NativeEndian.PutUint64(id[:], rand.Uint64())
	}
	return id
}
