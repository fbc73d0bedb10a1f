package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/providers/consul/consultest"
)

func TestExplain_AgreesWithWhatARequestThenGets(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 11))
			services := randomServices(t, random)
			p := newProxy(t, config{"node_name": "n1", "site": "s1", "admin.bind_addr": freeAddress(t),
				"middleware.compress.enabled": seed%2 == 0}, services...)
			p.launch()
			p.awaitServing(t)
			// What is told of a certificate must not change between two looks at it, and is a little older than what is served.
			p.awaitReady(services...)
			p.eventually(func() bool {
				return !slices.ContainsFunc(p.list(t, "certificates"), func(c map[string]any) bool { return c["state"] == "missing" })
			}, "a certificate is not shown")
			secure, plain := p.unverified(t), p.plainClient(t)
			for range 40 {
				url := randomURL(random)
				d := p.explains(t, url)
				if strings.HasPrefix(url, "http://") {
					answer := get(t, plain, url)
					assert.Equal(t, http.StatusPermanentRedirect, answer.StatusCode)
					assert.Equal(t, []string{"redirected", answer.Header.Get("Location")}, []string{d.Outcome, d.Location}, url)
					continue
				}
				agrees(t, secure, url, d)
				assert.Equal(t, seed%2 == 0 && d.Outcome == "proxied", strings.Contains(d.Compression, "gzip"), d.Compression)
			}
			for range 3 {
				url := randomURL(random)
				ran := p.command("explain", url, "--json")
				require.Equal(t, 0, ran.code, ran.stderr)
				assert.JSONEq(t, p.look(t, "admin", "/api/explain?url="+url).body, ran.stdout)
				offline := p.command("explain", url, "--json", "--offline")
				require.Equal(t, 0, offline.code, offline.stderr)
				assert.Equal(t, withoutCertificate(t, ran.stdout), withoutCertificate(t, offline.stdout))
			}
			routes := p.command("routes", "--json")
			require.Equal(t, 0, routes.code, routes.stderr)
			offline := p.command("routes", "--json", "--offline")
			require.Equal(t, 0, offline.code, offline.stderr)
			assert.JSONEq(t, routes.stdout, offline.stdout)
		})
	}
}

