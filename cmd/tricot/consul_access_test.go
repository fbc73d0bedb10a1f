package main_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/providers/consul/consultest"
)

// What the log says of a Consul that does not let Tricot in, or not see.
const (
	refuses       = "Consul refuses what it is asked"
	refusesNoMore = "Consul does not refuse what it is asked any more"
)

// rule finds one rule of an ACL policy in Consul's language, on a line or on several.
var rule = regexp.MustCompile(`(?:node|service|key|session)(?:_prefix)?\s+"[^"]*"\s*\{[^}]*\}`)

// leastPolicy gives the rules that the README calls the least, for a Tricot that talks to the agent of a node. They are
// those that the pages of the provider and of the store have, and no more.
func leastPolicy(t *testing.T, node string) string {
	t.Helper()
	all := rulesIn(t, "../../README.md", "\n## Consul\n", "\n## ")
	provider := rulesIn(t, "../../providers/consul/consul.go", "", "\npackage consul\n")
	store := rulesIn(t, "../../certs/store/consul/README.md", "```hcl\n", "```") // what is not the least stands beside
	require.ElementsMatch(t, append(provider, store...), all)
	return strings.ReplaceAll(strings.Join(all, "\n"), "NODE", node)
}

// rulesIn gives the rules in a part of a file, with one space where there are more.
func rulesIn(t *testing.T, path, after, before string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	_, part, _ := strings.Cut(string(text), after)
	part, _, _ = strings.Cut(part, before)
	rules := rule.FindAllString(part, -1)
	require.NotEmpty(t, rules, "%s has a policy", path)
	for i, one := range rules {
		rules[i] = strings.Join(strings.Fields(one), " ")
	}
	return rules
}

func TestConsul_EverythingWorksWithTheLeastPolicyThatIsDocumented(t *testing.T) {
	t.Parallel()
	agent := consultest.Dev(t, consultest.Options{ACL: true})
	token := agent.NewToken(leastPolicy(t, agent.NodeName))
	p := startOnConsul(t, agent, config{"consul.token": token, "log.level": "debug"})
	web := naming(t, "web")
	web.registerWith(t, agent, "web", "tricot app.test")
	p.awaitCertificate("app.test")
	client := p.client(t, http2)
	p.awaitBody(client, "https://app.test/", "web")
	require.NoError(t, setCheck(agent, "web", "", api.HealthCritical))
	p.awaitStatus(client, "https://app.test/", http.StatusServiceUnavailable)
	require.NoError(t, setCheck(agent, "web", "", api.HealthPassing))
	p.awaitBody(client, "https://app.test/", "web")
	assert.Empty(t, p.logLines("WARN"))
	assert.Empty(t, p.logLines("ERROR"))
	assert.Empty(t, p.logLines(" status=403"))
	assert.Empty(t, p.logLines("Permission denied"))
}

func TestConsul_TokenThatMayNotIsOneMessageUntilItMay(t *testing.T) {
	t.Parallel()
	agent := consultest.Dev(t, consultest.Options{ACL: true})
	acl := agent.Client().ACL()
	for _, test := range []struct {
		name, token string
		mended      bool // it gets its rights afterwards
	}{
		{"wrong", "c0ffee00-0000-4000-8000-000000000000", false},
		{"none", "", false},
		{"without rights", agent.NewToken(""), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			host := strings.ReplaceAll(test.name, " ", "-") + ".test"
			naming(t, test.name).registerOn(t, agent.Client(), "machine", "", host, "tricot "+host)
			p := startOnConsul(t, agent, config{"consul.token": test.token, "log.level": "debug",
				"consul.kv_prefix": host + "/", "middleware.redirect.enabled": false})
			awaitAttempts(p)
			assertOnce(t, p, "ERROR", "WARN")
			assert.Len(t, p.logLines("ERROR", refuses, "consul.token", "node:read", "service:read"), 1)
			assert.Empty(t, p.logLines(goesAway))
			assert.Equal(t, http.StatusNotFound, get(t, p.plainClient(t), "http://"+host+"/").StatusCode)
			if !test.mended {
				return
			}

			self, _, err := acl.TokenReadSelf(&api.QueryOptions{Token: test.token})
			require.NoError(t, err)
			policy := self.Policies[0]
			rules := strings.ReplaceAll(leastPolicy(t, agent.NodeName), "tricot/", host+"/")
			_, _, err = acl.PolicyUpdate(&api.ACLPolicy{ID: policy.ID, Name: policy.Name, Rules: rules}, nil)
			require.NoError(t, err)
			p.awaitLog(refusesNoMore)
			p.awaitBody(p.plainClient(t), "http://"+host+"/", test.name)
			p.awaitCertificate(host)
			assertOnce(t, p, "ERROR", "WARN")
			assert.Len(t, p.logLines(refusesNoMore), 1)
		})
	}
}

// awaitAttempts waits until a query has been tried several times.
func awaitAttempts(p *proxy) {
	p.t.Helper()
	p.eventually(func() bool {
		return p.mustRun() && len(p.logLines("DEBUG", "exchange with Consul", "path=/v1/catalog/services")) >= 4
	}, "it is not tried again")
}

