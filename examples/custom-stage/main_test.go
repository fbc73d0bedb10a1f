package main_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// build builds this example as its README says, and gives the binary.
func build(t *testing.T) string {
	binary := filepath.Join(t.TempDir(), "custom")
	output, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, string(output))
	return binary
}

func TestCustomStage_RunsInThePipelineWithItsOwnSettings(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "up") }))
	defer backend.Close()
	services, err := os.ReadFile("services.yaml")
	require.NoError(t, err)
	_, port, _ := net.SplitHostPort(backend.Listener.Addr().String())
	path := filepath.Join(t.TempDir(), "services.yaml")
	require.NoError(t, os.WriteFile(path, bytes.ReplaceAll(services, []byte("9001"), []byte(port)), 0o644))

	command := exec.Command(build(t), "--config", "tricot.yaml", "--file-path", path, "--certs-dir", t.TempDir(),
		"--admin-bind-addr=", "--middleware-access-log-path=stderr", "--http-bind-addr", "127.0.0.1:0", "--https-bind-addr", "127.0.0.1:0", "--middleware-maintenance-retry-after", "90s")
	command.Env = append(os.Environ(), "TRICOT_MIDDLEWARE_MAINTENANCE_MESSAGE=From the environment.")
	stderr, err := command.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	var log bytes.Buffer
	ended, address := make(chan error, 1), make(chan string, 1)
	go func() {
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			log.WriteString(lines.Text() + "\n")
			if _, found, is := strings.Cut(lines.Text(), "entrypoint=https address="); is && len(address) == 0 {
				address <- found
			}
		}
		ended <- command.Wait()
	}()
	defer func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		require.NoError(t, <-ended, "a signal ends it with exit code 0")
		if t.Failed() {
			t.Log(log.String())
		}
	}()
	var https string
	select {
	case https = <-address:
	case <-time.After(10 * time.Second):
		require.FailNow(t, "it does not listen")
	}

	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // the certificate is not what this test is about
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", https)
		},
	}}
	defer client.CloseIdleConnections()
	get := func(url string) (*http.Response, string) {
		response, err := client.Get(url)
		if err != nil {
			return nil, err.Error()
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return response, string(body)
	}
	require.Eventually(t, func() bool {
		response, body := get("https://up.localhost/")
		return response != nil && response.StatusCode == http.StatusOK && body == "up"
	}, 10*time.Second, 20*time.Millisecond)

	response, body := get("https://down.localhost/")
	require.NotNil(t, response, body)
	require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
	require.Equal(t, "From the environment.\n", body, "a variable is stronger than the file")
	require.Equal(t, "90", response.Header.Get("Retry-After"), "and a flag stronger than both")
}

func TestCustomStage_SettingsThatMakeNoSenseAreRefused(t *testing.T) {
	binary := build(t)
	for _, test := range []struct{ name, flag, want string }{
		{"by their kind", "--middleware-maintenance-retry-after=soon", "flag --middleware-maintenance-retry-after"},
		{"by the stage", "--middleware-maintenance-retry-after=-1s", "middleware.maintenance: retry_after: expected a duration of 0 or more"},
		{"by their place", "--pipeline-order=access_log,maintenance,route,balance,transport", "maintenance needs route before it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			output, err := exec.Command(binary, "check", "--config", "tricot.yaml", test.flag).CombinedOutput()
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit)
			require.Equal(t, 2, exit.ExitCode(), string(output))
			require.True(t, strings.Contains(string(output), test.want), string(output))
		})
	}
}

func TestCustomStage_IsListedInTheHelp(t *testing.T) {
	output, err := exec.Command(build(t), "--help").CombinedOutput()
	require.NoError(t, err, string(output))
	require.Contains(t, string(output), "--middleware-maintenance-hosts")
	require.Contains(t, string(output), "--middleware-maintenance-enabled")
}
