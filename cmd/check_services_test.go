package cmd

import (
	"bytes"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// checkServices runs the command on a services file.
func checkServices(t *testing.T, config string, args ...string) (code int, out, said string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = execute(t.Context(), nil, append([]string{"check", "-c", config}, args...), nil, &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func TestCheckServices_NamesEachMalformedTagAndEndsWithExitCode1(t *testing.T) {
	t.Parallel()
	config, _ := settingsFile(t, `services:
  - {name: x, address: 127.0.0.1, port: 80, node: n1, tags: [tricot a.example, tricot b..example, "tricot-on-demand-tls-ask nowhere?token=secret"]}
  - {name: x, address: 127.0.0.1, port: 81, tags: [tricot a.example]}
  - {name: y, address: 127.0.0.1, port: 82, tags: [tricot-https c.example high]}
`, "")
	code, out, said := checkServices(t, config, "--services")
	assert.Equal(t, exitFailed, code)
	assert.Equal(t, "The settings are good.\nRead from file: 2 services, 3 instances, 2 rules.\n", out)
	for _, line := range []string{
		`(?m)^tag "tricot b\.\.example" of service x \(instance x-127\.0\.0\.1-80 on node n1\): .*label`,
		`(?m)^tag "tricot-on-demand-tls-ask nowhere\?\*\*\*" of service x `,
		`(?m)^tag "tricot-https c\.example high" of service y \(instance y-127\.0\.0\.1-82\): priority "high"`,
		`(?m)^3 malformed tags$`,
	} {
		assert.Regexp(t, line, said)
	}
	assert.NotContains(t, said, "secret")

	code, out, said = checkServices(t, config)
	assert.Zero(t, code, "without the flag they are warned of")
	assert.Equal(t, "The settings are good.\n", out)
	assert.Contains(t, said, `tag "tricot b..example"`)
	assert.NotContains(t, said, "secret")
}

func TestCheckServices_OfGoodOnesIsExitCode0(t *testing.T) {
	t.Parallel()
	config, _ := settingsFile(t, "services:\n  - {name: x, address: 127.0.0.1, port: 80, tags: [tricot a.example, other]}\n", "")
	code, out, said := checkServices(t, config, "--services")
	assert.Zero(t, code)
	assert.Equal(t, "The settings are good.\nRead from file: 1 service, 1 instance, 1 rule.\nAll tags are good.\n", out)
	assert.Empty(t, said)

	config, _ = settingsFile(t, "services: []\n", "")
	code, out, _ = checkServices(t, config, "--services")
	assert.Zero(t, code)
	assert.Contains(t, out, "0 services, 0 instances, 0 rules")
}

func TestCheckServices_SaysThatConsulIsAway(t *testing.T) {
	t.Parallel()
	config, _ := settingsFile(t, "services: []\n", "node_name: here\nconsul: {host: 'http://127.0.0.1:1', snapshot_path: none}\n")
	text, err := os.ReadFile(config)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(config, bytes.Replace(text, []byte("providers: [file]"), []byte("providers: [file, consul]"), 1), 0o644))
	code, out, said := checkServices(t, config, "--services")
	assert.Equal(t, exitFailed, code)
	assert.Equal(t, "The settings are good.\n", out)
	assert.Regexp(t, `(?m)^read the services: provider consul: .*127\.0\.0\.1:1.*connection refused`, said)
	code, _, _ = checkServices(t, config)
	assert.Zero(t, code, "nothing is asked without the flag")
}

func TestCheckServices_IsAFlagOfCheckOnly(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"run", "routes", "explain"} {
		var out, said bytes.Buffer
		assert.Equal(t, exitSettings, execute(t.Context(), nil, []string{command, "--services"}, nil, &out, &said))
		assert.Contains(t, said.String(), "unknown flag: --services")
	}
}
