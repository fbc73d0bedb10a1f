package tracing

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tricot-proxy/tricot/pipeline"
)

func TestTracing_LetsAPanicPass(t *testing.T) {
	collect(t)
	handler := tracer(t, Options{}).Stage(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	assert.PanicsWithValue(t, http.ErrAbortHandler, func() {
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	})
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
