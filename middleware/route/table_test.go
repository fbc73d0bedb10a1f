package route

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
	"github.com/tricot-proxy/tricot/providers"
)

// at gives a healthy instance whose ID is its service's name, for tests that tell backends apart by it.
func at(node, site, id string, tags ...string) providers.Instance {
	return providers.Instance{
		ID: id, Service: id, Address: "10.0.0.1", Port: 80, Node: node, Site: site, Tags: tags, Healthy: true,
	}
}

func instance(id string, tags ...string) providers.Instance { return at("", "", id, tags...) }

func sick(i providers.Instance) providers.Instance {
	i.Healthy = false
	return i
}

func compile(t testing.TB, here Location, instances ...providers.Instance) *Table {
	t.Helper()
	table, problems := Compile(instances, here, nil)
	require.Empty(t, problems)
	return table
}

// chain writes down all that a request may be served by, in order: backends of a tier joined by "+", tiers by ">",
// groups by " | ".
func chain(table *Table, host, path string) string {
	var groups []string
	for r := table.Find(host, path); r != nil; r = r.Next(host, path) {
		var tiers []string
		for _, tier := range r.Tiers {
			var ids []string
			for _, b := range tier.Backends {
				ids = append(ids, b.ID)
			}
			tiers = append(tiers, strings.Join(ids, "+"))
		}
		groups = append(groups, strings.Join(tiers, ">"))
	}
	return strings.Join(groups, " | ")
}

