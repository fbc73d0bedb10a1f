package route

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
	"github.com/tricot-proxy/tricot/providers"
)

func TestExplain_NamesWhatDecides(t *testing.T) {
	instance := func(id string, node, site string, healthy bool, tags ...string) providers.Instance {
		return providers.Instance{ID: id, Service: "web", Address: "10.0.0." + id, Port: 80, Node: node, Site: site,
			Healthy: healthy, Tags: tags}
	}
	table, problems := Compile([]providers.Instance{
		instance("1", "n1", "s1", true, "tricot app.example.com/api"),
		instance("2", "n2", "s1", true, "tricot app.example.com/api"),
		instance("3", "n3", "s2", true, "tricot app.example.com/api", "tricot app.example.com"),
		instance("4", "n1", "s1", false, "tricot app.example.com/api"),
		instance("5", "n1", "s1", true, "tricot app.example.com/api 10", "tricot app.example.com/other"),
		instance("6", "n1", "s1", true, "tricot *.example.com/api", "tricot *.example.com 200", "tricot a*.example.com/api"),
		instance("7", "n1", "s1", true, "tricot b*.example.com/api", "tricot other.example.com"),
	}, Location{Node: "n1", Site: "s1"}, nil)
	require.Empty(t, problems)

	e := table.Explain("app.example.com", "/other", Location{Node: "n1", Site: "s1"})
	require.Same(t, table.Find("app.example.com", "/other"), e.Route)
	e = table.Explain("app.example.com", "/api/x", Location{Node: "n1", Site: "s1"})
	var lines []string
	for _, v := range e.Verdicts {
		lines = append(lines, strings.Join([]string{v.Rule.Host + v.Rule.Path, v.Rule.Backend.ID, string(v.Outcome), v.Reason}, " | "))
	}
	assert.Equal(t, []string{
		"*.example.com | 6 | chosen | it is on this node",
		"app.example.com/other | 5 | unmatched | /other is no prefix of the path",
		"app.example.com/api | 1 | standby | the priority 100 is lower than 200",
		"app.example.com/api | 2 | standby | the priority 100 is lower than 200",
		"app.example.com/api | 3 | standby | the priority 100 is lower than 200",
		"app.example.com/api | 4 | unhealthy | its checks do not pass",
		"a*.example.com/api | 6 | standby | the priority 100 is lower than 200",
		"b*.example.com/api | 7 | unmatched | the host is not like b*.example.com",
		"*.example.com/api | 6 | standby | the priority 100 is lower than 200",
		"app.example.com | 3 | standby | the priority 100 is lower than 200",
		"app.example.com/api | 5 | standby | the priority 10 is lower than 200",
	}, lines)
}

