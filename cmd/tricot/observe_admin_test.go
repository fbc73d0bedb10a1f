package main_test

import (
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAdmin_IsReadyWithATableAndOpenPortsUntilItShutsDown(t *testing.T) {
	t.Parallel()
	held := hold()
	p := start(t, nil, serve(t, held.serve).service(t, "web", "tricot app.test"))
	p.awaitServing(t)
	for path, want := range map[string]string{"/healthz": "ok\n", "/readyz": "ready\n"} {
		answer := p.look(t, "admin", path)
		assert.Equal(t, http.StatusOK, answer.StatusCode, path)
		assert.Equal(t, want, answer.body)
	}
	rest := held.ask(t, p.client(t, http1))
	p.signal(syscall.SIGTERM)
	p.awaitClosed()
	answer := p.look(t, "admin", "/readyz")
	assert.Equal(t, http.StatusServiceUnavailable, answer.StatusCode)
	assert.Contains(t, answer.body, "shutting down")
	assert.Equal(t, http.StatusOK, p.look(t, "admin", "/healthz").StatusCode)
	close(held.release)
	assert.Equal(t, "second", <-rest)
	assert.Equal(t, 0, p.exitCode())
}

func TestAdmin_IsNotReadyBeforeTheFirstTable(t *testing.T) {
	t.Parallel()
	p := newProxy(t, withoutTable(t))
	p.launch()
	answer := p.look(t, "admin", "/readyz")
	assert.Equal(t, http.StatusServiceUnavailable, answer.StatusCode)
	assert.Contains(t, answer.body, "no table is in force yet")
	assert.Equal(t, http.StatusOK, p.look(t, "admin", "/healthz").StatusCode)
	p.eventually(func() bool {
		problems := p.list(t, "problems")
		return len(problems) > 0 && problems[0]["kind"] == "provider" && problems[0]["subject"] == "consul"
	}, "the problem is not shown")
	p.listensAt("https") // it has waited long enough for Consul, and serves nothing
	answer = p.look(t, "admin", "/readyz")
	assert.Equal(t, http.StatusServiceUnavailable, answer.StatusCode)
	assert.Contains(t, answer.body, "no table is in force yet")
}

// awaitServing waits until Tricot says that it is ready, which is a moment after its ports take connections.
func (p *proxy) awaitServing(t *testing.T) {
	t.Helper()
	p.eventually(func() bool { return p.look(t, "admin", "/readyz").StatusCode == http.StatusOK }, "it is not ready")
}

// withoutTable is what the YAML file of a Tricot has whose Consul is away.
func withoutTable(t *testing.T) config {
	t.Helper()
	return observed(config{
		"providers": []string{"consul"}, "file.path": nil, "node_name": "machine",
		"consul.host": "http://" + refusing(t).address, "consul.snapshot_path": "none", "consul.token": "a-token-of-consul",
	})
}

func TestAdmin_TellsAllThatTricotKnows(t *testing.T) {
	t.Parallel()
	web := naming(t, "web")
	p := start(t, config{"certs.encryption_key": []string{encryptionKey(1)}, "node_name": "here", "site": "s1"},
		web.service(t, "web", "tricot app.test/x 120", "tricot app.test", "tricot app.test/y high",
			"tricot *.wild.test", "tricot-on-demand-tls-ask http://127.0.0.1:1/ask?token=a-secret", "tricot-add-header X-From web"))

	var status struct {
		Version, Node, Site, Unready string
		Hosts, Rules                 int
		Providers                    []struct{ Name, Problem string }
	}
	p.api(t, "/api/status", &status)
	assert.Contains(t, status.Version, "tricot")
	assert.Equal(t, "here s1", status.Node+" "+status.Site)
	assert.Equal(t, []int{2, 3}, []int{status.Hosts, status.Rules})
	assert.Empty(t, status.Unready)
	assert.Equal(t, []struct{ Name, Problem string }{{Name: "file"}}, status.Providers)

	services := p.list(t, "services")
	require.Len(t, services, 1)
	assert.Equal(t, "web", services[0]["service"])
	assert.Equal(t, true, services[0]["healthy"])
	assert.Contains(t, services[0]["tags"], "tricot-on-demand-tls-ask http://127.0.0.1:1/ask?***")

	routes := p.list(t, "routes")
	require.Len(t, routes, 3)
	assert.Equal(t, []any{"*.wild.test", "", 100.0}, []any{routes[0]["host"], routes[0]["path"], routes[0]["priority"]})
	assert.Equal(t, []any{"app.test", "/x", 120.0}, []any{routes[1]["host"], routes[1]["path"], routes[1]["priority"]})
	backend := routes[1]["backends"].([]any)[0].(map[string]any)
	assert.Equal(t, "http://"+web.address, backend["url"])
	assert.Equal(t, "serving", backend["state"])
	assert.Equal(t, []any{"X-From: web"}, backend["headers"])

	p.eventually(func() bool {
		all := p.list(t, "certificates")
		return len(all) == 1 && all[0]["name"] == "app.test" && all[0]["state"] == "valid"
	}, "the certificate is not shown")

	var tags []string
	for _, problem := range p.list(t, "problems") {
		if problem["kind"] == "tag" {
			tags = append(tags, problem["subject"].(string)+": "+problem["reason"].(string))
		}
	}
	require.Len(t, tags, 1)
	assert.Contains(t, tags[0], "tricot app.test/y high")

	settings := map[any]map[string]any{}
	for _, setting := range p.list(t, "settings") {
		settings[setting["key"]] = setting
	}
	assert.Equal(t, "file", settings["providers"]["value"])
	assert.True(t, strings.HasPrefix(settings["providers"]["source"].(string), p.configFile()+":"), settings["providers"]["source"])
	assert.Equal(t, "default", settings["log.level"]["source"])
	assert.Equal(t, "***", settings["certs.encryption_key"]["value"])

	for _, path := range []string{"/api/status", "/api/services", "/api/routes", "/api/certificates", "/api/problems",
		"/api/settings?limit=10000", "/debug/pprof/cmdline"} {
		body := p.look(t, "admin", path).body
		assert.NotContains(t, body, "a-secret", path)
		assert.NotContains(t, body, encryptionKey(1), path)
	}
	assert.Contains(t, p.look(t, "admin", "/debug/pprof/goroutine?debug=1").body, "goroutine profile")
	assert.Contains(t, p.look(t, "admin", "/").Header.Get("Content-Type"), "text/html")
}

func TestAdmin_AsksForItsTokenAndNamesItNowhere(t *testing.T) {
	t.Parallel()
	const token = "a-token-that-nobody-guesses"
	p := newProxy(t, config{"admin.token": token, "admin.bind_addr": freeAddress(t)},
		naming(t, "web").service(t, "web", "tricot app.test"))
	p.launch()
	p.awaitListening()
	for _, path := range []string{"/", "/api/status", "/api/settings", "/debug/pprof/"} {
		assert.Equal(t, http.StatusUnauthorized, p.look(t, "admin", path).StatusCode, path)
		assert.Equal(t, http.StatusUnauthorized, p.look(t, "admin", path, "Authorization", "Bearer another").StatusCode, path)
		answer := p.look(t, "admin", path, "Authorization", "Bearer "+token)
		assert.Equal(t, http.StatusOK, answer.StatusCode, path)
		assert.NotContains(t, answer.body, token)
	}
	assert.Equal(t, http.StatusOK, p.look(t, "admin", "/healthz").StatusCode)
	p.awaitServing(t)
	ran := p.command("explain", "https://app.test/")
	assert.Equal(t, 0, ran.code, "the command has the token from the settings: %s", ran.stderr)

	p.writeConfig(config{"admin.token": "another", "admin.bind_addr": p.listensAt("admin")})
	ran = p.command("routes")
	assert.Equal(t, 1, ran.code)
	assert.Contains(t, ran.stderr, "admin.token")
	assert.NotContains(t, p.log(), token)
}

func TestAdmin_BeyondLoopbackWithoutATokenIsRefusedAtStart(t *testing.T) {
	t.Parallel()
	p := newProxy(t, config{"admin.bind_addr": "0.0.0.0:0"})
	p.launch()
	assert.Equal(t, 2, p.exitCode())
	assert.Contains(t, p.log(), "admin.bind_addr")
	assert.Contains(t, p.log(), "admin.token")
}

func TestHangup_NeverEndsTricot(t *testing.T) {
	t.Parallel()
	t.Run("without a table", func(t *testing.T) {
		t.Parallel()
		p := newProxy(t, withoutTable(t))
		p.launch()
		p.listensAt("admin")
		p.hangUp(t)
		assert.Equal(t, 0, p.stop())
	})
	t.Run("while it serves, and while it shuts down", func(t *testing.T) {
		t.Parallel()
		held := hold()
		p := start(t, observed(nil), serve(t, held.serve).service(t, "web", "tricot app.test"))
		p.hangUp(t)
		rest := held.ask(t, p.client(t, http1))
		p.signal(syscall.SIGTERM)
		p.awaitClosed()
		p.hangUp(t)
		close(held.release)
		assert.Equal(t, "second", <-rest)
		assert.Equal(t, 0, p.exitCode())
	})
}

// hangUp sends SIGHUP and waits until it has been seen to, by a Tricot whose metrics can be read.
func (p *proxy) hangUp(t *testing.T) {
	t.Helper()
	before, _ := p.metrics(t).value("tricot_access_log_reopens_total")
	p.signal(syscall.SIGHUP)
	p.eventually(func() bool {
		now, _ := p.metrics(t).value("tricot_access_log_reopens_total")
		return p.mustRun() && now > before
	}, "SIGHUP does nothing")
}