// agrees asks as often as there are backends that take turns, and wants each of them to have answered.
func agrees(t *testing.T, client *http.Client, url string, d explained) {
	t.Helper()
	if d.Outcome != "proxied" {
		assert.Equal(t, "unrouted", d.Outcome)
		assert.Empty(t, d.Backends)
		assert.Equal(t, http.StatusNotFound, get(t, client, url).StatusCode, url)
		return
	}
	require.NotEmpty(t, d.Backends, url)
	var want, got []string
	headers := map[string][]string{}
	for _, b := range d.Backends {
		want = append(want, b.Service)
		headers[b.Service] = b.Headers
	}
	for range d.Backends {
		answer := get(t, client, url)
		require.Equal(t, http.StatusOK, answer.StatusCode, url)
		got = append(got, answer.body)
		var set []string
		for _, value := range answer.Header.Values("X-From") {
			set = append(set, "X-From: "+value)
		}
		assert.Equal(t, headers[answer.body], set, url)
		for _, one := range set {
			assert.True(t, slices.ContainsFunc(d.Headers, func(h string) bool { return h == one || strings.HasPrefix(h, one+" (from ") }),
				"%s: %s is not in %v", url, one, d.Headers)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	assert.Equal(t, want, got, url)
	chosen := 0
	for _, rule := range d.Rules {
		assert.NotEmpty(t, rule.Reason)
		if rule.Outcome == "chosen" {
			chosen++
		}
	}
	assert.Len(t, d.Backends, chosen)
}

var (
	randomHosts = []string{"a.test", "b.test", "x.b.test", "*.b.test", "*.test", "*"}
	randomPaths = []string{"", "", "/", "/api", "/api/v1", "/a%2Fb"}
)

// randomServices gives eight backends with a few rules each, at two nodes and sites.
func randomServices(t *testing.T, random *rand.Rand) (all []service) {
	t.Helper()
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	for i := range 8 {
		name := fmt.Sprintf("web-%d", i)
		var tags []string
		for range 1 + random.IntN(3) {
			rule := "tricot " + pick(randomHosts...) + pick(randomPaths...) + pick("", "", " 90", " 110")
			if !slices.Contains(tags, rule) {
				tags = append(tags, rule)
			}
		}
		if balance := pick("", "tricot-global-lb", "tricot-site-lb"); balance != "" {
			tags = append(tags, balance)
		}
		if random.IntN(2) == 0 {
			tags = append(tags, "tricot-add-header X-From "+pick("all", name))
		}
		entry := naming(t, name).service(t, name, tags...)
		entry.Node, entry.Site = pick("", "n1", "n2"), pick("", "s1", "s2")
		all = append(all, entry)
	}
	return all
}

func randomURL(random *rand.Rand) string {
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	return pick("http", "https", "https", "https") + "://" + pick("a.test", "B.test", "x.b.test", "y.x.b.test", "c.test", "other") +
		pick("/", "/api", "/apis", "/api/v1/x?q=1", "/a%2Fb/c", "/a/b", "//api")
}

// withoutCertificate is a decision without what the store knows otherwise than the instance.
func withoutCertificate(t *testing.T, text string) map[string]any {
	t.Helper()
	var d map[string]any
	require.NoError(t, json.Unmarshal([]byte(text), &d))
	delete(d, "certificate")
	return d
}

func TestExplain_InTextNamesTheRulesTheHeadersAndTheCertificate(t *testing.T) {
	t.Parallel()
	web, other := naming(t, "web"), naming(t, "other")
	services := []service{
		web.service(t, "web", "tricot app.test", "tricot-add-header X-Served-By web"),
		other.service(t, "other", "tricot app.test 90"),
	}
	p := newProxy(t, config{"admin.bind_addr": freeAddress(t)}, services...)
	p.launch()
	p.awaitReady(services...)
	p.eventually(func() bool { // what is shown is a little older than what is served
		c := p.explains(t, "https://app.test/").Certificate
		return c != nil && c.State == "valid"
	}, "the certificate is not shown")
	for _, args := range [][]string{{"explain", "app.test/x"}, {"explain", "--offline", "app.test/x"}} {
		ran := p.command(args...)
		require.Equal(t, 0, ran.code, ran.stderr)
		for _, pattern := range []string{
			`(?m)^Outcome +proxied$`, `(?m)^Matched +app\.test, priority 100$`, `(?m)^Backends +web at http://` + web.address + `$`,
			`(?m)^Headers set +X-Served-By: web$`, `(?m)^Certificate +valid, signed by `,
			`(?m)^app\.test +90 +other .* standby +the priority 90 is lower than 100$`, `(?m)^app\.test +100 +web .* chosen `,
		} {
			assert.Regexp(t, pattern, ran.stdout, "%s", args)
		}
		assert.Empty(t, ran.stderr)
	}
	for _, args := range [][]string{{"routes"}, {"routes", "--offline"}} {
		ran := p.command(args...)
		require.Equal(t, 0, ran.code, ran.stderr)
		assert.Regexp(t, `(?m)^ROUTE +PRIORITY +SERVICE +BACKEND +NODE +SITE +STATE$`, ran.stdout)
		assert.Regexp(t, `(?m)^app\.test +90 +other +http://`+other.address+` +- +- +serving$`, ran.stdout)
	}
	certificate := p.explains(t, "https://else.test/").Certificate
	require.NotNil(t, certificate)
	assert.Equal(t, "selfsigned", certificate.State)
}

func TestExplain_SaysClearlyWhyItCannot(t *testing.T) {
	t.Parallel()
	free := freeAddress(t)
	for name, tc := range map[string]struct {
		further config
		args    []string
		code    int
		says    []string
	}{
		"nobody runs":       {config{"admin.bind_addr": free}, []string{"explain", "https://app.test/"}, 1, []string{free, "connection refused", "--offline"}},
		"nobody runs, list": {config{"admin.bind_addr": free}, []string{"routes"}, 1, []string{free, "connection refused", "--offline"}},
		"no admin address":  {config{"admin.bind_addr": ""}, []string{"routes"}, 1, []string{"admin.bind_addr is empty", "--offline"}},
		"no port":           {nil, []string{"routes"}, 1, []string{"admin.bind_addr", "--offline"}},
		"nonsense":          {nil, []string{"explain", "ftp://app.test/"}, 2, []string{"ftp://app.test/", "expected https://HOST/PATH"}},
		"no host":           {nil, []string{"explain", "https://"}, 2, []string{"expected https://HOST/PATH"}},
		"no URL at all":     {nil, []string{"explain", "https://[::1/"}, 2, []string{"is not a URL"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ran := newProxy(t, tc.further).command(tc.args...)
			assert.Equal(t, tc.code, ran.code)
			assert.Empty(t, ran.stdout)
			for _, part := range tc.says {
				assert.Contains(t, ran.stderr, part)
			}
		})
	}
	p := start(t, nil, naming(t, "web").service(t, "web", "tricot app.test"))
	for _, url := range []string{"", "ftp%3A%2F%2Fapp.test", "https%3A%2F%2F"} {
		answer := p.look(t, "admin", "/api/explain?url="+url)
		assert.Equal(t, http.StatusBadRequest, answer.StatusCode, url)
		assert.Contains(t, answer.body, `"error"`)
	}
}

func TestExplain_OnConsulIsTheSameOfflineAndKnowsWhoseChecksFail(t *testing.T) {
	t.Parallel()
	agent := consultest.Dev(t, consultest.Options{})
	up, down := naming(t, "up"), naming(t, "down")
	up.registerWith(t, agent, "up", "tricot app.test", "tricot app.test/x high")
	down.registerWith(t, agent, "down", "tricot app.test", "tricot gone.test")
	require.NoError(t, setCheck(agent, "down", "", api.HealthCritical))
	p := newProxy(t, onConsul(agent, config{"admin.bind_addr": freeAddress(t)}))
	p.launch()
	p.awaitReady(service{Tags: []string{"tricot app.test", "tricot gone.test"}})
	p.eventually(func() bool { return p.explains(t, "https://gone.test/").Outcome == "unavailable" }, "the check passes")

	client := p.unverified(t)
	agrees(t, client, "https://app.test/", p.explains(t, "https://app.test/"))
	assert.Equal(t, http.StatusServiceUnavailable, get(t, client, "https://gone.test/").StatusCode)
	for _, url := range []string{"https://app.test/", "https://gone.test/", "https://nobody.test/", "http://app.test/"} {
		running, offline := p.command("explain", url, "--json"), p.command("explain", url, "--json", "--offline")
		require.Equal(t, 0, running.code, running.stderr)
		require.Equal(t, 0, offline.code, offline.stderr)
		assert.Equal(t, withoutCertificate(t, running.stdout), withoutCertificate(t, offline.stdout))
	}
	running, offline := p.command("routes"), p.command("routes", "--offline")
	assert.Equal(t, running.stdout, offline.stdout)
	assert.Regexp(t, `(?m)^gone\.test .* unhealthy$`, offline.stdout)

	checked := p.command("check", "--services")
	assert.Equal(t, 1, checked.code)
	assert.Contains(t, checked.stdout, "The settings are good.\n")
	assert.Regexp(t, `(?m)^Read from consul: \d services?, \d instances?, 3 rules\.$`, checked.stdout)
	assert.Regexp(t, `(?m)^tag "tricot app\.test/x high" of service up \(instance \S*up on node `+agent.NodeName+`\): priority "high"`, checked.stderr)
	assert.Contains(t, checked.stderr, "1 malformed tag\n")
	assert.Equal(t, 0, p.command("check").code, "nothing is read")

	up.registerWith(t, agent, "up", "tricot app.test")
	p.eventually(func() bool { return p.command("check", "--services").code == 0 }, "the tag is good now")

	agent.Stop()
	for _, args := range [][]string{{"check", "--services"}, {"explain", "--offline", "https://app.test/"}, {"routes", "--offline"}} {
		ran := p.command(args...)
		assert.Equal(t, 1, ran.code, "%s", args)
		assert.Contains(t, ran.stderr, "provider consul: ", "%s", args)
		assert.Contains(t, ran.stderr, strings.TrimPrefix(agent.HTTP, "http://"))
	}
}

func TestExplain_OfAChallengeIsTheAcmeStagesAnswer(t *testing.T) {
	t.Parallel()
	p := start(t, nil, serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "web") }).
		service(t, "web", "tricot app.test"))
	for url, client := range map[string]*http.Client{
		"http://app.test/.well-known/acme-challenge/token":  p.plainClient(t),
		"https://app.test/.well-known/acme-challenge/token": p.client(t, http1),
	} {
		d := p.explains(t, url)
		assert.Equal(t, "challenge", d.Outcome)
		assert.Empty(t, d.Backends)
		answer := get(t, client, url)
		assert.Equal(t, http.StatusNotFound, answer.StatusCode)
		assert.NotEqual(t, "web", answer.body)
	}
}
