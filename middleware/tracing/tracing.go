// Package tracing is the stage that makes spans of requests and exports them by OpenTelemetry's protocol over HTTP.
//
// It needs nothing, and reads the state that the other stages leave. It is meant to stand ahead of all that may answer,
// behind access_log and request_id. It sets the request's fields traceparent and tracestate.
//
// # Context
//
// The W3C Trace Context that comes with a request is its trace (Trace Context, sections 3 and 4); one that is malformed is
// dropped, and a trace begins here. What a backend gets is the context of the span for its part. Baggage passes through
// as it came. Clients are free to send a context, as they are with other proxies: whether a request is sampled because a
// client says so is up to OTEL_TRACES_SAMPLER; traceidratio, always_on and always_off do not listen to clients.
//
// # Spans
//
// A request is a server span, from its head to the end of the response. The part of the backend is a client span below it,
// from handing it the request to the head of its answer, or to the end where it gave none. Of a request that several
// backends were asked for that is the last one, with http.request.resend_count; each of them got the same context. A
// request that no backend was asked for has no client span.
//
// Attributes follow OpenTelemetry's semantic conventions for HTTP, in their stable part. There is no query, no field of
// the request or response, and no token of an ACME challenge among them. Tricot's own are tricot.request_id,
// tricot.service and tricot.node.
//
// # Settings
//
// The variables of OpenTelemetry's specification: OTEL_EXPORTER_OTLP_ENDPOINT, _HEADERS, _TIMEOUT, _CERTIFICATE,
// _COMPRESSION and so on, also as OTEL_EXPORTER_OTLP_TRACES_…; OTEL_EXPORTER_OTLP_PROTOCOL, http/protobuf or http/json;
// OTEL_TRACES_EXPORTER, otlp or none; OTEL_TRACES_SAMPLER and _ARG, parentbased_always_on by default; OTEL_SERVICE_NAME,
// tricot by default; OTEL_RESOURCE_ATTRIBUTES; OTEL_BSP_… for the queue, whose overflow is dropped, so that no request
// waits for a collector; OTEL_SDK_DISABLED. Nothing is registered globally.
package tracing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/tricot-proxy/tricot/pipeline"
)

// Name is what settings and logs call the stage.
const Name = "tracing"

// scope is what the spans say that they were made by.
const scope = "github.com/tricot-proxy/tricot/middleware/tracing"

// Options are what a [Tracer] is made of, besides the environment.
type Options struct {
	// Version is Tricot's (service.version), Instance tells this Tricot from others (service.instance.id). Either may be
	// empty, and OTEL_RESOURCE_ATTRIBUTES overrules both.
	Version, Instance string
	// Log gets a warning when spans begin to be lost because they cannot be exported, and a line at info when they are
	// exported again. Nil: none.
	Log *slog.Logger
}

// A Tracer makes spans, and exports them from a goroutine of its own until Shutdown. It may be used by many goroutines at
// once.
type Tracer struct {
	provider *sdk.TracerProvider // nil where tracing is disabled
	tracer   trace.Tracer
}

// New reads the environment and starts the goroutine that exports. It does not connect: a collector may come and go. The
// error names the variable that is wrong, and not its value where that may be a secret.
func New(ctx context.Context, options Options) (*Tracer, error) {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return &Tracer{}, nil
	}
	if err := checkEnvironment(); err != nil {
		return nil, fmt.Errorf("%s: %w", Name, err)
	}
	described, err := describe(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("%s: OTEL_RESOURCE_ATTRIBUTES: %w", Name, err)
	}
	set := []sdk.TracerProviderOption{sdk.WithResource(described), sdk.WithIDGenerator(identifiers{}), sdk.WithoutPanicRecording()}
	if os.Getenv("OTEL_TRACES_EXPORTER") != "none" {
		exporter, err := newExporter(ctx, options.Log)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", Name, err)
		}
		set = append(set, sdk.WithBatcher(exporter))
	}
	provider := sdk.NewTracerProvider(set...)
	return &Tracer{provider: provider, tracer: provider.Tracer(scope, trace.WithInstrumentationVersion(options.Version))}, nil
}

// describe says who makes the spans. What comes later overrules.
func describe(ctx context.Context, options Options) (*resource.Resource, error) {
	own := []resource.Option{resource.WithTelemetrySDK(), resource.WithAttributes(semconv.ServiceName("tricot"))}
	if options.Version != "" {
		own = append(own, resource.WithAttributes(semconv.ServiceVersion(options.Version)))
	}
	if options.Instance != "" {
		own = append(own, resource.WithAttributes(semconv.ServiceInstanceID(options.Instance)))
	}
	return resource.New(ctx, append(own, resource.WithFromEnv())...)
}

// newExporter gives one that never returns an error, for the SDK would hand it to a global handler.
func newExporter(ctx context.Context, log *slog.Logger) (sdk.SpanExporter, error) {
	exporter, err := otlptracehttp.New(ctx, overrides()...)
	if err != nil {
		return nil, fmt.Errorf("make the exporter: %w", err)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &reporting{SpanExporter: exporter, log: log}, nil
}

// overrides gives what the exporter would do in another way than the specification: where nothing is said of the endpoint
// it is http://localhost:4318, and the exporter would speak TLS there.
func overrides() []otlptracehttp.Option {
	if isSet("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_INSECURE",
		"OTEL_EXPORTER_OTLP_TRACES_INSECURE", "OTEL_EXPORTER_OTLP_CERTIFICATE", "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
		"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE") {
		return nil
	}
	return []otlptracehttp.Option{otlptracehttp.WithInsecure()}
}

// Shutdown exports the spans that are left, for as long as the context allows. Requests that end later have none.
func (t *Tracer) Shutdown(ctx context.Context) error {
	if t.provider == nil {
		return nil
	}
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("%s: export the last spans: %w", Name, errors.Join(err, context.Cause(ctx)))
	}
	return nil
}

// Stage gives the stage.
func (t *Tracer) Stage(next http.Handler) http.Handler {
	if t.provider == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		state, w, r := pipeline.Enter(w, r)
		_, span := t.tracer.Start(extract(r), "HTTP", trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(state.Received))
		client := newSpanID()
		inject(r.Header, span.SpanContext().WithSpanID(client))
		if !span.IsRecording() {
			next.ServeHTTP(w, r)
			return
		}
		x := exchange{tracer: t.tracer, span: span, client: client, state: state, r: r, sent: read(r), aborted: true}
		defer x.end() // a response that is cut short is a panic, which passes through here as it came
		next.ServeHTTP(w, r)
		x.aborted = false
	})
}
