package route

import (
	"cmp"
	"strings"

	"github.com/tricot-proxy/tricot/pipeline"
)

// A group is a route, and what a request is compared with: a look-up reads no more of a route that does not match.
type group struct {
	path     string
	route    *pipeline.Route
	priority int
	// exactness is the wildcard's length, and more than any wildcard's for an exact host.
	exactness uint16
	// pattern says that the host has to be compared with the route's, since the layer does not say it all.
	pattern bool
}

// exact is the exactness of an exact host.
const exact = ^uint16(0)

func newGroup(route *pipeline.Route) group {
	g := group{path: route.Path, route: route, priority: route.Priority, exactness: exact}
	if isWildcard(route.Host) {
		g.exactness = uint16(len(route.Host))
		g.pattern = !isPlain(route.Host)
	}
	return g
}

// isLive says whether the group has a backend that can serve.
func (g *group) isLive() bool { return len(g.route.Tiers) > 0 }

func (g *group) matches(host, path string) bool {
	return strings.HasPrefix(path, g.path) && (!g.pattern || matches(g.route.Host, host))
}

// compareGroups says which of two groups that match a request is considered first: points 1 to 3 of design.md, section
// 3. Of two different wildcards that are equally long, the one whose text sorts first is; the section leaves that open,
// and it must not depend on the order of the snapshot.
//
// It looks at nothing but host, path and priority, so that groups of different tables compare as well.
func compareGroups(a, b *group) int {
	if a.priority != b.priority {
		return cmp.Compare(b.priority, a.priority)
	}
	if len(a.path) != len(b.path) {
		return cmp.Compare(len(b.path), len(a.path))
	}
	if a.exactness != b.exactness {
		return cmp.Compare(b.exactness, a.exactness)
	}
	// Two prefixes of one length never match the same path: that one only makes the order total.
	return cmp.Or(strings.Compare(a.path, b.path), strings.Compare(a.route.Host, b.route.Host))
}

// better gives the first of some sorted groups that matches a request and comes after the one given, unless the best one
// so far comes before it. Both may be nil.
func better(groups []group, host, path string, after, best *group) *group {
	for i := range groups {
		g := &groups[i]
		if best != nil && compareGroups(best, g) < 0 {
			return best
		}
		if g.matches(host, path) && (after == nil || compareGroups(g, after) > 0) {
			return g
		}
	}
	return best
}
