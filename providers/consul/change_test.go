package consul_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/providers"
	"github.com/tricot-proxy/tricot/providers/consul"
)

func TestRun_PublishesTheTaggedServicesAsTheCatalogHasThem(t *testing.T) {
	t.Parallel()
	agent, name := shared.Agent(t), unique()
	north := newPlace(t, agent.Client(), map[string]string{"site": "north"})
	south := newPlace(t, agent.Client(), nil)
	north.register(&api.AgentService{
		ID: name + "-1", Service: name, Address: "192.0.2.7", Port: 3000,
		Tags: []string{"tricot example.com/api 200", "tricot-add-header X-By web", "v2"},
	}, check(name+"-ok", "passing"))
	south.register(&api.AgentService{ID: name + "-1", Service: name, Port: 3001, Tags: []string{" tricot-https example.com"}},
		check(name+"-ok", "critical"))
	south.register(&api.AgentService{ID: name + "-2", Service: name, Address: "2001:db8::7", Port: 3002, Tags: []string{"tricot *"}})
	south.register(&api.AgentService{ID: name + "-3", Service: name, Address: "web.internal", Port: 3003, Tags: []string{"tricot *"}})
	south.register(&api.AgentService{ID: name + "-4", Service: name, Port: 3004, Tags: []string{"v2", "tricotage"}})
	south.register(&api.AgentService{ID: name + "-untagged", Service: name + "-untagged", Port: 3005})

	got := follow(t, consul.Options{Client: agent.Client(), AllowStale: true}).until(t, name, number(4))
	want := []providers.Instance{
		{ID: south.node + "/" + name + "-1", Address: "10.1.2.3", Port: 3001, Node: south.node, Tags: []string{" tricot-https example.com"}},
		{ID: south.node + "/" + name + "-2", Address: "2001:db8::7", Port: 3002, Node: south.node, Tags: []string{"tricot *"}, Healthy: true},
		{ID: south.node + "/" + name + "-3", Address: "web.internal", Port: 3003, Node: south.node, Tags: []string{"tricot *"}, Healthy: true},
		{
			ID: north.node + "/" + name + "-1", Address: "192.0.2.7", Port: 3000, Node: north.node, Site: "north",
			Tags: []string{"tricot example.com/api 200", "tricot-add-header X-By web", "v2"}, Healthy: true,
		},
	}
	for i := range want {
		want[i].Service = name
	}
	assert.ElementsMatch(t, want, got)
}