// assertOnce wants no line of these levels to be there twice, its time aside.
func assertOnce(t *testing.T, p *proxy, levels ...string) {
	t.Helper()
	told := map[string]int{}
	for _, level := range levels {
		for _, line := range p.logLines("level=" + level) {
			_, line, _ = strings.Cut(line, "level=")
			told[line]++
		}
	}
	for line, times := range told {
		assert.Equal(t, 1, times, line)
	}
}

func TestConsul_WithTLSSaysOnceWhatIsWrongWithTheCredentials(t *testing.T) {
	t.Parallel()
	right, others := consultest.NewTLS(t), consultest.NewTLS(t)
	right.VerifyIncoming = true
	agent := consultest.Dev(t, consultest.Options{TLS: right})
	naming(t, "web").registerOn(t, agent.Client(), "machine", "", "web", "tricot app.test")
	plain := "http" + strings.TrimPrefix(agent.HTTP, "https")
	for _, test := range []struct {
		name    string
		changes config
		hint    string // empty: it works
	}{
		{"right", nil, ""},
		{"unverified", config{"consul.ca_cert": nil, "consul.tls_skip_verify": true}, ""},
		{"wrong CA", config{"consul.ca_cert": others.CA}, "consul.ca_cert"},
		{"no CA", config{"consul.ca_cert": nil}, "consul.ca_cert"},
		{"no client certificate", config{"consul.client_cert": nil, "consul.client_key": nil}, "consul.client_cert"},
		{"wrong client certificate", config{
			"consul.client_cert": others.ClientCert, "consul.client_key": others.ClientKey,
		}, "consul.client_cert"},
		{"http", config{"consul.host": plain}, "https"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			settings := trusting(right)
			maps.Copy(settings, test.changes)
			settings["log.level"] = "debug"
			p := startOnConsul(t, agent, settings)
			if test.hint == "" {
				p.awaitCertificate("app.test")
				assert.Equal(t, "web", get(t, p.client(t, http2), "https://app.test/").body)
				assert.Empty(t, p.logLines("ERROR"))
				return
			}
			awaitAttempts(p)
			assert.Len(t, p.logLines("ERROR", refuses, "hint=", test.hint), 1)
			assertOnce(t, p, "ERROR", "WARN")
		})
	}
}

func TestConsul_NoLogHasATokenAKeyOrAServiceOfOthers(t *testing.T) {
	t.Parallel()
	agent := consultest.Dev(t, consultest.Options{ACL: true})
	client := agent.Client()
	token := agent.NewToken(leastPolicy(t, agent.NodeName))
	naming(t, "vault").registerWith(t, agent, "alien-vault", "alien-tag")
	web := naming(t, "web")
	web.registerWith(t, agent, "web", "tricot app.test", "alien-word beside")
	p := startOnConsul(t, agent, config{"consul.token": token, "log.level": "trace"})
	p.awaitCertificate("app.test")
	secure := p.client(t, http2)
	p.awaitBody(secure, "https://app.test/", "web")
	keys := keysOf(t, client)
	require.NotEmpty(t, keys)
	require.NoError(t, setCheck(agent, "alien-vault", "alien-output", api.HealthCritical))
	require.NoError(t, setCheck(agent, "web", "alien-output", api.HealthCritical))
	p.awaitStatus(secure, "https://app.test/", http.StatusServiceUnavailable)

	// What goes wrong does not quote it either.
	self, _, err := client.ACL().TokenReadSelf(&api.QueryOptions{Token: token})
	require.NoError(t, err)
	_, err = client.ACL().TokenDelete(self.AccessorID, nil)
	require.NoError(t, err)
	naming(t, "next").registerWith(t, agent, "next", "tricot next.test")
	p.awaitLog("ERROR", refuses)
	agent.Stop()
	p.awaitLog("DEBUG", "exchange with Consul", "connection refused")
	agent.Restart()

	assert.Equal(t, 0, p.stop())
	log := p.log()
	assert.NotContains(t, log, token)
	assert.NotContains(t, log, "PRIVATE KEY")
	assert.NotContains(t, log, "alien")
	for _, key := range keys {
		assert.NotContains(t, log, key)
	}
}

// keysOf gives the lines of the private keys that the store has.
func keysOf(t *testing.T, client *api.Client) []string {
	t.Helper()
	pairs, _, err := client.KV().List("tricot/", nil)
	require.NoError(t, err)
	var lines []string
	for _, pair := range pairs {
		var fields map[string]any
		require.NoError(t, json.Unmarshal(pair.Value, &fields), pair.Key)
		for _, field := range fields {
			text, _ := field.(string)
			if _, key, found := strings.Cut(text, "PRIVATE KEY-----"); found {
				key, _, _ = strings.Cut(key, "-----END")
				lines = append(lines, strings.Fields(key)...)
			}
		}
	}
	return lines
}