func TestExplain_SaysByWhatARuleLostAndHowNearItsBackendIs(t *testing.T) {
	here := Location{Node: "n1", Site: "s1"}
	for _, c := range []struct {
		name          string
		here          Location
		first, second []string // tags of an instance on n1 in s1, and on n2 in s1, or s2 where a tag says so
		elsewhere     bool
		want          [2]string
	}{
		{"path", here, []string{"tricot a.b/x"}, []string{"tricot a.b"}, false,
			[2]string{"it is on this node", "the path (none) is shorter than /x"}},
		{"exact host", here, []string{"tricot a.b"}, []string{"tricot *.b"}, false,
			[2]string{"it is on this node", "*.b is a wildcard, and a.b is the host itself"}},
		{"longer wildcard", here, []string{"tricot *.b"}, []string{"tricot *"}, false,
			[2]string{"it is on this node", "the wildcard * is shorter than *.b"}},
		{"sorted wildcard", here, []string{"tricot *.b"}, []string{"tricot a.*"}, false,
			[2]string{"it is on this node", "the wildcard a.* is sorted after *.b"}},
		{"node", here, []string{"tricot a.b"}, []string{"tricot a.b"}, false,
			[2]string{"it is on this node", "others are nearer: it is on this site, and on another node"}},
		{"site", here, []string{"tricot a.b", "tricot-site-lb"}, []string{"tricot a.b"}, true,
			[2]string{"it is on this site", "others are nearer: it is on another site"}},
		{"turns", here, []string{"tricot a.b", "tricot-global-lb"}, []string{"tricot a.b", "tricot-global-lb"}, true,
			[2]string{"it is for all sites and nodes; takes turns with 1 more", "it is for all sites and nodes; takes turns with 1 more"}},
		{"no site known", Location{}, []string{"tricot a.b"}, []string{"tricot a.b"}, true,
			[2]string{"its site counts as any other's: that of this Tricot is not known; takes turns with 1 more", "its site counts as any other's: that of this Tricot is not known; takes turns with 1 more"}},
	} {
		second := providers.Instance{ID: "2", Service: "s", Address: "10.0.0.2", Port: 80, Node: "n2", Site: "s1", Healthy: true, Tags: c.second}
		if c.elsewhere {
			second.Site = "s2"
		}
		table, problems := Compile([]providers.Instance{
			{ID: "1", Service: "s", Address: "10.0.0.1", Port: 80, Node: "n1", Site: "s1", Healthy: true, Tags: c.first}, second,
		}, c.here, nil)
		require.Empty(t, problems)
		e := table.Explain("a.b", "/x", c.here)
		if assert.Len(t, e.Verdicts, 2, c.name) {
			assert.Equal(t, c.want, [2]string{e.Verdicts[0].Reason, e.Verdicts[1].Reason}, c.name)
		}
	}
}

func TestExplain_TellsOfABackendThatIsLeftOut(t *testing.T) {
	table, _ := Compile([]providers.Instance{
		{ID: "1", Service: "s", Address: "10.0.0.1", Port: 80, Healthy: true, Tags: []string{"tricot a.b"}},
	}, Location{}, nil)
	health := table.Find("a.b", "/").Tiers[0].Backends[0].Health
	require.True(t, health.Change(0, pipeline.NewCondition(5, time.Now().Add(time.Minute))))
	e := table.Explain("a.b", "/", Location{})
	assert.Equal(t, Standby, e.Verdicts[0].Outcome)
	assert.Equal(t, "it kept failing, and is left out for a while", e.Verdicts[0].Reason)
}

func TestExplain_HasNothingWhereNoRuleMatches(t *testing.T) {
	table, _ := Compile(nil, Location{}, nil)
	e := table.Explain("a.b", "/", Location{})
	assert.Nil(t, e.Route)
	assert.Empty(t, e.Verdicts)
}

func TestExplain_AgreesWithWhatIsFoundOnRandomSnapshots(t *testing.T) {
	start := rand.Uint64()
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(start+seed, 2))
		instances, rules := randomSnapshot(random)
		here := Location{Node: pick(random, modelNodes), Site: pick(random, modelSites)}
		table, _ := Compile(instances, here, nil)
		for range 12 {
			host, path := pick(random, modelRequests), pick(random, modelPaths)
			e := table.Explain(host, path, here)
			require.Same(t, table.Find(host, path), e.Route, "seed %d", start+seed)

			var chosen []*pipeline.Backend
			matching := map[string]bool{}
			for _, v := range e.Verdicts {
				require.NotEmpty(t, v.Reason)
				if v.Outcome == Chosen && !slices.Contains(chosen, v.Rule.Backend) {
					chosen = append(chosen, v.Rule.Backend)
				}
				if v.Outcome != Unmatched {
					matching[v.Rule.Host+v.Rule.Path] = true
				}
				require.Equal(t, v.Outcome == Unhealthy, v.Outcome != Unmatched && !v.Rule.Healthy)
			}
			if e.Route == nil || len(e.Route.Tiers) == 0 {
				require.Empty(t, chosen)
			} else {
				require.ElementsMatch(t, e.Route.Tiers[0].Backends, chosen, "seed %d", start+seed)
			}
			for _, r := range rules {
				matches := modelHostMatches(r.Host, host) && strings.HasPrefix(path, r.Path)
				require.Equal(t, matches, matching[r.Host+r.Path], "seed %d: %s%s for %s%s", start+seed, r.Host, r.Path, host, path)
			}
		}
	}
}
