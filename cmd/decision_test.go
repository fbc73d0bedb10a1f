package cmd

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/cmd/admin"
	"github.com/tricot-proxy/tricot/cmd/settings"
	"github.com/tricot-proxy/tricot/middleware/route"
	"github.com/tricot-proxy/tricot/pipeline"
	"github.com/tricot-proxy/tricot/providers"
)

// loaded gives settings from flags. Where services come from is not asked.
func loaded(t *testing.T, flags ...string) *settings.Settings {
	t.Helper()
	schema, err := settings.New()
	require.NoError(t, err)
	set := pflag.NewFlagSet("", pflag.ContinueOnError)
	schema.Flags(set)
	require.NoError(t, set.Parse(flags))
	s, _ := schema.Load(set, nil)
	return s
}

// placed is a service instance at node n1 that works.
func placed(service, address string, tags ...string) providers.Instance {
	return providers.Instance{ID: service, Service: service, Address: address, Port: 80, Node: "n1", Healthy: true, Tags: tags}
}

func ill(instance providers.Instance) providers.Instance {
	instance.Healthy = false
	return instance
}

// explaining gives what explains these instances, and the router that has them.
func explaining(s *settings.Settings, instances ...providers.Instance) (*explainer, *route.Router) {
	router := route.NewRouter(route.Options{Location: route.Location{Node: "n1"}})
	router.Apply(instances)
	certificate := func(_ context.Context, name string) *admin.Certificate {
		return &admin.Certificate{Name: name, State: admin.Valid}
	}
	return &explainer{settings: s, explain: router.Explain, certificate: certificate}, router
}

// decided is one decision, for a URL that is one.
func decided(t *testing.T, e *explainer, url string) *decision {
	t.Helper()
	d, err := e.decide(t.Context(), url)
	require.NoError(t, err)
	assert.NotNil(t, d.Rules, "JSON has a list")
	assert.NotNil(t, d.Backends, "JSON has a list")
	return d
}

func TestDecide_TellsWhichStageAnswersAndWhy(t *testing.T) {
	t.Parallel()
	services := []providers.Instance{
		placed("web", "10.0.0.1", "tricot app.test", "tricot app.test/low 90"),
		ill(placed("gone", "10.0.0.2", "tricot gone.test")),
		placed("path", "10.0.0.3", "tricot path.test/api"),
	}
	const noRedirect, noAcme = "--middleware-redirect-enabled=false", "--middleware-acme-enabled=false"
	for name, tc := range map[string]struct {
		url, outcome, reason, location, matched string
		flags                                   []string
		rules                                   int
	}{
		"proxied":             {url: "https://app.test/x", outcome: proxied, matched: "app.test, priority 100", rules: 2},
		"plain HTTP":          {url: "http://App.test:8080/a%2Fb?q=1#f", outcome: redirected, reason: "explain the location", location: "https://App.test/a%2Fb?q=1"},
		"to another port":     {url: "http://app.test/", outcome: redirected, location: "https://app.test:8443/", flags: []string{"--middleware-redirect-port=8443"}},
		"plain HTTP, served":  {url: "http://app.test/x", outcome: proxied, matched: "app.test, priority 100", flags: []string{noRedirect}, rules: 2},
		"no host, plain HTTP": {url: "http://a_b..test/", outcome: refused, reason: "the host is not one: the redirect stage answers with status 400"},
		"no host":             {url: "https://a_b..test/", outcome: unrouted, reason: "the host is not one: 404"},
		"challenge":           {url: "http://app.test/.well-known/acme-challenge/x", outcome: challenge, reason: "unknown tokens with 404"},
		"challenge over TLS":  {url: "https://app.test/.well-known/acme-challenge/x", outcome: challenge, reason: "acme stage"},
		"no acme stage": {url: "https://app.test/.well-known/acme-challenge/x", outcome: proxied, matched: "app.test, priority 100",
			flags: []string{noAcme}, rules: 2},
		"another host":   {url: "https://other.test/", outcome: unrouted, reason: "no rule is for this host: 404"},
		"another path":   {url: "https://path.test/", outcome: unrouted, reason: "no rule matches: 404", rules: 1},
		"nobody healthy": {url: "https://gone.test/", outcome: unavailable, reason: "503", matched: "gone.test, priority 100", rules: 1},
		"route first": {url: "http://other.test/", outcome: unrouted, reason: "no rule is for this host: 404",
			flags: []string{"--pipeline-order=route,redirect,balance,transport"}},
		"no route stage": {url: "https://app.test/", outcome: unrouted, reason: "the route stage is not part of the pipeline",
			flags: []string{"--pipeline-order=redirect"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, _ := explaining(loaded(t, append(tc.flags, "--https-bind-addr=127.0.0.1:443")...), services...)
			d := decided(t, e, tc.url)
			assert.Equal(t, tc.url, d.URL)
			assert.Equal(t, tc.outcome, d.Outcome)
			assert.Contains(t, d.Reason, tc.reason)
			assert.Equal(t, tc.outcome == proxied, d.Reason == "", d.Reason)
			assert.Equal(t, tc.location, d.Location)
			assert.Equal(t, tc.matched, d.Matched)
			assert.Len(t, d.Rules, tc.rules)
			assert.Equal(t, tc.outcome == proxied, len(d.Backends) > 0)
			assert.Equal(t, tc.outcome != proxied, d.Compression == "the answer is Tricot's own", d.Compression)
		})
	}
}

