package route

import (
	"sync/atomic"

	"github.com/tricot-proxy/tricot/pipeline"
	"github.com/tricot-proxy/tricot/providers/tag"
)

// A Location is where this Tricot runs. An empty field is not known, and the same as no other.
type Location struct{ Node, Site string }

// nearness is how near a backend counts as, by points 4 and 5 of design.md, section 3. The greater it is, the earlier
// the backend's turn comes: the same node outweighs the same site.
type nearness int8

const (
	sameSite nearness = 1 << iota
	sameNode

	far     nearness = 0
	nearest          = sameNode | sameSite
)

func (here Location) nearness(rule Rule) nearness {
	near := far
	if here.Node != "" && here.Node == rule.Backend.Node && rule.Balance == tag.Nearest {
		near |= sameNode
	}
	if here.Site != "" && here.Site == rule.Backend.Site && rule.Balance != tag.Global {
		near |= sameSite
	}
	return near
}

// turns has the counter of each tier of a table.
type turns map[turn]*atomic.Uint64

// turn names a tier across tables.
type turn struct {
	host, path string
	priority   int
	near       nearness
}

// of gives a tier the counter that it had in the previous table, else a new one.
func (t turns) of(key turn, previous turns) *atomic.Uint64 {
	counter := previous[key]
	if counter == nil {
		// A cache line of its own: each request of a tier writes it, and two busy tiers must not slow each other down.
		counter = &new(struct {
			atomic.Uint64
			_ [56]byte
		}).Uint64
	}
	t[key] = counter
	return counter
}

// tiers arranges the backends of one route's rules, which are sorted, by how near they are. There are none where no
// instance can serve.
func tiers(rules []Rule, here Location, counters, previous turns) []pipeline.Tier {
	var found []pipeline.Tier
	for near := nearest; near >= far; near-- {
		var backends []*pipeline.Backend
		for _, rule := range rules {
			if !rule.Healthy || here.nearness(rule) != near {
				continue
			}
			// Two sources may give the same instance with different tags.
			if n := len(backends); n == 0 || backends[n-1] != rule.Backend {
				backends = append(backends, rule.Backend)
			}
		}
		if backends != nil {
			key := turn{host: rules[0].Host, path: rules[0].Path, priority: rules[0].Priority, near: near}
			found = append(found, pipeline.Tier{Backends: backends, Turn: counters.of(key, previous)})
		}
	}
	return found
}
