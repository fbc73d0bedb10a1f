package main_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// wrongSettings is a file in which much is wrong, with what has to be said about each line.
const wrongSettings = `providers: [file]
file:
  path: /nonexistent/services.yaml
http:
  bind_addr: nowhere
entrypoint:
  idle_timeout: soon
certs:
  issuer: selfmade
middleware:
  comprss:
    enabled: true
`

func TestSettings_ThatMakeNoSenseAreToldAllAtOnceEachWithItsSource(t *testing.T) {
	t.Parallel()
	// The HTTPS port is taken: a port that is opened before the settings are known to be good gives another error.
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "tricot.yaml")
	require.NoError(t, os.WriteFile(file, []byte(wrongSettings), 0o644))

	for _, arguments := range [][]string{nil, {"run"}, {"check"}} {
		t.Run("tricot "+strings.Join(arguments, " "), func(t *testing.T) {
			t.Parallel()
			run := command(t, append(arguments, "--config", file, "--https-bind-addr", taken.Addr().String(), "--shutdown-timeout=-1s")...)
			run.Env = append(run.Env, "TRICOT_LOG_FORMAT=xml")
			said, code := finish(t, run)

			assert.Equal(t, 2, code)
			for _, parts := range [][]string{
				{"http.bind_addr", "nowhere", file + ":5"},
				{"entrypoint.idle_timeout", "soon", file + ":7"},
				{"certs.issuer", "selfmade", file + ":9"},
				{"middleware.comprss", file + ":11: "},
				{"log.format", "xml", "TRICOT_LOG_FORMAT"},
				{"shutdown.timeout", "-1s", "--shutdown-timeout"},
			} {
				assert.True(t, hasLine(said, parts...), "no line with %v in\n%s", parts, said)
			}
			assert.NotContains(t, said, "in use")
		})
	}
}

func TestSettings_AreStrongestByFlagThenVariableThenFile(t *testing.T) {
	t.Parallel()
	byFile, byVariable, byFlag := freeAddress(t), freeAddress(t), freeAddress(t)
	for name, tc := range map[string]struct {
		variables, flags []string
		want             string
	}{
		"file":     {nil, nil, byFile},
		"variable": {[]string{"TRICOT_HTTP_BIND_ADDR=" + byVariable}, nil, byVariable},
		"flag":     {[]string{"TRICOT_HTTP_BIND_ADDR=" + byVariable}, []string{"--http-bind-addr", byFlag}, byFlag},
	} {
		// One after the other: the addresses are the same.
		t.Run(name, func(t *testing.T) {
			p := newProxy(t, config{"http.bind_addr": byFile})
			p.cmd.Env = tc.variables
			p.cmd.Args = append(p.cmd.Args, tc.flags...)
			p.launch()
			p.eventually(func() bool { return p.mustRun() && accepts(tc.want) }, "nobody listens at "+tc.want)
			for _, other := range []string{byFile, byVariable, byFlag} {
				assert.Equal(t, other == tc.want, accepts(other))
			}
			assert.Equal(t, 0, p.stop())
		})
	}
}

func TestCheck_OfGoodSettingsIsExitCode0AndStartsNothing(t *testing.T) {
	t.Parallel()
	p := newProxy(t, nil)
	_, code := finish(t, command(t, "check", "--config", p.configFile()))
	assert.Equal(t, 0, code)
	assert.NoDirExists(t, p.certsDir())
}

func TestCommand_ThatIsUnknownIsExitCode2(t *testing.T) {
	t.Parallel()
	for _, arguments := range [][]string{{"rnu"}, {"--no-such-flag"}, {"--config", "/nonexistent.yaml"}, {"run", "now"}} {
		said, code := finish(t, command(t, arguments...))
		assert.Equal(t, 2, code, said)
		assert.Contains(t, said, strings.TrimPrefix(arguments[len(arguments)-1], "--"))
	}
}

func TestVersion_IsOneLine(t *testing.T) {
	t.Parallel()
	said, code := finish(t, command(t, "version"))
	assert.Equal(t, 0, code)
	assert.Regexp(t, `^tricot \S+ go1\S* \w+/\w+\n$`, said)
}

func TestHelp_NamesTheCommandsAndTheFlags(t *testing.T) {
	t.Parallel()
	said, code := finish(t, command(t, "--help"))
	assert.Equal(t, 0, code)
	for _, part := range []string{"run", "check", "version", "completion", "--config", "--consul-kv-prefix", "--letsencrypt-email"} {
		assert.Contains(t, said, part)
	}
}

func TestCompletion_IsAScriptThatItsShellAccepts(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish"} {
		script, code := finish(t, command(t, "completion", shell))
		assert.Equal(t, 0, code)
		assert.Contains(t, script, "tricot", shell)
		if path, err := exec.LookPath(shell); err == nil {
			syntax := exec.Command(path, "-n")
			syntax.Stdin = strings.NewReader(script)
			said, err := syntax.CombinedOutput()
			assert.NoError(t, err, "%s: %s", shell, said)
		}
	}
	// What the script asks for when the user presses the tab key.
	said, code := finish(t, command(t, "__complete", "ch"))
	assert.Equal(t, 0, code)
	assert.Contains(t, said, "check")
}

// command makes a run of the binary in an environment of its own.
func command(t *testing.T, arguments ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, arguments...)
	cmd.Env = []string{"HOME=" + t.TempDir()}
	cmd.Dir = t.TempDir()
	return cmd
}

// finish runs a command to its end, and gives what it said and its exit code.
func finish(t *testing.T, cmd *exec.Cmd) (string, int) {
	t.Helper()
	said, err := cmd.CombinedOutput()
	if err != nil {
		require.IsType(t, &exec.ExitError{}, err)
	}
	return string(said), cmd.ProcessState.ExitCode()
}

func hasLine(text string, parts ...string) bool {
	for line := range strings.Lines(text) {
		all := true
		for _, part := range parts {
			all = all && strings.Contains(line, part)
		}
		if all {
			return true
		}
	}
	return false
}
