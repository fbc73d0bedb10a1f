package cmd

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestProxy_WritesTheLinesOfRequestsThatAreCutOffWhenAPartOfItEnds(t *testing.T) {
	asked := make(chan struct{})
	backend := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	}))
	defer backend.Close()
	dir := t.TempDir()
	services, lines := filepath.Join(dir, "services.yaml"), filepath.Join(dir, "access.log")
	host, port, err := net.SplitHostPort(backend.Listener.Addr().String())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(services, fmt.Appendf(nil,
		"services: [{name: web, address: %s, port: %s, tags: [tricot app.test]}]", host, port), 0o600))
	p, err := assemble(loaded(t, "--providers=file", "--file-path="+services, "--certs-issuer=local", "--certs-dir="+dir+"/state",
		"--admin-bind-addr=127.0.0.1:0", "--http-bind-addr=127.0.0.1:0", "--https-bind-addr=127.0.0.1:0", "--middleware-redirect-enabled=false",
		"--middleware-access-log-path="+lines), nil, slog.New(slog.NewTextHandler(io.Discard, nil)))
	require.NoError(t, err)
	ctx, fail := context.WithCancel(t.Context())
	defer fail()
	ended := make(chan error, 1)
	go func() { ended <- p.run(ctx, nil, nil) }()

	request, err := http.NewRequest(http.MethodGet, "http://"+p.entrypoints[0].Addr().String()+"/in-flight", nil)
	require.NoError(t, err)
	request.Host = "app.test"
	answered := make(chan error, 1)
	go func() {
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			_ = response.Body.Close()
		}
		answered <- err
	}()
	await(t, asked)
	fail()
	assert.NoError(t, await(t, ended))
	assert.Error(t, await(t, answered))
	written, err := os.ReadFile(lines)
	require.NoError(t, err)
	assert.Contains(t, string(written), "/in-flight")
}

func await[T any](t *testing.T, channel <-chan T) (got T) {
	t.Helper()
	select {
	case got = <-channel:
	case <-time.After(30 * time.Second):
		require.Fail(t, "nothing came")
	}
	return got
}
