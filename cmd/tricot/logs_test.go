package main_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// secret starts a backend that answers with a cookie.
func secret(t *testing.T) backend {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Set-Cookie", "session=secret-of-the-backend")
		w.Header().Set("X-Open", "open-of-the-backend")
	})
}

func askSecretly(t *testing.T, p *proxy) {
	t.Helper()
	reply := get(t, p.client(t, http2), "https://app.test/page?query=of-the-client",
		"Authorization", "Bearer secret-of-the-client", "Cookie", "session=secret-of-the-client", "X-Open", "open-of-the-client")
	require.Equal(t, http.StatusOK, reply.StatusCode)
	require.Equal(t, "session=secret-of-the-backend", reply.Header.Get("Set-Cookie"), "is masked in the log only")
}

func TestLog_AtWarnIsQuiet(t *testing.T) {
	t.Parallel()
	web := secret(t).service(t, "web", "tricot app.test")
	first := start(t, nil, web) // tells where the root is
	root := first.roots()
	require.Equal(t, 0, first.stop())

	p := newProxyIn(t, first.dir, config{"log.level": "warn"}, web)
	p.launch()
	p.awaitListening()
	client := p.clientTrusting(t, http2, root)
	p.eventually(func() bool {
		response, err := client.Get("https://app.test/")
		return err == nil && response.Body.Close() == nil && response.StatusCode == http.StatusOK
	}, "no answer")
	p.writeServices(web, naming(t, "other").service(t, "other", "tricot app.test/other"))
	p.eventually(func() bool { return get(t, client, "https://app.test/other").body == "other" }, "no change")
	assert.Equal(t, 0, p.stop())
	assert.Empty(t, p.log())
}

func TestLog_AtInfoHasTheRulesAndALineForEachRequestWithoutTheBackend(t *testing.T) {
	t.Parallel()
	web := secret(t)
	p := start(t, nil, web.service(t, "web", "tricot app.test/page 120"))
	askSecretly(t, p)

	rules := p.awaitLog("INFO", "rule", "app.test", "/page", "120")
	assert.Contains(t, rules, web.address, "a rule says where it leads to")
	request := p.awaitLog("INFO", "GET", "app.test", "/page", "200", "127.0.0.1")
	assert.NotContains(t, request, web.address)
	assert.Empty(t, p.logLines("DEBUG"))

	other := naming(t, "other")
	before := len(p.logLines("INFO", other.address))
	p.writeServices(web.service(t, "web", "tricot app.test/page 120"), other.service(t, "other", "tricot other.test"))
	p.awaitLog("INFO", "other.test", other.address)
	assert.Zero(t, before)
}

func TestLog_AtDebugHasTheBackendOfEachRequest(t *testing.T) {
	t.Parallel()
	web := secret(t)
	p := start(t, config{"log.level": "debug"}, web.service(t, "web", "tricot app.test"))
	askSecretly(t, p)
	p.awaitLog("GET", "/page", "200", web.address)
}

func TestLog_AtTraceHasTheHeadersOfEachStageWithSecretsMasked(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			p := start(t, config{"log.level": "trace", "log.format": format}, secret(t).service(t, "web", "tricot app.test"))
			askSecretly(t, p)
			for _, stage := range []string{"access_log", "redirect", "acme", "route", "headers", "balance", "transport"} {
				p.awaitLog("TRACE", "request headers", stage, "open-of-the-client", "Authorization", "Cookie", "***")
				p.awaitLog("TRACE", "response headers", stage, "open-of-the-backend", "Set-Cookie", "***")
			}
			assert.Equal(t, 0, p.stop())
			assert.NotContains(t, p.log(), "secret-of")
		})
	}
}

func TestLog_InJSONIsOneObjectALine(t *testing.T) {
	t.Parallel()
	p := start(t, config{"log.level": "trace", "log.format": "json"},
		secret(t).service(t, "web", "tricot app.test", "tricot"), // one tag is wrong
		refusing(t).service(t, "gone", "tricot gone.test"))
	askSecretly(t, p)
	get(t, p.client(t, http1), `https://gone.test/"quoted"`)
	assert.Equal(t, 0, p.stop())

	levels := map[any]bool{}
	for line := range strings.Lines(p.log()) {
		var fields map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &fields), line)
		for _, name := range []string{"time", "level", "msg"} {
			require.NotEmpty(t, fields[name], line)
		}
		levels[fields["level"]] = true
	}
	for _, level := range []string{"TRACE", "DEBUG", "INFO", "WARN"} {
		assert.True(t, levels[level], level)
	}
}

func TestLog_HasNoKey(t *testing.T) {
	t.Parallel()
	p := start(t, config{"log.level": "trace"}, secret(t).service(t, "web", "tricot app.test", "tricot b.test"))
	askSecretly(t, p)
	assert.Equal(t, 0, p.stop())

	assert.NotContains(t, p.log(), "PRIVATE KEY")
	keys := 0
	walkFiles(t, p.certsDir(), func(path string, _ os.FileInfo, content string) {
		_, key, found := strings.Cut(content, "PRIVATE KEY-----")
		if !found {
			return
		}
		keys++
		key, _, _ = strings.Cut(key, "-----END")
		for _, line := range strings.Fields(strings.ReplaceAll(key, `\n`, "\n")) {
			assert.NotContains(t, p.log(), line, path)
		}
	})
	assert.GreaterOrEqual(t, keys, 3, "the root's and two certificates'")
}

// walkFiles gives each regular file below a directory.
func walkFiles(t *testing.T, dir string, see func(path string, info os.FileInfo, content string)) {
	t.Helper()
	require.NoError(t, filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		see(path, info, string(content))
		return nil
	}))
}