func TestRun_FollowsEachKindOfChange(t *testing.T) {
	t.Parallel()
	agent := shared.Agent(t)
	f := follow(t, consul.Options{Client: agent.Client(), AllowStale: true})
	one := func(is func(providers.Instance) bool) func([]providers.Instance) bool {
		return func(i []providers.Instance) bool { return len(i) == 1 && is(i[0]) }
	}
	is := func(want bool) func([]providers.Instance) bool {
		return one(func(i providers.Instance) bool { return i.Healthy == want })
	}
	for _, kind := range []struct {
		name   string
		change func(p *place, name string)
		then   func([]providers.Instance) bool
		back   func(p *place, name string) // to what it was; nil: registered again
	}{
		{
			name:   "deregistration",
			change: func(p *place, name string) { p.deregister(name) },
			then:   number(0),
		}, {
			name:   "second instance",
			change: func(p *place, name string) { s := web(name); s.ID += "-2"; p.register(s) },
			then:   number(2),
			back:   func(p *place, name string) { p.deregister(name + "-2") },
		}, {
			name:   "check critical",
			change: func(p *place, name string) { p.register(web(name), check(name+"-check", "critical")) },
			then:   is(false),
			back:   func(p *place, name string) { p.register(web(name), check(name+"-check", "passing")) },
		}, {
			name:   "check warning",
			change: func(p *place, name string) { p.register(web(name), check(name+"-check", "warning")) },
			then:   is(false),
			back:   func(p *place, name string) { p.register(web(name), check(name+"-check", "passing")) },
		}, {
			name:   "check of the node critical",
			change: func(p *place, _ string) { p.register(nil, check("node-check", "critical")) },
			then:   is(false),
			back:   func(p *place, _ string) { p.register(nil, check("node-check", "passing")) },
		}, {
			name:   "maintenance of the service",
			change: func(p *place, name string) { p.register(web(name), check("_service_maintenance:"+name, "critical")) },
			then:   is(false),
			back: func(p *place, name string) {
				_, err := p.client.Catalog().Deregister(&api.CatalogDeregistration{Node: p.node, CheckID: "_service_maintenance:" + name}, nil)
				require.NoError(p.t, err)
			},
		}, {
			name:   "tag edited",
			change: func(p *place, name string) { p.register(web(name, "tricot other.example.com 7")) },
			then:   one(func(i providers.Instance) bool { return i.Tags[0] == "tricot other.example.com 7" }),
		}, {
			name:   "tags lost",
			change: func(p *place, name string) { p.register(web(name, "v2")) },
			then:   number(0),
		}, {
			name:   "address of the service",
			change: func(p *place, name string) { s := web(name); s.Address = "::1"; p.register(s) },
			then:   one(func(i providers.Instance) bool { return i.Address == "::1" }),
		}, {
			name: "address of the node",
			change: func(p *place, _ string) {
				_, err := p.client.Catalog().Register(&api.CatalogRegistration{Node: p.node, Address: "10.9.9.9"}, nil)
				require.NoError(p.t, err)
			},
			then: one(func(i providers.Instance) bool { return i.Address == "10.9.9.9" }),
		}, {
			name:   "port",
			change: func(p *place, name string) { s := web(name); s.Port = 9; p.register(s) },
			then:   one(func(i providers.Instance) bool { return i.Port == 9 }),
		}, {
			name:   "site of the node",
			change: func(p *place, _ string) { p.meta = map[string]string{"site": "south"}; p.register(nil) },
			then:   one(func(i providers.Instance) bool { return i.Site == "south" }),
			back:   func(p *place, _ string) { p.meta = nil; p.register(nil) },
		}, {
			name: "node gone",
			change: func(p *place, _ string) {
				_, err := p.client.Catalog().Deregister(&api.CatalogDeregistration{Node: p.node}, nil)
				require.NoError(p.t, err)
			},
			then: number(0),
		},
	} {
		t.Run(kind.name, func(t *testing.T) {
			p, name := newPlace(t, agent.Client(), nil), unique()
			before := one(func(i providers.Instance) bool {
				return i.Healthy && i.Port == 8080 && i.Address == "10.1.2.3" && i.Site == "" && i.Tags[0] == web(name).Tags[0]
			})
			p.register(web(name))
			f.until(t, name, before)
			kind.change(p, name)
			f.until(t, name, kind.then)
			if kind.back == nil {
				kind.back = func(p *place, name string) { p.register(web(name)) }
			}
			kind.back(p, name)
			f.until(t, name, before)
		})
	}
}

// What an agent does itself goes another way into the catalog than what is written there.
func TestRun_FollowsWhatAnAgentDoes(t *testing.T) {
	t.Parallel()
	agent, name := shared.Agent(t), unique()
	services := agent.Client().Agent()
	f := follow(t, consul.Options{Client: agent.Client(), AllowStale: true})
	require.NoError(t, services.ServiceRegister(&api.AgentServiceRegistration{
		Name: name, Port: 80, Tags: []string{"tricot example.com"}, EnableTagOverride: true,
		Check: &api.AgentServiceCheck{CheckID: name, TTL: "1h"},
	}))
	t.Cleanup(func() { _ = services.ServiceDeregister(name) })
	f.until(t, name, number(1))
	require.NoError(t, services.UpdateTTL(name, "", "pass"))
	got := f.until(t, name, healthy(1))
	assert.Equal(t, "127.0.0.1", got[0].Address, "the node's")

	require.NoError(t, services.EnableNodeMaintenance("test"))
	f.until(t, name, healthy(0))
	require.NoError(t, services.DisableNodeMaintenance())
	f.until(t, name, healthy(1))
	require.NoError(t, services.EnableServiceMaintenance(name, "test"))
	f.until(t, name, healthy(0))
	require.NoError(t, services.DisableServiceMaintenance(name))
	f.until(t, name, healthy(1))
	require.NoError(t, services.UpdateTTL(name, "", "fail"))
	f.until(t, name, healthy(0))

	// With EnableTagOverride somebody else may edit the tags in the catalog.
	_, err := agent.Client().Catalog().Register(&api.CatalogRegistration{
		Node: agent.NodeName, Address: "127.0.0.1", SkipNodeUpdate: true,
		Service: &api.AgentService{ID: name, Service: name, Port: 80, Tags: []string{"v3"}, EnableTagOverride: true},
	}, nil)
	require.NoError(t, err)
	f.until(t, name, number(0))
}

