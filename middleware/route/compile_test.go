package route

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
	"github.com/tricot-proxy/tricot/providers"
)

// only gives the one backend of the one tier that serves a host.
func only(t *testing.T, table *Table, host string) *pipeline.Backend {
	t.Helper()
	route := table.Find(host, "/")
	require.NotNil(t, route)
	require.Len(t, route.Tiers, 1)
	require.Len(t, route.Tiers[0].Backends, 1)
	return route.Tiers[0].Backends[0]
}

func TestCompile_TellsAllAboutABackend(t *testing.T) {
	table := compile(t, Location{}, providers.Instance{
		ID: "web-1", Service: "web", Address: "10.0.0.1", Port: 8080, Node: "n1", Site: "s1", Healthy: true,
		Tags: []string{
			"tricot a.com", "tricot-https b.com", "tricot-h2c c.com", "urlprefix-a.com/",
			"tricot-add-header x-one 1", "tricot-add-header X-Two a  b", "tricot-add-header X-One 2", "tricot-add-header X-One 3",
		},
	})
	want := pipeline.Backend{
		Service: "web", ID: "web-1", Node: "n1", Site: "s1", Scheme: "http", Address: "10.0.0.1:8080",
		Headers: []pipeline.Header{{Name: "X-One", Values: []string{"1", "2", "3"}}, {Name: "X-Two", Values: []string{"a  b"}}},
	}
	for host, scheme := range map[string]string{"a.com": "http", "b.com": "https", "c.com": "h2c"} {
		want.Scheme, want.Health = scheme, new(pipeline.Health)
		assert.Equal(t, want, *only(t, table, host))
	}
	for _, h := range only(t, table, "a.com").Headers {
		assert.Equal(t, len(h.Values), cap(h.Values), "an append to %s must not reach other requests", h.Name)
	}
}

func TestCompile_JoinsAddressAndPortAsDialTakesThem(t *testing.T) {
	for address, want := range map[string]string{"10.0.0.1": "10.0.0.1:80", "::1": "[::1]:80", "web.internal": "web.internal:80"} {
		i := instance("a", "tricot a.com")
		i.Address = address
		assert.Equal(t, want, only(t, compile(t, Location{}, i), "a.com").Address)
	}
}

func TestCompile_ReportsMalformedTagsAndKeepsTheOthers(t *testing.T) {
	table, problems := Compile([]providers.Instance{
		{ID: "web-1", Service: "web", Address: "10.0.0.1", Port: 80, Node: "n1", Healthy: true,
			Tags: []string{"tricot", "tricot a.com", "tricot b.com high"}},
		{ID: "web-2", Service: "web", Address: "10.0.0.2", Port: 80, Tags: []string{"tricot-lb"}},
	}, Location{}, nil)

	assert.Equal(t, "web-1", only(t, table, "a.com").ID)
	require.Len(t, problems, 3)
	for i, want := range []Problem{
		{Service: "web", ID: "web-1", Node: "n1", Tag: "tricot"},
		{Service: "web", ID: "web-1", Node: "n1", Tag: "tricot b.com high"},
		{Service: "web", ID: "web-2", Tag: "tricot-lb"},
	} {
		assert.NotEmpty(t, problems[i].Reason)
		want.Reason = problems[i].Reason
		assert.Equal(t, want, problems[i])
	}
	assert.Equal(t, `tag "tricot" of service web (instance web-1 on node n1): `+problems[0].Reason, problems[0].Error())
	assert.Equal(t, `tag "tricot-lb" of service web (instance web-2): `+problems[2].Reason, problems[2].Error())
}

func TestCompile_KeepsABackendForAsLongAsNothingOfItChanges(t *testing.T) {
	before := at("n1", "s1", "a", "tricot a.com", "tricot-add-header X-One 1")
	previous := compile(t, Location{}, before)
	was := only(t, previous, "a.com")

	same := map[string]func(*providers.Instance){
		"rules":    func(i *providers.Instance) { i.Tags = append(i.Tags, "tricot a.com/api", "tricot b.com") },
		"priority": func(i *providers.Instance) { i.Tags[0] = "tricot a.com 7" },
		"balance":  func(i *providers.Instance) { i.Tags = append(i.Tags, "tricot-global-lb") },
	}
	other := map[string]func(*providers.Instance){
		"ID":      func(i *providers.Instance) { i.ID = "b" },
		"service": func(i *providers.Instance) { i.Service = "b" },
		"address": func(i *providers.Instance) { i.Address = "10.0.0.2" },
		"port":    func(i *providers.Instance) { i.Port = 81 },
		"node":    func(i *providers.Instance) { i.Node = "n2" },
		"site":    func(i *providers.Instance) { i.Site = "" },
		"scheme":  func(i *providers.Instance) { i.Tags[0] = "tricot-https a.com" },
		"header":  func(i *providers.Instance) { i.Tags[1] = "tricot-add-header X-One 2" },
		"headers": func(i *providers.Instance) { i.Tags = append(i.Tags, "tricot-add-header X-One 1") },
	}
	compileChanged := func(change func(*providers.Instance)) *pipeline.Backend {
		after := at("n1", "s1", "a", "tricot a.com", "tricot-add-header X-One 1")
		change(&after)
		table, _ := Compile([]providers.Instance{instance("new", "tricot new.com"), after}, Location{}, previous)
		return only(t, table, "a.com")
	}
	for name, change := range same {
		assert.Same(t, was, compileChanged(change), name)
	}
	for name, change := range other {
		assert.NotSame(t, was, compileChanged(change), name)
	}
}

