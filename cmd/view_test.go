package cmd

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs"
	"github.com/tricot-proxy/tricot/cmd/admin"
	"github.com/tricot-proxy/tricot/middleware/route"
	"github.com/tricot-proxy/tricot/pipeline"
	"github.com/tricot-proxy/tricot/providers"
)

func TestCertificateOf_TellsTheState(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	from, due, to := now.Add(-10*time.Hour), now.Add(10*time.Hour), now.Add(30*time.Hour)
	for name, tc := range map[string]struct {
		status         certs.Status
		at             time.Time
		state, problem string
	}{
		"valid":                  {certs.Status{From: from, Due: due, To: to}, now, admin.Valid, ""},
		"valid, with trouble":    {certs.Status{From: from, Due: due, To: to, LastError: "no"}, now, admin.Valid, "no"},
		"due":                    {certs.Status{From: from, Due: due, To: to, LastError: "no"}, due, admin.Due, "no"},
		"at its end":             {certs.Status{From: from, Due: due, To: to}, to, admin.Expired, ""},
		"expired and forgotten":  {certs.Status{To: now.Add(-time.Second), LastError: "no"}, now, admin.Expired, "no"},
		"none yet":               {certs.Status{}, now, admin.Missing, ""},
		"none, for it failed":    {certs.Status{Attempts: 2, LastError: "no", NextTry: due}, now, admin.Missing, "no"},
		"unreadable":             {certs.Status{Problem: "sealed"}, now, admin.Missing, "sealed"},
		"nobody signs it":        {certs.Status{Unsigned: "no CA does"}, now, admin.SelfSigned, "no CA does"},
		"nobody signs it again":  {certs.Status{From: from, Due: due, To: to, Unsigned: "no CA does"}, now, admin.Valid, ""},
		"nobody signs it, asked": {certs.Status{Unsigned: "no CA does", LastError: "no"}, now, admin.SelfSigned, "no CA does"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.status.Name, tc.status.Issuer = "app.test", "CA"
			shown := certificateOf(tc.status, tc.at)
			assert.Equal(t, []string{tc.state, tc.problem}, []string{shown.State, shown.Problem})
			assert.Equal(t, []string{"app.test", "CA"}, []string{shown.Name, shown.Issuer})
			assert.Equal(t, []time.Time{tc.status.From, tc.status.To, tc.status.Due, tc.status.NextTry},
				[]time.Time{shown.From, shown.To, shown.Renewal, shown.NextTry})
		})
	}
}

func TestRoutesOf_HasEachRouteOnceWithTheStateOfItsBackends(t *testing.T) {
	t.Parallel()
	far := placed("far", "10.0.0.4", "tricot app.test")
	far.Node = "n2"
	table, problems := route.Compile([]providers.Instance{
		placed("a", "10.0.0.1", "tricot app.test", "tricot app.test/api 90", "tricot-add-header X-From a"),
		placed("b", "10.0.0.2", "tricot app.test", "tricot-site-lb"),
		ill(placed("c", "10.0.0.3", "tricot app.test", "tricot-https ill.test", "tricot-global-lb")),
		far,
	}, route.Location{Node: "n1"}, nil)
	require.Empty(t, problems)
	type shown struct{ service, url, balance, state string }
	got := map[string][]shown{}
	for _, r := range routesOf(table) {
		name := r.Host + r.Path
		require.NotContains(t, got, name)
		for _, b := range r.Backends {
			got[name] = append(got[name], shown{b.Service, b.URL, b.Balance, b.State})
			assert.Equal(t, b.Service == "a", len(b.Headers) == 1)
		}
	}
	assert.Equal(t, map[string][]shown{
		"app.test": {
			{"a", "http://10.0.0.1:80", "node", "serving"}, {"b", "http://10.0.0.2:80", "site", "standby"},
			{"c", "http://10.0.0.3:80", "global", "unhealthy"}, {"far", "http://10.0.0.4:80", "node", "standby"},
		},
		"app.test/api": {{"a", "http://10.0.0.1:80", "node", "serving"}},
		"ill.test":     {{"c", "https://10.0.0.3:80", "global", "unhealthy"}},
	}, got)
	empty, _ := route.Compile(nil, route.Location{}, nil)
	assert.Equal(t, []admin.Route{}, routesOf(empty), "JSON has a list")
}

