package route

import (
	"slices"
	"strings"

	"github.com/tricot-proxy/tricot/pipeline"
	"github.com/tricot-proxy/tricot/providers"
	"github.com/tricot-proxy/tricot/providers/tag"
)

// Compile makes the table of a snapshot for a Tricot that runs here, and says which tags are malformed, in the order of
// the snapshot; the others are in force. The order of the snapshot makes no other difference. Previous is the table
// that the new one follows, nil where there is none: what is the same in both keeps its [pipeline.Backend], its
// health and its place in the round robin. It keeps no hold on instances, nor on previous.
func Compile(instances []providers.Instance, here Location, previous *Table) (*Table, []Problem) {
	return compileThrough(nil, instances, here, previous)
}

// compileThrough is Compile, where routes find those after them through another table than their own; nil: through their own.
func compileThrough(through pipeline.Table, instances []providers.Instance, here Location, previous *Table) (*Table, []Problem) {
	if previous == nil {
		previous = &Table{}
	}
	t := &Table{asks: map[string]string{}, backends: backends{}, healths: healths{}, turns: turns{}}
	if through == nil {
		through = t
	}
	problems := t.read(instances, previous)
	t.gather()
	t.build(here, previous.turns, through)
	return t, problems
}

// read collects the rules of all instances, sorted and each one once.
func (t *Table) read(instances []providers.Instance, previous *Table) []Problem {
	var problems []Problem
	for i := range instances {
		instance := &instances[i]
		config, errs := tag.Parse(instance.Tags)
		for _, err := range errs {
			problems = append(problems, Problem{
				Service: instance.Service, ID: instance.ID, Node: instance.Node,
				Tag: err.Tag, Reason: err.Reason,
			})
		}
		ask := strings.Clone(config.Ask)
		for _, rule := range config.Rules {
			t.rules = append(t.rules, Rule{
				Host: rule.Host, Path: rule.Path, Priority: rule.Priority,
				Balance: config.Balance,
				Ask:     onDemand(rule.Host, ask),
				Healthy: instance.Healthy,
				Backend: t.backend(instance, rule.Scheme, config.Headers, previous),
			})
		}
	}
	slices.SortStableFunc(t.rules, compareRules)
	t.rules = slices.Clip(slices.Compact(t.rules))
	return problems
}

// onDemand is the URL to ask about the names of a rule: only a wildcard has any that no rule names.
func onDemand(host, ask string) string {
	if !isWildcard(host) {
		return ""
	}
	return ask
}

// gather puts the text of all rules into one string, in the order of the rules: a host beside its paths, so that a
// request which looks at them waits for memory once; and the rules do not hold on to the tags.
func (t *Table) gather() {
	size := 0
	for rules := range runs(t.rules, sameHost) {
		size += len(rules[0].Host)
		for rules := range runs(rules, sameRoute) {
			size += len(rules[0].Path)
		}
	}
	var text strings.Builder
	text.Grow(size) // and so never moves
	add := func(s string) string {
		start := text.Len()
		text.WriteString(s)
		return text.String()[start:]
	}
	for rules := range runs(t.rules, sameHost) {
		host := add(rules[0].Host)
		t.hosts = append(t.hosts, host)
		if i := slices.IndexFunc(rules, func(r Rule) bool { return r.Ask != "" }); i >= 0 {
			t.asks[host] = rules[i].Ask
		}
		for rules := range runs(rules, sameRoute) {
			path := add(rules[0].Path)
			for i := range rules {
				rules[i].Host, rules[i].Path = host, path
			}
		}
	}
}

// build makes a route of all rules with the same host, path and priority, and puts the routes into layers. A route has
// texts of its own: a request that lasts for days, such as a WebSocket, holds on to its route, and must not hold on to
// the whole table with it.
func (t *Table) build(here Location, previous turns, through pipeline.Table) {
	wild := map[string][]group{}
	t.exact = newLayers(len(t.hosts))
	groups := make([]group, 0, len(t.rules)) // those of all exact hosts, side by side
	for rules := range runs(t.rules, sameHost) {
		host, start := rules[0].Host, len(groups)
		own := strings.Clone(host)
		for rules := range runs(rules, sameRoute) {
			g := newGroup(&pipeline.Route{
				Host: own, Path: strings.Clone(rules[0].Path), Priority: rules[0].Priority,
				Tiers: tiers(rules, here, t.turns, previous),
				Table: through,
			})
			g.path = rules[0].Path
			groups = append(groups, g)
		}
		hosts := groups[start:len(groups):len(groups)]
		if isWildcard(host) {
			wild[suffix(host)] = append(wild[suffix(host)], hosts...)
			groups = groups[:start]
		} else {
			t.exact.put(newLayer(host, hosts))
		}
	}
	t.wild = newLayers(len(wild))
	for labels, groups := range wild {
		t.wild.put(newLayer(labels, groups))
	}
	for l := range t.wild.every() {
		l.parent = t.above(l.name)
	}
	for l := range t.exact.every() {
		l.parent = t.above(l.name)
	}
}