func TestDecide_ShowsTheCertificateOfTheHandshakeOnly(t *testing.T) {
	t.Parallel()
	e, _ := explaining(loaded(t), placed("web", "10.0.0.1", "tricot app.test"))
	assert.Nil(t, decided(t, e, "http://app.test/").Certificate)
	for url, name := range map[string]string{
		"https://APP.test:443/": "app.test", "https://other.test/": "other.test", "https://[::1]:8443/": "::1", "https://bücher.test/": "xn--bcher-kva.test",
	} {
		certificate := decided(t, e, url).Certificate
		require.NotNil(t, certificate, url)
		assert.Equal(t, name, certificate.Name)
	}
	e.certificate = nil
	assert.Nil(t, decided(t, e, "https://app.test/").Certificate)
}

func TestDecide_ListsTheHeadersWithTheBackendWhereTheyDiffer(t *testing.T) {
	t.Parallel()
	one := placed("one", "10.0.0.1", "tricot app.test", "tricot-add-header X-All yes", "tricot-add-header X-From one")
	two := placed("two", "10.0.0.2", "tricot app.test", "tricot-add-header X-From two", "tricot-add-header X-All yes")
	e, _ := explaining(loaded(t), one, two)
	d := decided(t, e, "https://app.test/")
	require.Len(t, d.Backends, 2)
	assert.ElementsMatch(t, []string{"X-All: yes", "X-From: one (from http://10.0.0.1:80)", "X-From: two (from http://10.0.0.2:80)"}, d.Headers)

	e, _ = explaining(loaded(t), one)
	assert.ElementsMatch(t, []string{"X-All: yes", "X-From: one"}, decided(t, e, "https://app.test/").Headers)
	e, _ = explaining(loaded(t, "--middleware-headers-enabled=false"), one)
	assert.Empty(t, decided(t, e, "https://app.test/").Headers)
}

func TestDecide_SaysWhenAnAnswerIsCompressed(t *testing.T) {
	t.Parallel()
	web := placed("web", "10.0.0.1", "tricot app.test")
	e, _ := explaining(loaded(t), web)
	assert.Equal(t, "off", decided(t, e, "https://app.test/").Compression)
	e, _ = explaining(loaded(t, "--enable-compression", "--compress-mime-types=text/html,text/css", "--middleware-compress-min-length=77"), web)
	text := decided(t, e, "https://app.test/").Compression
	for _, part := range []string{"br, zstd or gzip", "text/html, text/css", "77 bytes"} {
		assert.Contains(t, text, part)
	}
}

