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

	far       nearness = 0
	nearest            = sameNode | sameSite
	tierKinds          = nearest + 1
)

func (here Location) nearness(rule *Rule) nearness {
	near := far
	if here.Node != "" && here.Node == rule.Backend.Node && rule.Balance == tag.Nearest {
		near |= sameNode
	}
	if here.Site != "" && here.Site == rule.Backend.Site && rule.Balance != tag.Global {
		near |= sameSite
	}
	return near
}

// arrange puts the backends of a route's rules, which are sorted, into tiers by how near they are. There are none where no
// instance can serve. Tiers that the same route had before, which may be nil, keep their turn.
func (a *arranged) arrange(rules []*Rule, here Location, before *arranged) {
	tiers := a.tier[:0:1]
	for near := nearest; near >= far; near-- {
		backends := a.backend[:0:1]
		if len(tiers) > 0 {
			backends = nil // the room is taken
		}
		for _, rule := range rules {
			if !rule.Healthy || here.nearness(rule) != near {
				continue
			}
			// Two sources may give the same instance with different tags.
			if n := len(backends); n == 0 || backends[n-1] != rule.Backend {
				backends = append(backends, rule.Backend)
			}
		}
		if len(backends) == 0 {
			continue
		}
		turn := before.turn(near)
		if turn == nil {
			turn = newTurn()
		}
		a.near[len(tiers)] = near
		tiers = append(tiers, pipeline.Tier{Backends: backends, Turn: turn})
	}
	if len(tiers) > 0 {
		a.route.Tiers = tiers
	}
}

// newTurn gives a counter that has a cache line of its own: each request of a tier writes it, and two busy tiers must not
// slow each other down.
func newTurn() *atomic.Uint64 {
	return &new(struct {
		atomic.Uint64
		_ [56]byte
	}).Uint64
}
