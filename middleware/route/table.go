package route

import (
	"slices"
	"strings"

	"github.com/tricot-proxy/tricot/pipeline"
)

// A Table is all rules of a snapshot, compiled for look-up. It is immutable, and may be used by many goroutines at
// once. [Compile] makes it.
//
// Priority and path count for more than the kind of host does, so a wildcard's rule can come before an exact host's.
// Each exact host has a layer with its own groups, and wildcards share one where they end in the same labels; the
// groups that may match a request are in one chain of layers, from the host's own up to the layer of "*". As each
// layer is sorted, the best group of all is the best one among each layer's first.
type Table struct {
	// exact has the layers of hosts, wild those of wildcards by their suffix.
	exact, wild layers

	rules    []Rule
	hosts    []string
	asks     map[string]string
	backends backends
	healths  healths
	turns    turns
}

// Find gives the best route for a canonical host, as [pipeline.Host] gives it, and a path as the client sent it,
// without the query. It is nil where no rule matches. Where rules match and no backend of theirs can serve now, it is
// the best one of them, without tiers.
//
// It allocates nothing.
func (t *Table) Find(host, path string) *pipeline.Route {
	first := t.layer(host)
	var best *group
	for l := first; l != nil; l = l.parent {
		best = better(l.groups[:l.live], host, path, nil, best)
	}
	if best == nil {
		for l := first; l != nil; l = l.parent {
			best = better(l.groups[l.live:], host, path, nil, best)
		}
	}
	if best == nil {
		return nil
	}
	return best.route
}

// Next gives the best route after the given one that has a backend which can serve, nil where there is none, for the
// same host and path as [Table.Find] got. The given route may be another table's: what counts is its place in the
// order, so that a request which goes on in a newer table never gets the same group twice.
func (t *Table) Next(after *pipeline.Route, host, path string) *pipeline.Route {
	from := newGroup(after)
	var best *group
	for l := t.layer(host); l != nil; l = l.parent {
		best = better(l.groups[:l.live], host, path, &from, best)
	}
	if best == nil {
		return nil
	}
	return best.route
}

// layer gives the first layer of a host's chain, nil where it has none.
func (t *Table) layer(host string) *layer {
	if own := t.exact.find(host); own != nil {
		return own
	}
	return t.above(host)
}

// above gives the layer of the longest suffix of a name that wildcards have, nil where there is none. The name itself
// is not a suffix: "*.example.com" does not match "example.com".
func (t *Table) above(name string) *layer {
	for name != "" {
		_, name, _ = strings.Cut(name, ".")
		if l := t.wild.find(name); l != nil {
			return l
		}
	}
	return nil
}

// Hosts gives the hosts of all rules in canonical form, sorted, each once: wildcards too, and those of instances that
// cannot serve now. The caller must not change it.
func (t *Table) Hosts() []string { return t.hosts }

// Ask gives the URL that is asked whether a name of a wildcard, one of Hosts, may have a certificate. Where rules of the
// wildcard have different ones, it is that of the first in the order in which they are considered. It is empty where there
// is none.
func (t *Table) Ask(host string) string { return t.asks[host] }

// Rules gives all rules with their backends: by host, those of a host in the order in which they are considered, those
// of a route by service, instance and address. The caller must not change it.
func (t *Table) Rules() []Rule { return t.rules }

// Names says whether a rule has this host, as it stands in the rule.
func (t *Table) Names(host string) bool {
	_, found := slices.BinarySearch(t.hosts, host)
	return found
}

// LeadsTo says whether a backend of a rule has this scheme and address, whether or not it can serve now.
func (t *Table) LeadsTo(scheme, address string) bool {
	_, found := t.healths[endpoint{scheme, address}]
	return found
}