func TestCompile_KeepsTheHealthOfAnAddressForAsLongAsATableHasIt(t *testing.T) {
	at := func(id string, port int, tags ...string) providers.Instance {
		i := instance(id, tags...)
		i.Port = port
		return i
	}
	previous := compile(t, Location{}, at("a", 80, "tricot a.com", "tricot-https b.com", "tricot-h2c c.com"), at("d", 81, "tricot d.com"))
	health := func(table *Table, host string) *pipeline.Health { return only(t, table, host).Health }
	was := health(previous, "a.com")
	require.NotNil(t, was)
	both := compile(t, Location{}, at("a", 80, "tricot a.com"), at("b", 80, "tricot b.com"))
	assert.Same(t, health(both, "a.com"), health(both, "b.com"), "two instances at one address")
	for _, host := range []string{"b.com", "c.com", "d.com"} {
		assert.NotSame(t, was, health(previous, host), host)
	}

	table, _ := Compile([]providers.Instance{
		at("new", 80, "tricot a.com", "tricot-add-header X-A 1"), at("newer", 80, "tricot x.com"), at("d", 82, "tricot d.com"),
		sick(at("e", 81, "tricot e.com")),
	}, Location{}, previous)
	assert.NotSame(t, only(t, previous, "a.com"), only(t, table, "a.com"))
	assert.Same(t, was, health(table, "a.com"), "another instance, the same address")
	assert.Same(t, was, health(table, "x.com"), "and one more there")
	assert.NotSame(t, health(previous, "d.com"), health(table, "d.com"), "another port")

	table, _ = Compile([]providers.Instance{at("d", 81, "tricot d.com")}, Location{}, table)
	assert.Same(t, health(previous, "d.com"), health(table, "d.com"), "nobody at the address was fit to serve in between")
	table, _ = Compile([]providers.Instance{at("a", 80, "tricot a.com")}, Location{}, table)
	assert.NotSame(t, was, health(table, "a.com"), "a table without the address came in between")
}

func TestCompile_UsesOneBackendForAllRulesOfAnInstance(t *testing.T) {
	table := compile(t, Location{}, instance("a", "tricot a.com", "tricot *.b.com"))
	assert.Same(t, only(t, table, "a.com"), only(t, table, "x.b.com"))
}

func TestCompile_KeepsTheTurnOfATierThroughOtherChanges(t *testing.T) {
	here := Location{Node: "n1", Site: "s1"}
	near, far := at("n1", "s1", "near", "tricot a.com"), at("n2", "s2", "far", "tricot a.com")
	previous := compile(t, here, near, far)
	was := previous.Find("a.com", "/").Tiers
	was[0].Turn.Add(5)

	instances := []providers.Instance{instance("b", "tricot a.com/b"), far, at("n1", "s1", "near2", "tricot a.com")}
	table, _ := Compile(instances, here, previous)
	is := table.Find("a.com", "/").Tiers
	require.Len(t, is, 2)
	assert.Same(t, was[0].Turn, is[0].Turn)
	assert.Same(t, was[1].Turn, is[1].Turn)
	assert.EqualValues(t, 5, is[0].Turn.Load())

	turn := func(here Location, tags ...string) any {
		table, _ := Compile([]providers.Instance{at("n1", "s1", "near", tags...)}, here, previous)
		return table.Find(table.Hosts()[0], "/").Tiers[0].Turn
	}
	assert.Same(t, was[0].Turn, turn(here, "tricot a.com"))
	assert.NotSame(t, was[0].Turn, turn(here, "tricot a.com 7"), "another priority")
	assert.NotSame(t, was[0].Turn, turn(here, "tricot a.com/"), "another path")
	assert.NotSame(t, was[0].Turn, turn(here, "tricot b.com"), "another host")
	assert.NotSame(t, was[0].Turn, turn(Location{Site: "s1"}, "tricot a.com"), "another nearness")
}