func TestTable_OrdersBackendsAsSection3Does(t *testing.T) {
	here := Location{Node: "n1", Site: "s1"}
	cases := []struct {
		rule       string
		here       Location
		instances  []providers.Instance
		host, path string
		want       string
	}{
		{"1: the highest priority comes first", here, []providers.Instance{
			instance("low", "tricot a.com 1"), instance("default", "tricot a.com"), instance("high", "tricot a.com 101"),
		}, "a.com", "/", "high | default | low"},
		{"1: a negative priority is lower than none", here, []providers.Instance{
			instance("minus", "tricot a.com -1"), instance("zero", "tricot a.com 0"),
		}, "a.com", "/", "zero | minus"},
		{"1: priority counts for more than a longer path", here, []providers.Instance{
			instance("path", "tricot a.com/api"), instance("priority", "tricot a.com 101"),
		}, "a.com", "/api", "priority | path"},
		{"1: priority counts for more than an exact host", here, []providers.Instance{
			instance("exact", "tricot a.com"), instance("wildcard", "tricot * 101"),
		}, "a.com", "/", "wildcard | exact"},
		{"1: priority counts for more than the same node", here, []providers.Instance{
			at("n1", "s1", "near", "tricot a.com"), at("n2", "s2", "far", "tricot a.com 101"),
		}, "a.com", "/", "far | near"},

		{"2: the longest path prefix comes first", here, []providers.Instance{
			instance("none", "tricot a.com"), instance("slash", "tricot a.com/"),
			instance("api", "tricot a.com/api"), instance("v1", "tricot a.com/api/v1"),
		}, "a.com", "/api/v1/x", "v1 | api | slash | none"},
		{"2: the path prefix is literal", here, []providers.Instance{
			instance("none", "tricot a.com"), instance("api", "tricot a.com/api"), instance("dir", "tricot a.com/api/"),
		}, "a.com", "/apis", "api | none"},
		{"2: the path is compared as the client sent it", here, []providers.Instance{
			instance("none", "tricot a.com"), instance("api", "tricot a.com/api"),
		}, "a.com", "/%61pi", "none"},
		{"2: the path of OPTIONS * has only rules without path", here, []providers.Instance{
			instance("none", "tricot a.com"), instance("slash", "tricot a.com/"),
		}, "a.com", "*", "none"},
		{"2: the path counts for more than an exact host", here, []providers.Instance{
			instance("exact", "tricot a.com"), instance("wildcard", "tricot */api"),
		}, "a.com", "/api", "wildcard | exact"},

		{"3: an exact host comes before a wildcard", here, []providers.Instance{
			instance("all", "tricot *"), instance("wildcard", "tricot *.a.com"), instance("exact", "tricot x.a.com"),
		}, "x.a.com", "/", "exact | wildcard | all"},
		{"3: an exact host comes before a wildcard with more characters", here, []providers.Instance{
			instance("wildcard", "tricot *x*.*a*.com"), instance("exact", "tricot x.a.com"),
		}, "x.a.com", "/", "exact | wildcard"},
		{"3: a longer wildcard comes before a shorter one, whatever they end in", here, []providers.Instance{
			instance("com", "tricot *.com"), instance("middle", "tricot app-*.b.*"), instance("b", "tricot *.b.com"),
			instance("app", "tricot app-*.b.com"), instance("all", "tricot *"),
		}, "app-1.b.com", "/", "app | middle | b | com | all"},
		{"3: equally long wildcards come in the order of their text", here, []providers.Instance{
			instance("second", "tricot *p.a.com"), instance("third", "tricot a*.a.com"), instance("first", "tricot *.a*.com"),
		}, "ap.a.com", "/", "first | second | third"},
		{"3: a wildcard matches at any depth", here, []providers.Instance{
			instance("wildcard", "tricot *.a.com"),
		}, "x.y.z.a.com", "/", "wildcard"},
		{"3: a wildcard does not match what it is under", here, []providers.Instance{
			instance("wildcard", "tricot *.a.com"), instance("all", "tricot * 1"),
		}, "a.com", "/", "all"},
		{"3: a wildcard does not match another name that ends like it", here, []providers.Instance{
			instance("wildcard", "tricot *.a.com"),
		}, "xa.com", "/", ""},
		{"3: a star alone matches addresses too", here, []providers.Instance{
			instance("all", "tricot *"),
		}, "[::1]", "/", "all"},

		{"4: the same node comes before others", here, []providers.Instance{
			at("n2", "", "other", "tricot a.com"), at("n1", "", "same", "tricot a.com"),
		}, "a.com", "/", "same>other"},
		{"4: the same node counts for more than the same site", here, []providers.Instance{
			at("n2", "s1", "site", "tricot a.com"), at("n1", "s2", "node", "tricot a.com"),
		}, "a.com", "/", "node>site"},
		{"4: not with tricot-site-lb", here, []providers.Instance{
			at("n1", "s1", "a", "tricot a.com", "tricot-site-lb"), at("n2", "s1", "b", "tricot a.com", "tricot-site-lb"),
		}, "a.com", "/", "a+b"},
		{"4: not with tricot-global-lb", here, []providers.Instance{
			at("n1", "s1", "a", "tricot a.com", "tricot-global-lb"), at("n2", "s2", "b", "tricot a.com", "tricot-global-lb"),
		}, "a.com", "/", "a+b"},
		{"4: an unknown node is nobody's", Location{Site: "s1"}, []providers.Instance{
			at("", "s1", "a", "tricot a.com"), at("n1", "s1", "b", "tricot a.com"),
		}, "a.com", "/", "a+b"},

		{"5: the same site comes before others", here, []providers.Instance{
			at("n3", "s2", "other", "tricot a.com"), at("n2", "s1", "same", "tricot a.com"),
		}, "a.com", "/", "same>other"},
		{"5: the same site with tricot-site-lb", here, []providers.Instance{
			at("n3", "s2", "other", "tricot a.com", "tricot-site-lb"), at("n2", "s1", "same", "tricot a.com", "tricot-site-lb"),
		}, "a.com", "/", "same>other"},
		{"5: node and site, site, the rest", here, []providers.Instance{
			at("n3", "s2", "rest", "tricot a.com"), at("n2", "s1", "site", "tricot a.com"), at("n1", "s1", "node", "tricot a.com"),
		}, "a.com", "/", "node>site>rest"},
		{"5: tricot-site-lb where no site is known is tricot-global-lb", Location{Node: "n1"}, []providers.Instance{
			at("n1", "", "a", "tricot a.com", "tricot-site-lb"), at("n2", "s1", "b", "tricot a.com", "tricot-site-lb"),
		}, "a.com", "/", "a+b"},
		{"4, 5: the balance is each service's own", here, []providers.Instance{
			at("n1", "s1", "global", "tricot a.com", "tricot-global-lb"), at("n1", "s1", "site", "tricot a.com", "tricot-site-lb"),
			at("n1", "s1", "nearest", "tricot a.com"), at("n2", "s2", "far", "tricot a.com"),
		}, "a.com", "/", "nearest>site>far+global"},

		{"6: what is left is one tier, in the order of service and ID", here, []providers.Instance{
			at("n4", "s2", "d", "tricot a.com"), at("n2", "s2", "b", "tricot a.com"),
			at("n3", "s2", "c", "tricot a.com"), at("n5", "", "a", "tricot a.com"),
		}, "a.com", "/", "a+b+c+d"},
		{"6: a backend has one turn however often its tags say so", here, []providers.Instance{
			instance("a", "tricot a.com", "tricot a.com 100", "tricot a.com"), instance("b", "tricot a.com"),
		}, "a.com", "/", "a+b"},

		{"only those take part that can serve now", here, []providers.Instance{
			sick(instance("a", "tricot a.com")), instance("b", "tricot a.com"),
		}, "a.com", "/", "b"},
		{"a tier that has nobody left is not there", here, []providers.Instance{
			sick(at("n1", "s1", "a", "tricot a.com")), at("n2", "s2", "b", "tricot a.com"),
		}, "a.com", "/", "b"},
		{"where the best group has nobody left the next one serves", here, []providers.Instance{
			sick(instance("a", "tricot a.com/api")), sick(instance("b", "tricot a.com 200")),
			instance("c", "tricot a.com"), instance("d", "tricot * 1"),
		}, "a.com", "/api", "c | d"},
		{"an exact host that has nobody left gives way to a wildcard", here, []providers.Instance{
			sick(instance("a", "tricot x.a.com")), instance("b", "tricot *.a.com"),
		}, "x.a.com", "/", "b"},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			assert.Equal(t, c.want, chain(compile(t, c.here, c.instances...), c.host, c.path))
			slices.Reverse(c.instances)
			assert.Equal(t, c.want, chain(compile(t, c.here, c.instances...), c.host, c.path), "in reverse order")
		})
	}
}