func TestRoutesOf_ShowsAsServingWhatTakesTheTurnsOfBackendsThatAreLeftOut(t *testing.T) {
	t.Parallel()
	far := placed("far", "10.0.0.3", "tricot app.test")
	far.Node = "n2"
	table, problems := route.Compile([]providers.Instance{
		placed("near", "10.0.0.1", "tricot app.test"), placed("near-too", "10.0.0.2", "tricot app.test"), far,
	}, route.Location{Node: "n1"}, nil)
	require.Empty(t, problems)
	for _, step := range []struct {
		ejects string
		want   map[string]string
	}{
		{"", map[string]string{"near": "serving", "near-too": "serving", "far": "standby"}},
		{"near", map[string]string{"near": "ejected", "near-too": "serving", "far": "standby"}},
		{"near-too", map[string]string{"near": "ejected", "near-too": "ejected", "far": "serving"}},
		{"far", map[string]string{"near": "ejected", "near-too": "ejected", "far": "ejected"}},
	} {
		for _, rule := range table.Rules() {
			if rule.Backend.Service == step.ejects {
				require.True(t, rule.Backend.Health.Change(0, pipeline.NewCondition(5, time.Now().Add(time.Hour))))
			}
		}
		got := map[string]string{}
		for _, b := range routesOf(table)[0].Backends {
			got[b.Service] = b.State
		}
		assert.Equal(t, step.want, got)
	}
}

func TestShownTags_HideWhatFollowsTheQuestionMarkOfAnAskURL(t *testing.T) {
	t.Parallel()
	tags := []string{
		"tricot app.test/?x=1", "tricot-add-header X-Query ?secret=no",
		"tricot-on-demand-tls-ask https://ask.test/", "tricot-on-demand-tls-ask https://ask.test/?token=secret",
		"  tricot-on-demand-tls-ask   https://ask.test/?token=secret#x?y surplus", "tricot-on-demand-tls-ask https://ask.test/?",
	}
	assert.Equal(t, []string{
		"tricot app.test/?x=1", "tricot-add-header X-Query ?secret=no",
		"tricot-on-demand-tls-ask https://ask.test/", "tricot-on-demand-tls-ask https://ask.test/?***",
		"  tricot-on-demand-tls-ask   https://ask.test/?*** surplus", "tricot-on-demand-tls-ask https://ask.test/?",
	}, shownTags(tags))
	assert.Contains(t, tags[3], "secret", "what was given is as it was")
	assert.Equal(t, []string{}, shownTags(nil), "JSON has a list")

	_, problems := route.Compile([]providers.Instance{placed("web", "10.0.0.1", tags[4], "tricot-on-demand-tls-ask nowhere?token=secret",
		"tricot-on-demand-tls-ask http://a.test/?token=secret", "tricot-on-demand-tls-ask http://b.test/?token=secret", "tricot app.test x?y")},
		route.Location{}, nil)
	require.Len(t, problems, 4)
	for _, p := range problems {
		assert.NotContains(t, p.Error(), "secret")
		assert.Contains(t, p.Error(), "of service web (instance web on node n1): ")
	}
}

func TestUnnamed_SaysThatAHandshakeIsRefused(t *testing.T) {
	t.Parallel()
	shown := unnamed(loaded(t), "x.test")
	assert.Equal(t, []string{"x.test", admin.SelfSigned}, []string{shown.Name, shown.State})
	assert.NotContains(t, shown.Problem, "refuses")
	assert.Contains(t, unnamed(loaded(t, "--tls-strict-sni"), "x.test").Problem, "tls.strict_sni refuses the handshake")
}
