package tracing

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

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

func TestTracing_SpeaksPlainHTTPWhereNothingIsSaidOfTheEndpoint(t *testing.T) {
	collect(t)
	assert.Empty(t, overrides())
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	assert.Len(t, overrides(), 1)
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_INSECURE", "false")
	assert.Empty(t, overrides())
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
