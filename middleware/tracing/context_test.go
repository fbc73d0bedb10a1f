package tracing

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

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

func TestTracing_DisabledLeavesTheContextOfAClientAsItIs(t *testing.T) {
	collect(t)
	t.Setenv("OTEL_SDK_DISABLED", "true")
	got := make(chan http.Header, 1)
	served := serve(t, tracer(t, Options{}), proxying(backend(t, got)))
	ask(t, served, application, "/api", "Traceparent", sampled)
	assert.Equal(t, []string{sampled}, (<-got)["Traceparent"])
}
