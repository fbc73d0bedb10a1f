package cmd

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs"
	"github.com/tricot-proxy/tricot/certs/store"
	"github.com/tricot-proxy/tricot/certs/store/dir"
)

// tricot runs one command over a directory store and the local issuer, and gives its exit code and what it printed.
func tricot(t *testing.T, certsDir string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	services := filepath.Join(t.TempDir(), "services.yaml")
	require.NoError(t, os.WriteFile(services, []byte("services: []\n"), 0o600))
	var out, errors bytes.Buffer
	args = append(args, "--providers", "file", "--file-path", services, "--certs-issuer", "local", "--certs-dir", certsDir)
	code = execute(t.Context(), nil, args, nil, &out, &errors)
	return code, out.String(), errors.String()
}

func TestCerts_ListsWhatRenewOrdered(t *testing.T) {
	certsDir := filepath.Join(t.TempDir(), "certs")
	code, stdout, stderr := tricot(t, certsDir, "certs", "renew", "app.example.com")
	require.Zero(t, code, stderr)
	require.Equal(t, "renewed: app.example.com\n", stdout)

	code, stdout, stderr = tricot(t, certsDir, "certs", "list", "--json")
	require.Zero(t, code, stderr)
	var listed []certs.Status
	require.NoError(t, json.Unmarshal([]byte(stdout), &listed))
	require.Len(t, listed, 1)
	require.Equal(t, "app.example.com", listed[0].Name)
	require.Contains(t, listed[0].Issuer, "Tricot local authority")
	require.WithinDuration(t, listed[0].From.Add(listed[0].To.Sub(listed[0].From)/2), listed[0].Due, time.Second)

	code, stdout, _ = tricot(t, certsDir, "certs", "list")
	require.Zero(t, code)
	require.Contains(t, stdout, "NAME")
	require.Contains(t, stdout, listed[0].Due.Format("2006-01-02 15:04"))
	require.NotContains(t, stdout+stderr, "PRIVATE KEY")
}

func TestCerts_ListsWhyANameHasNoCertificate(t *testing.T) {
	certsDir := filepath.Join(t.TempDir(), "certs")
	in, err := dir.Open(dir.Options{Dir: certsDir})
	require.NoError(t, err)
	_, err = in.Save(t.Context(), store.Record{Key: "certs/broken.example.com", Value: []byte("no certificate")})
	require.NoError(t, err)
	code, stdout, stderr := tricot(t, certsDir, "certs", "list")
	require.Zero(t, code, stderr)
	require.Regexp(t, `broken\.example\.com +- +- +- +- +\S+`, stdout)
}

func TestCerts_RenewSaysWhatItCannotDo(t *testing.T) {
	code, _, stderr := tricot(t, t.TempDir(), "certs", "renew", "*.example.com")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, `renew the certificate of "*.example.com": it is a wildcard`)
	code, _, _ = tricot(t, t.TempDir(), "certs", "renew")
	require.Equal(t, exitSettings, code, "a name is needed")
}

func TestCerts_SealedRecordsNeedTheirKey(t *testing.T) {
	certsDir := filepath.Join(t.TempDir(), "certs")
	key := "--certs-encryption-key=00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	code, _, stderr := tricot(t, certsDir, "certs", "renew", "app.example.com", key)
	require.Zero(t, code, stderr)
	value, err := os.ReadFile(filepath.Join(certsDir, "certs", "app.example.com"))
	require.NoError(t, err)
	require.NotContains(t, string(value), "PRIVATE KEY")

	code, stdout, stderr := tricot(t, certsDir, "certs", "list", key)
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "Tricot local authority")
	code, _, stderr = tricot(t, certsDir, "certs", "renew", "app.example.com")
	require.Equal(t, exitFailed, code, "without the key nothing is touched")
	require.Contains(t, stderr, "sealed")
	after, err := os.ReadFile(filepath.Join(certsDir, "certs", "app.example.com"))
	require.NoError(t, err)
	require.Equal(t, value, after)

	code, _, stderr = tricot(t, certsDir, "certs", "list", "--certs-encryption-key=short")
	require.Equal(t, exitSettings, code)
	require.Contains(t, stderr, "flag --certs-encryption-key")
	require.NotContains(t, stderr, "short")
}
