package tracing

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/tricot-proxy/tricot/pipeline"
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