func TestFind_GivesTheBestRouteWithoutTiersWhenNobodyCanServe(t *testing.T) {
	table := compile(t, Location{},
		sick(instance("a", "tricot x.a.com")), sick(instance("b", "tricot *.a.com/api")), sick(instance("c", "tricot * 1")))

	route := table.Find("x.a.com", "/api")
	require.NotNil(t, route)
	assert.Equal(t, "*.a.com", route.Host)
	assert.Equal(t, "/api", route.Path)
	assert.Empty(t, route.Tiers)
	assert.Nil(t, route.Next("x.a.com", "/api"))
}

func TestFind_GivesNilWhenNoRuleMatches(t *testing.T) {
	table := compile(t, Location{}, instance("a", "tricot a.com/api"), instance("b", "tricot *.b.com"))
	for host, path := range map[string]string{"a.com": "/", "b.com": "/", "c.com": "/", "x.a.com": "/api", "com": "/"} {
		assert.Nil(t, table.Find(host, path), "%s%s", host, path)
	}
	assert.Nil(t, compile(t, Location{}).Find("a.com", "/"))
}

func TestFind_TellsWhatTheRuleSays(t *testing.T) {
	table := compile(t, Location{}, instance("a", "tricot *.A.com/Api 7"))
	route := table.Find("x.a.com", "/Api/x")
	require.NotNil(t, route)
	assert.Equal(t, "*.a.com", route.Host)
	assert.Equal(t, "/Api", route.Path)
	assert.Equal(t, 7, route.Priority)
	assert.Same(t, table, route.Table)
}