func TestDecide_LeavesBackendsOutThatKeepFailingUntilAllDo(t *testing.T) {
	t.Parallel()
	e, router := explaining(loaded(t),
		placed("near", "10.0.0.1", "tricot app.test"), placed("near-too", "10.0.0.2", "tricot app.test"), placed("low", "10.0.0.3", "tricot app.test 90"))
	eject := func(service string) {
		for _, rule := range router.Table().Rules() {
			if rule.Backend.Service == service {
				require.True(t, rule.Backend.Health.Change(0, pipeline.NewCondition(5, time.Now().Add(time.Hour))))
			}
		}
	}
	for _, step := range []struct {
		ejects, matched string
		serve           []string
		states          map[string]string
	}{
		{"", "app.test, priority 100", []string{"near", "near-too"}, map[string]string{"near": "serving", "near-too": "serving", "low": "standby"}},
		{"near", "app.test, priority 100", []string{"near-too"}, map[string]string{"near": "ejected", "near-too": "serving", "low": "standby"}},
		{"near-too", "app.test, priority 90", []string{"low"}, map[string]string{"near": "ejected", "near-too": "ejected", "low": "serving"}},
		{"low", "app.test, priority 100", []string{"near", "near-too"}, map[string]string{"near": "ejected", "near-too": "ejected", "low": "ejected"}},
	} {
		eject(step.ejects)
		d := decided(t, e, "https://app.test/")
		assert.Equal(t, proxied, d.Outcome)
		assert.Equal(t, step.matched, d.Matched)
		var serve []string
		for _, b := range d.Backends {
			serve = append(serve, b.Service)
		}
		assert.Equal(t, step.serve, serve)
		for _, rule := range d.Rules {
			assert.Equal(t, step.states[rule.Backend.Service], rule.Backend.State, "%s, when %s is ejected", rule.Backend.Service, step.ejects)
			assert.NotEmpty(t, rule.Reason)
		}
	}
}

func TestRequestTo_IsWhatAClientSends(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		tls         bool
		host, asked string
	}{
		"app.test":                              {true, "app.test", "/"},
		"app.test/x?u=http://b.test/":           {true, "app.test", "/x?u=http://b.test/"},
		"app.test?u=http://b.test/":             {true, "app.test", "/?u=http://b.test/"},
		"app.test:8443/x":                       {true, "app.test:8443", "/x"},
		"https://app.test":                      {true, "app.test", "/"},
		"HTTP://App.Test/":                      {false, "App.Test", "/"},
		"http://app.test/a%2Fb//c/../d;e?q=%2F": {false, "app.test", "/a%2Fb//c/../d;e?q=%2F"},
		"https://app.test?q":                    {true, "app.test", "/?q"},
		"https://app.test#f/x":                  {true, "app.test", "/"},
		"https://app.test/x#f?q":                {true, "app.test", "/x"},
		"https://me:secret@app.test/x":          {true, "app.test", "/x"},
		"https://[::1]:8443/x":                  {true, "[::1]:8443", "/x"},
		"https://app.test/ü x":                  {true, "app.test", "/%C3%BC%20x"},
	} {
		r, err := requestTo(text)
		require.NoError(t, err, text)
		assert.Equal(t, http.MethodGet, r.Method)
		assert.Equal(t, want.tls, r.TLS != nil, text)
		assert.Equal(t, want.host, r.Host, text)
		assert.Equal(t, want.asked, pipeline.Target(r), text)
	}
	for _, text := range []string{"", "/x", "https://", "https:///x", "https://:443/", "ftp://app.test/", "mailto:app.test", "https://[::1/",
		"https://app.test/%zz", "https://app.test/\n", "app test", "://app.test"} {
		_, err := requestTo(text)
		assert.ErrorContains(t, err, "is not a URL", text)
	}
}

func FuzzRequestTo_GivesARequestThatTheRoutingCodeTakes(f *testing.F) {
	for _, seed := range []string{"app.test", "https://app.test/a?b#c", "http://[::1]:80/ü", "x://y", "a?b://c/d"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := requestTo(text)
		if err != nil {
			return
		}
		require.NotEmpty(t, r.Host)
		path := pipeline.Path(r)
		require.Equal(t, byte('/'), path[0])
		for i := range len(path) {
			require.True(t, path[i] > ' ' && path[i] < 0x7f, "%q", path)
		}
	})
}
