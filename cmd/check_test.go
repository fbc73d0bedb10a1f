package cmd

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// settingsFile writes settings that are good but for what services says, and gives the paths of both files.
func settingsFile(t *testing.T, services, more string) (config, path string) {
	t.Helper()
	dir := t.TempDir()
	config, path = filepath.Join(dir, "tricot.yaml"), filepath.Join(dir, "services.yaml")
	require.NoError(t, os.WriteFile(path, []byte(services), 0o644))
	require.NoError(t, os.WriteFile(config, []byte(
		"providers: [file]\nfile: {path: "+path+"}\nhttp: {bind_addr: 127.0.0.1:0}\nhttps: {bind_addr: 127.0.0.1:0}\n"+
			"certs: {issuer: local, dir: "+filepath.Join(dir, "certs")+"}\n"+more), 0o644))
	return config, path
}

// picky is a stage that refuses its settings.
func picky(limit *struct{ Limit int }) Stage {
	return Stage{Name: "picky", After: "route", Config: limit, New: func() (func(http.Handler) http.Handler, error) {
		if limit.Limit < 0 {
			return nil, errors.New("limit: expected 0 or more")
		}
		return func(next http.Handler) http.Handler { return next }, nil
	}}
}

func TestCheck_TellsWhatStagesAndTheServicesFileRefuseWithAllElse(t *testing.T) {
	config, services := settingsFile(t, "services:\n  - name: x\n    port: \"80\"\n    adress: q\n", `
middleware: {picky: {limit: -1}}
log: {level: loud}
pipeline: {order: [route, picky, transport, balance]}
`)
	var out, said bytes.Buffer
	code := execute(context.Background(), []Stage{picky(&struct{ Limit int }{})},
		[]string{"check", "--config", config}, nil, &out, &said)
	assert.Equal(t, exitSettings, code)
	assert.Empty(t, out.String())
	lines := strings.Split(strings.TrimSpace(said.String()), "\n")
	require.Len(t, lines, 6, said.String())
	for i, want := range []string{
		config + `:8: log.level = "loud": `,
		config + `:9: pipeline.order = `,
		config + `:7: middleware.picky: limit: expected 0 or more`,
		services + ":2: address: expected",
		services + ":3: port: expected",
		services + ":4: unknown key",
	} {
		assert.True(t, strings.HasPrefix(lines[i], want), lines[i])
	}
}

func TestCheck_WarnsOfMalformedTagsAndOfVariablesThatSetNothing(t *testing.T) {
	config, services := settingsFile(t,
		"services:\n  - {name: x, address: 127.0.0.1, port: 80, tags: [tricot a.example, tricot b..example]}\n", "")
	var out, said bytes.Buffer
	code := execute(context.Background(), nil, []string{"check", "-c", config}, []string{"TRICOT_SITTE=secret"}, &out, &said)
	assert.Zero(t, code)
	assert.Equal(t, "The settings are good.\n", out.String())
	assert.Contains(t, said.String(), "warning: variable TRICOT_SITTE: no setting has this variable; did you mean TRICOT_SITE?\n")
	assert.Contains(t, said.String(), "warning: "+services+`: tag "tricot b..example" of service x (instance x-127.0.0.1-80): `)
	assert.Equal(t, 2, strings.Count(said.String(), "\n"), said.String())
	assert.NotContains(t, said.String(), "secret")
}

func TestRun_WarnsOfVariablesThatSetNothing(t *testing.T) {
	config, _ := settingsFile(t, "services: []\n", "")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var log lines
	ended := make(chan int, 1)
	go func() {
		ended <- execute(ctx, nil, []string{"-c", config, "--admin-bind-addr=127.0.0.1:0"}, []string{"TRICOT_SITTE=x"}, &log, &log)
	}()
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "listening") }, 30*time.Second, time.Millisecond)
	cancel()
	assert.Zero(t, <-ended)
	assert.Contains(t, log.String(), `level=WARN msg="no setting has this variable; did you mean TRICOT_SITE?" source="variable TRICOT_SITTE"`)
}

func TestVersion_IsACommandAndAFlag(t *testing.T) {
	for _, argument := range []string{"version", "--version"} {
		var out bytes.Buffer
		assert.Zero(t, execute(context.Background(), nil, []string{argument}, nil, &out, &out))
		assert.Equal(t, version()+"\n", out.String())
	}
}

func TestExecute_SaysWhereHelpIsWhenTheCommandLineMakesNoSense(t *testing.T) {
	for _, argument := range []string{"frob", "--frob"} {
		var said bytes.Buffer
		assert.Equal(t, exitSettings, execute(context.Background(), nil, []string{argument}, nil, &said, &said))
		assert.Contains(t, said.String(), "frob")
		assert.Contains(t, said.String(), "tricot --help")
	}
}

// lines is a log that may be read while it is written.
type lines struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}
