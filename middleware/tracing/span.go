package tracing

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/tricot-proxy/tricot/pipeline"
)

// maxValue is how many bytes of what a client sent an attribute has.
const maxValue = 2048

// What error.type says where it is no status.
const (
	errorAborted      = "aborted"       // the response was cut short
	errorClientLeft   = "client_left"   // before it had its answer
	errorTimeout      = "timeout"       // the backend's
	errorNoConnection = "no_connection" // to the backend
	errorNoAnswer     = "no_answer"     // from the backend, or no valid one
)

// sent is what the client sent, taken before later stages could change it.
type sent struct {
	method, name, scheme, path, client, protocol string
	original                                     string // the method's name where method is not
	host                                         string
	port                                         int // 0: none was sent
}

func read(r *http.Request) sent {
	s := sent{method: r.Method, name: r.Method, scheme: "http", protocol: protocol(r)}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodConnect, http.MethodOptions, http.MethodTrace:
	default:
		s.method, s.name, s.original = "_OTHER", "HTTP", text(r.Method)
	}
	if r.TLS != nil {
		s.scheme = "https"
	}
	s.path = text(pipeline.WithoutToken(pipeline.Path(r)))
	s.host, _ = pipeline.Host(r)
	if _, port, err := net.SplitHostPort(r.Host); err == nil {
		s.port, _ = strconv.Atoi(port)
	}
	s.client, _, _ = net.SplitHostPort(r.RemoteAddr)
	return s
}

// text makes a value fit for OTLP, whose strings are UTF-8: a single one that is not would cost all spans of a batch.
func text(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), maxValue)], "\ufffd")
}

func protocol(r *http.Request) string {
	if r.ProtoMajor > 1 {
		return strconv.Itoa(r.ProtoMajor)
	}
	return strconv.Itoa(r.ProtoMajor) + "." + strconv.Itoa(r.ProtoMinor)
}

// exchange is one request that is sampled, while it lasts.
type exchange struct {
	tracer  trace.Tracer
	span    trace.Span
	client  trace.SpanID // of the backend's part
	state   *pipeline.State
	r       *http.Request
	sent    sent
	aborted bool
}

func (x *exchange) end() {
	end := time.Now()
	if !x.state.Sent.IsZero() {
		x.endClient(end)
	}
	state, s := x.state, &x.sent
	attributes := make([]attribute.KeyValue, 0, 16)
	attributes = append(attributes,
		semconv.HTTPRequestMethodKey.String(s.method),
		semconv.URLScheme(s.scheme),
		semconv.URLPath(s.path),
		semconv.NetworkProtocolVersion(s.protocol),
	)
	if s.original != "" {
		attributes = append(attributes, semconv.HTTPRequestMethodOriginal(s.original))
	}
	if s.host != "" {
		attributes = append(attributes, semconv.ServerAddress(s.host))
	}
	if s.port != 0 {
		attributes = append(attributes, semconv.ServerPort(s.port))
	}
	if s.client != "" {
		attributes = append(attributes, semconv.ClientAddress(s.client), semconv.NetworkPeerAddress(s.client))
	}
	if state.RequestID != "" {
		attributes = append(attributes, attribute.String("tricot.request_id", text(state.RequestID)))
	}
	name := s.name
	if state.Route != nil {
		route := text(state.Route.Host + state.Route.Path)
		name += " " + route
		attributes = append(attributes, semconv.HTTPRoute(route))
	}
	status := state.Outcome(x.r.Context(), x.aborted)
	if status != 0 && status != pipeline.StatusClientLeft {
		attributes = append(attributes, semconv.HTTPResponseStatusCode(status))
	}
	var errorType string
	switch {
	case status == pipeline.StatusClientLeft:
		errorType = errorClientLeft
	case x.aborted:
		errorType = errorAborted
	case status >= 500:
		errorType = strconv.Itoa(status)
	}
	if errorType != "" {
		attributes = append(attributes, semconv.ErrorTypeKey.String(errorType))
		x.span.SetStatus(codes.Error, "")
	}
	x.span.SetName(name)
	x.span.SetAttributes(attributes...)
	x.span.End(trace.WithTimestamp(end))
}

// endClient makes the span of the backend's part.
func (x *exchange) endClient(end time.Time) {
	state, s := x.state, &x.sent
	attributes := make([]attribute.KeyValue, 0, 12)
	attributes = append(attributes, semconv.HTTPRequestMethodKey.String(s.method))
	if s.original != "" {
		attributes = append(attributes, semconv.HTTPRequestMethodOriginal(s.original))
	}
	if b := state.Backend; b != nil {
		attributes = append(attributes, semconv.URLFull(text(b.String())+s.path), attribute.String("tricot.service", text(b.Service)))
		if b.Node != "" {
			attributes = append(attributes, attribute.String("tricot.node", text(b.Node)))
		}
		if host, port, err := net.SplitHostPort(b.Address); err == nil {
			n, _ := strconv.Atoi(port)
			attributes = append(attributes, semconv.ServerAddress(text(host)), semconv.ServerPort(n))
		}
	}
	if state.Tries > 1 {
		attributes = append(attributes, semconv.HTTPRequestResendCount(state.Tries-1))
	}
	answered := state.Answered
	if answered.IsZero() {
		answered = end
	} else if state.Status != 0 {
		attributes = append(attributes, semconv.HTTPResponseStatusCode(state.Status))
	}
	errorType, description := x.clientError()
	if errorType != "" {
		attributes = append(attributes, semconv.ErrorTypeKey.String(errorType))
	}
	ctx := withSpanID(trace.ContextWithSpan(context.Background(), x.span), x.client)
	_, span := x.tracer.Start(ctx, s.name, trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(state.Sent),
		trace.WithAttributes(attributes...))
	if errorType != "" {
		span.SetStatus(codes.Error, description)
	}
	span.End(trace.WithTimestamp(answered))
}

// clientError says what was wrong with the backend's answer; empty where nothing was.
func (x *exchange) clientError() (errorType, description string) {
	failure, status := x.state.Failure, x.state.Status
	if failure == nil {
		if status >= 400 && !x.state.Answered.IsZero() {
			return strconv.Itoa(status), ""
		}
		return "", ""
	}
	if failure.Err != nil {
		description = text(failure.Err.Error())
	}
	switch {
	case failure.Status == pipeline.StatusClientLeft:
		return errorClientLeft, description
	case failure.Status == http.StatusGatewayTimeout:
		return errorTimeout, description
	case failure.Unsent:
		return errorNoConnection, description
	}
	return errorNoAnswer, description
}
