package tracing

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
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
)

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