func TestRun_LeavesOutSidecarProxiesThatInheritTheTags(t *testing.T) {
	t.Parallel()
	agent, name := shared.Agent(t), unique()
	p := newPlace(t, agent.Client(), nil)
	sidecar := web(name + "-sidecar-proxy")
	sidecar.Kind = api.ServiceKindConnectProxy
	sidecar.Proxy = &api.AgentServiceConnectProxyConfig{DestinationServiceName: name}
	p.register(sidecar)
	p.register(web(name))
	got := follow(t, consul.Options{Client: agent.Client()}).until(t, name, func(i []providers.Instance) bool { return len(i) > 0 })
	require.Len(t, got, 1)
	assert.Equal(t, name, got[0].Service)
}

func TestRun_TakesNamesOfEveryForm(t *testing.T) {
	t.Parallel()
	agent, name := shared.Agent(t), unique()
	p := newPlace(t, agent.Client(), nil)
	names := []string{name + " space", name + "/slash", name + "?a=b#c", name + "%41", name + "é", name + "-case", name + "-CASE"}
	id := func(name string) string { return fmt.Sprint("id-", slices.Index(names, name)) } // they are not case-sensitive
	service := func(name string) *api.AgentService { s := web(name); s.ID = id(name); return s }
	for _, name := range names {
		p.register(service(name))
	}
	f := follow(t, consul.Options{Client: agent.Client(), AllowStale: true})
	var got []string
	for _, i := range f.until(t, name, number(len(names))) {
		got = append(got, i.Service)
		assert.Equal(t, p.node+"/"+id(i.Service), i.ID)
	}
	assert.ElementsMatch(t, names, got)
	for _, name := range names {
		p.register(service(name), check(id(name), "critical"))
	}
	f.until(t, name, healthy(0))
}

// An id is unique at every moment, also where an instance goes over to another service.
func TestRun_HasEachInstanceOnceWhenItChangesItsService(t *testing.T) {
	t.Parallel()
	agent, name := shared.Agent(t), unique()
	p := newPlace(t, agent.Client(), nil)
	s := web(name)
	p.register(s)
	f := follow(t, consul.Options{Client: agent.Client(), AllowStale: true})
	f.until(t, name, number(1))
	for i := range 10 {
		s.Service = fmt.Sprint(name, "-", i)
		p.register(s)
		f.until(t, s.Service, number(1))
	}
	f.until(t, name, number(1))
	for _, snapshot := range f.all() {
		assert.LessOrEqual(t, len(of(snapshot, name)), 1)
	}
}

func TestRun_ReportsAnInstanceWithoutAPortOnceAndLeavesItOut(t *testing.T) {
	t.Parallel()
	agent, name := shared.Agent(t), unique()
	p := newPlace(t, agent.Client(), nil)
	f := follow(t, consul.Options{Client: agent.Client()})
	without := web(name)
	without.Port = 0
	with := web(name)
	with.ID += "-2"
	p.register(without)
	p.register(with)
	f.until(t, name, number(1))
	f.log.until(t, "level=WARN", name, "expected a port")

	for range 3 {
		with.Port++
		p.register(with)
		f.until(t, name, func(i []providers.Instance) bool { return len(i) == 1 && i[0].Port == with.Port })
	}
	assert.Len(t, f.log.lines(name, "expected a port"), 1)

	without.Port = 80
	p.register(without)
	f.until(t, name, number(2))
	without.Port = 0
	p.register(without)
	f.until(t, name, number(1))
	assert.Len(t, f.log.lines(name, "expected a port"), 2, "it had been mended")
}
