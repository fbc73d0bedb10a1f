package route

import (
	"iter"
	"slices"
	"sync"

	"github.com/tricot-proxy/tricot/pipeline"
)

// A Table is all rules of a snapshot, compiled for look-up. It is immutable, and may be used by many goroutines at
// once. [Compile] makes it.
//
// Priority and path count for more than the kind of host does, so a wildcard's rule can come before an exact host's.
// The routes of an exact host are found in one look-up, and wildcards share a layer where they end in the same labels;
// the routes that may match a request are the host's own and those in one chain of layers, up to the layer of "*". As
// each of these lists is sorted, the best route of all is the best one among each list's first.
type Table struct {
	hosts []*host // sorted
	names []string

	// What Find reads.
	exact shards
	wild  layers

	asks     map[string]string
	backends backends
	list     func() []Rule
}

// Find gives the best route for a canonical host, as [pipeline.Host] gives it, and a path as the client sent it,
// without the query. It is nil where no rule matches. Where rules match and no backend of theirs can serve now, it is
// the best one of them, without tiers.
//
// It allocates nothing.
func (t *Table) Find(host, path string) *pipeline.Route {
	in, at := t.exact.find(host)
	var parent uint32
	if at != nil {
		parent = at.parent
	} else {
		parent = t.wild.above(host)
	}
	for _, live := range [...]bool{true, false} {
		var own group
		var best *group
		if at != nil {
			if own = in.best(at, live, path); own.route != nil {
				best = &own
			}
		}
		for l := t.wild.numbered(parent); l != nil; l = t.wild.numbered(l.parent) {
			best = better(l.those(live), host, path, nil, best)
		}
		if best != nil {
			return best.route
		}
	}
	return nil
}

// Next gives the best route after the given one that has a backend which can serve, nil where there is none, for the
// same host and path as [Table.Find] got. The given route may be another table's: what counts is its place in the
// order, so that a request which goes on in a newer table never gets the same group twice.
func (t *Table) Next(after *pipeline.Route, host, path string) *pipeline.Route {
	from := newGroup(after)
	var own group
	var best *group
	if h := t.host(host); h != nil && !h.wildcard {
		for i := range h.routes[:h.live] {
			own = newGroup(&h.routes[i].route)
			if own.matches(host, path) && compareGroups(&own, &from) > 0 {
				best = &own
				break
			}
		}
	}
	for l := t.wild.numbered(t.wild.above(host)); l != nil; l = t.wild.numbered(l.parent) {
		best = better(l.those(true), host, path, &from, best)
	}
	if best == nil {
		return nil
	}
	return best.route
}

// host gives the one of a name, nil where it has no rule.
func (t *Table) host(name string) *host {
	at, found := slices.BinarySearchFunc(t.hosts, name, compareHosts)
	if !found {
		return nil
	}
	return t.hosts[at]
}

// Hosts gives the hosts of all rules in canonical form, sorted, each once: wildcards too, and those of instances that
// cannot serve now. The caller must not change it.
func (t *Table) Hosts() []string { return t.names }

// Ask gives the URL that is asked whether a name of a wildcard, one of Hosts, may have a certificate. Where rules of the
// wildcard have different ones, it is that of the first in the order in which they are considered. It is empty where there
// is none.
func (t *Table) Ask(host string) string { return t.asks[host] }

// Rules gives all rules with their backends: by host, those of a host in the order in which they are considered, those
// of a route by service, instance and address. The caller must not change it. It is made when it is asked for first.
func (t *Table) Rules() []Rule { return t.list() }

// Routes gives all routes with their rules, in the order of Rules. The caller must not change them.
func (t *Table) Routes() iter.Seq2[*pipeline.Route, []Rule] {
	return func(yield func(*pipeline.Route, []Rule) bool) {
		rest := t.Rules()
		for _, h := range t.hosts {
			for rules := range runs(h.rules, sameRoute) {
				n := 0
				for range distinct(rules) {
					n++
				}
				if !yield(&h.arranged(rules[0].Priority, rules[0].Path).route, rest[:n:n]) {
					return
				}
				rest = rest[n:]
			}
		}
	}
}

// listed gives the rules of all hosts once they are asked for.
func listed(hosts []*host) func() []Rule {
	return sync.OnceValue(func() []Rule {
		count := 0
		for _, h := range hosts {
			count += len(h.rules)
		}
		rules := slices.Grow([]Rule(nil), count)
		for _, h := range hosts {
			for rule := range distinct(h.rules) {
				rules = append(rules, *rule)
			}
		}
		return rules
	})
}

// Names says whether a rule has this host, as it stands in the rule.
func (t *Table) Names(host string) bool { return t.host(host) != nil }

// LeadsTo says whether a backend of a rule has this scheme and address, whether or not it can serve now.
func (t *Table) LeadsTo(scheme, address string) bool {
	return t.backends.healths.has(endpoint{scheme, address})
}
