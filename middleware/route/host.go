package route

import (
	"slices"
	"strings"
	"sync/atomic"

	"github.com/tricot-proxy/tricot/pipeline"
)

// A host is all rules of one host, compiled. It is immutable, and successive tables of a [Router] share it for as long as
// nothing about it changes.
type host struct {
	name     string
	wildcard bool
	// rules are sorted by compareRules. The same rule may be there more than once.
	rules []*Rule
	// routes has first those that are live, then the others, each as compareGroups orders them.
	routes []arranged
	live   int
}

// arranged is a route with room for what most routes have beside it, one tier with one backend.
type arranged struct {
	route   pipeline.Route
	tier    [1]pipeline.Tier
	backend [1]*pipeline.Backend
	// near is how near each tier is, by which the next table knows it again.
	near [tierKinds]nearness
}

// newHost compiles sorted rules, of which there is at least one. Previous is the host in the table before, nil where there
// is none: tiers that are in both keep their turn.
//
// A request that lasts for days, such as a WebSocket, holds on to its route, and with it to the routes of this host and
// their texts, which are in one string of their own; and to nothing else of the table.
func newHost(rules []*Rule, here Location, previous *host, through pipeline.Table) *host {
	name := rules[0].Host
	size, count := len(name), 0
	for rules := range runs(rules, sameRoute) {
		size += len(rules[0].Path)
		count++
	}
	var text strings.Builder
	text.Grow(size) // and so never moves
	add := func(s string) string {
		start := text.Len()
		text.WriteString(s)
		return text.String()[start:]
	}
	h := &host{name: add(name), wildcard: isWildcard(name), rules: rules, routes: make([]arranged, count)}
	// Sorted rules give sorted routes: what is left is to put those that are live first.
	next := 0
	for _, live := range []bool{true, false} {
		for rules := range runs(rules, sameRoute) {
			if isLive(rules) != live {
				continue
			}
			a := &h.routes[next]
			next++
			a.route = pipeline.Route{Host: h.name, Path: add(rules[0].Path), Priority: rules[0].Priority, Table: through}
			var before *arranged
			if previous != nil {
				before = previous.arranged(a.route.Priority, a.route.Path)
			}
			a.arrange(rules, here, before)
		}
		if live {
			h.live = next
		}
	}
	return h
}

func isLive(rules []*Rule) bool {
	for _, rule := range rules {
		if rule.Healthy {
			return true
		}
	}
	return false
}

// arranged gives the route of a priority and a path, nil where the host has none.
func (h *host) arranged(priority int, path string) *arranged {
	for _, routes := range [...][]arranged{h.routes[:h.live], h.routes[h.live:]} {
		at, found := slices.BinarySearchFunc(routes, path, func(a arranged, path string) int {
			return comparePlaces(a.route.Priority, a.route.Path, priority, path)
		})
		if found {
			return &routes[at]
		}
	}
	return nil
}

// turn gives the counter of a tier, nil where the route, which may be nil, has no such tier.
func (a *arranged) turn(near nearness) *atomic.Uint64 {
	if a == nil {
		return nil
	}
	for i := range a.route.Tiers {
		if a.near[i] == near {
			return a.route.Tiers[i].Turn
		}
	}
	return nil
}

// compareHosts orders hosts by their names.
func compareHosts(h *host, name string) int { return strings.Compare(h.name, name) }

// sameRules says whether two hosts have the same rules.
func (h *host) sameRules(as *host) bool {
	if h == as {
		return true
	}
	same := func(a, b *Rule) bool { return *a == *b }
	return slices.EqualFunc(slices.Collect(distinct(h.rules)), slices.Collect(distinct(as.rules)), same)
}
