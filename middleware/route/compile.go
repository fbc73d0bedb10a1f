package route

import (
	"slices"
	"strings"

	"github.com/tricot-proxy/tricot/pipeline"
	"github.com/tricot-proxy/tricot/providers"
)

// Compile makes the table of a snapshot for a Tricot that runs here, and says which tags are malformed, in the order of
// the snapshot; the others are in force. The order of the snapshot makes no other difference. Previous is the table
// that the new one follows, nil where there is none: what is the same in both keeps its [pipeline.Backend], its
// health and its place in the round robin. It keeps no hold on instances, but for their texts, nor on previous.
func Compile(instances []providers.Instance, here Location, previous *Table) (*Table, []Problem) {
	if previous == nil {
		previous = &Table{}
	}
	c := compiler{table: previous}
	return c.compile(instances, here)
}

// A compiler makes one table after the other, each from the one before: only the hosts of instances that have changed are
// compiled. One goroutine at a time may use it.
type compiler struct {
	// through is the table by which routes find those after them; nil: their own.
	through pipeline.Table

	table *Table // the last one
	here  Location
	// instances are those of the last table, sources what each of them says; nil where there are none to go on from.
	instances []providers.Instance
	sources   []*source

	pace pace
}

// compile makes the next table. It keeps the instances. It takes some time where much has changed, and lets other goroutines
// run every now and then: requests do not wait until the scheduler takes the processor away from it.
func (c *compiler) compile(instances []providers.Instance, here Location) (*Table, []Problem) {
	c.pace = pace{}
	partly := c.sources != nil && c.here == here
	sources, added, dropped, backends := c.read(instances)
	if !partly {
		added = sources
	}
	next := &Table{backends: backends}
	through := c.through
	if through == nil {
		through = next
	}

	var drafts map[string][]*Rule
	if partly {
		drafts = c.touched(added, dropped)
	} else {
		drafts = c.drafted(added)
	}
	changes := c.changes(drafts, here, through)
	if partly {
		next.follow(c.table, changes, &c.pace)
	} else {
		next.build(changes, &c.pace)
	}
	next.list = listed(next.hosts)
	c.table, c.here, c.instances, c.sources = next, here, instances, sources

	var problems []Problem
	for _, s := range sources {
		problems = append(problems, s.problems...)
		c.pace.step(light)
	}
	return next, problems
}

// read gives the sources of instances: those that it has already, and the added ones; and those that are dropped.
func (c *compiler) read(instances []providers.Instance) (sources, added, dropped []*source, known backends) {
	var register *register
	if c.sources == nil {
		register = c.table.backends.register()
	} else {
		register = c.table.backends.revise()
	}
	sources = make([]*source, len(instances))
	kept := make([]bool, len(c.sources))
	for i, was := range match(instances, c.instances, &c.pace) {
		if was >= 0 {
			sources[i], kept[was] = c.sources[was], true
			continue
		}
		sources[i] = read(&instances[i], register)
		added = append(added, sources[i])
		c.pace.step(heavy)
	}
	for i, s := range c.sources {
		if !kept[i] {
			s.drop(register)
			dropped = append(dropped, s)
			c.pace.step(heavy)
		}
	}
	return sources, added, dropped, register.backends()
}

// touched gives the rules that hosts have after sources were added and dropped, for those hosts to which that makes a
// difference.
func (c *compiler) touched(added, dropped []*source) map[string][]*Rule {
	drafts := c.drafted(added)
	gone := map[*Rule]bool{}
	for _, s := range dropped {
		for i := range s.rules {
			gone[&s.rules[i]] = true
			if name := s.rules[i].Host; drafts[name] == nil {
				drafts[name] = nil // it is touched
			}
		}
	}
	for name := range drafts {
		h := c.table.host(name)
		if h == nil {
			continue
		}
		for _, rule := range h.rules {
			if !gone[rule] {
				drafts[name] = append(drafts[name], rule)
			}
			c.pace.step(fair)
		}
	}
	return drafts
}

// drafted gathers the rules of each host.
func (c *compiler) drafted(sources []*source) map[string][]*Rule {
	drafts := map[string][]*Rule{}
	for _, s := range sources {
		for i := range s.rules {
			rule := &s.rules[i]
			drafts[rule.Host] = append(drafts[rule.Host], rule)
			c.pace.step(fair)
		}
	}
	return drafts
}

// changes compiles hosts, and gives them sorted.
func (c *compiler) changes(drafts map[string][]*Rule, here Location, through pipeline.Table) []change {
	changes := make([]change, 0, len(drafts))
	for name := range drafts {
		changes = append(changes, change{name: name})
		c.pace.step(light)
	}
	slices.SortFunc(changes, func(a, b change) int {
		c.pace.step(light)
		return strings.Compare(a.name, b.name)
	})
	hosts := c.table.hosts
	for i := range changes {
		change := &changes[i]
		if hosts = from(hosts, change.name); len(hosts) > 0 && hosts[0].name == change.name {
			change.was = hosts[0]
		}
		if rules := drafts[change.name]; len(rules) > 0 {
			slices.SortFunc(rules, compareRules)
			change.to = newHost(rules, here, change.was, through)
		}
		c.pace.step(heavy)
	}
	return changes
}

// build makes a table of all its hosts.
func (t *Table) build(changes []change, pace *pace) {
	t.hosts = make([]*host, len(changes))
	for i := range changes {
		t.hosts[i] = changes[i].to
	}
	t.names = namesOf(t.hosts, pace)
	t.wildcards(pace)
	t.exact = newShards(t.hosts, t.wild.above, pace)
}

// follow makes a table of the one before.
func (t *Table) follow(previous *Table, changes []change, pace *pace) {
	t.hosts, t.names, t.wild, t.asks = applyChanges(previous.hosts, changes), previous.names, previous.wild, previous.asks
	if slices.ContainsFunc(changes, func(c change) bool { return (c.to == nil) != (c.was == nil) }) {
		t.names = namesOf(t.hosts, pace)
	}
	renumbered := false
	if slices.ContainsFunc(changes, func(c change) bool { return isWildcard(c.name) }) {
		t.wildcards(pace)
		renumbered = !t.wild.numberAs(&previous.wild)
	}
	if renumbered || !previous.exact.fit(len(t.hosts)) {
		t.exact = newShards(t.hosts, t.wild.above, pace)
	} else {
		t.exact = previous.exact.revise(changes, t.wild.above, pace)
	}
}

// wildcards puts those of all hosts into layers.
func (t *Table) wildcards(pace *pace) {
	var all []*host
	t.asks = map[string]string{}
	for _, h := range t.hosts {
		pace.step(light)
		if !h.wildcard {
			continue
		}
		all = append(all, h)
		if i := slices.IndexFunc(h.rules, func(r *Rule) bool { return r.Ask != "" }); i >= 0 {
			t.asks[h.name] = h.rules[i].Ask
		}
	}
	t.wild = layersOf(all)
}

func namesOf(hosts []*host, pace *pace) []string {
	if len(hosts) == 0 {
		return nil
	}
	names := make([]string, len(hosts))
	for i, h := range hosts {
		names[i] = h.name
		pace.step(light)
	}
	return names
}