func TestNext_GoesOnFromARouteOfAnOlderTable(t *testing.T) {
	older := compile(t, Location{}, instance("a", "tricot a.com/x"), instance("b", "tricot a.com"), instance("c", "tricot *"))
	newer := compile(t, Location{}, instance("a", "tricot a.com/x"), instance("d", "tricot a.com/"), instance("c", "tricot *"))

	b := older.Find("a.com", "/x").Next("a.com", "/x")
	require.Equal(t, "b", b.Tiers[0].Backends[0].ID)
	c := newer.Next(b, "a.com", "/x")
	require.NotNil(t, c)
	assert.Equal(t, "c", c.Tiers[0].Backends[0].ID, "what comes before the older route is not tried again")
}

func TestHosts_AreThoseOfAllRulesSortedAndOnce(t *testing.T) {
	table := compile(t, Location{},
		instance("a", "tricot b.com", "tricot B.com/api 3", "tricot *.c.com"), sick(instance("b", "tricot-https a.com")),
		instance("c", "tricot *", "tricot b.com"))
	assert.Equal(t, []string{"*", "*.c.com", "a.com", "b.com"}, table.Hosts())
	assert.Empty(t, compile(t, Location{}).Hosts())
}

func TestAsk_IsTheURLOfAWildcardsFirstRuleThatHasOne(t *testing.T) {
	table := compile(t, Location{},
		instance("a", "tricot *.a.com", "tricot a.com", "tricot-on-demand-tls-ask http://a/"),
		instance("b", "tricot *.a.com", "tricot *.b.com 7"),
		sick(instance("c", "tricot *.b.com 1", "tricot-on-demand-tls-ask http://c/?x=y")),
		instance("d", "tricot *.a.com 200", "tricot-on-demand-tls-ask http://d/"))
	assert.Equal(t, "http://d/", table.Ask("*.a.com"), "the higher priority")
	assert.Equal(t, "http://c/?x=y", table.Ask("*.b.com"), "the only one, though its instance cannot serve now")
	assert.Empty(t, table.Ask("a.com"), "no wildcard")
	assert.Empty(t, table.Ask("*.c.com"))
	for _, r := range table.Rules() {
		assert.Equal(t, r.Host != "a.com" && r.Backend.ID != "b", r.Ask != "", "%v", r)
	}
}

func TestRules_AreAllRulesInTheOrderOfHostsAndOfEachRequest(t *testing.T) {
	table := compile(t, Location{},
		instance("b", "tricot b.com"), instance("a", "tricot b.com", "tricot b.com/x", "tricot b.com"),
		sick(instance("c", "tricot-https a.com", "tricot b.com 200", "tricot-global-lb")))

	var lines []string
	for _, r := range table.Rules() {
		line := []string{r.Host + r.Path, r.Backend.String(), r.Backend.ID, balance(r.Balance)}
		if !r.Healthy {
			line = append(line, "sick")
		}
		lines = append(lines, strings.Join(line, " "))
	}
	assert.Equal(t, []string{
		"a.com https://10.0.0.1:80 c global sick",
		"b.com http://10.0.0.1:80 c global sick",
		"b.com/x http://10.0.0.1:80 a nearest",
		"b.com http://10.0.0.1:80 a nearest",
		"b.com http://10.0.0.1:80 b nearest",
	}, lines)
}

func TestFind_AllocatesNothing(t *testing.T) {
	deep := strings.Repeat("x.", 120) + "a.com"
	table := compile(t, Location{}, instance("a",
		"tricot a.com", "tricot a.com/api", "tricot x.a.com", "tricot *.a.com/b", "tricot *-1.a.com", "tricot *.com/c",
		"tricot *.x.x.a.com", "tricot *x.x.x.x.a.com", "tricot * 1"), sick(instance("b", "tricot */sick 200")))
	var found *pipeline.Route
	for _, host := range []string{"a.com", "x.a.com", "app-1.a.com", "none.org", deep, "[::1]"} {
		for _, path := range []string{"/", "/api", "/b", "/c", "/sick", "*"} {
			assert.Zero(t, testing.AllocsPerRun(10, func() {
				for found = table.Find(host, path); found != nil; found = found.Next(host, path) {
				}
			}), "%s%s", host, path)
		}
	}
}
