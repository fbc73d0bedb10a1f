package balance

import (
	"net/http"

	"github.com/tricot-proxy/tricot/pipeline"
)

// walk goes through the backends that may serve one request, in the order in which they are asked: all those that are
// not left out, and then those that were.
type walk struct {
	request *http.Request
	ejector *ejector
	first   *pipeline.Route

	route   *pipeline.Route
	tier    int  // of route
	turn    int  // of tier: where the round robin started
	asked   int  // how many of tier have been looked at
	leftOut bool // some were
	again   bool // and are asked now

	// tried lists what has been asked. It starts in few, so that only a long row of failures allocates.
	tried []*pipeline.Backend
	few   [4]*pipeline.Backend
	count int
}

func newWalk(r *http.Request, route *pipeline.Route, ejector *ejector) walk {
	return walk{request: r, ejector: ejector, first: route, route: route}
}

// next gives the backend to ask now; false where none is left. A tier's turn is counted when the walk enters it.
func (w *walk) next() (pick, bool) {
	for {
		for w.route != nil {
			for w.tier < len(w.route.Tiers) {
				tier := &w.route.Tiers[w.tier]
				n := len(tier.Backends)
				if w.asked == 0 && n > 0 {
					w.turn = w.enter(tier)
				}
				for w.asked < n {
					backend := tier.Backends[(w.turn+w.asked)%n]
					w.asked++
					if w.wasTried(backend) {
						continue
					}
					if picked, ok := w.pick(backend); ok {
						w.try(backend)
						return picked, true
					}
				}
				w.tier++
				w.asked = 0
			}
			w.route = w.after(w.route)
			w.tier = 0
		}
		if w.again || !w.leftOut {
			return pick{}, false
		}
		w.again, w.route = true, w.first
	}
}

// enter takes a turn of a tier, and gives the backend to begin with.
func (w *walk) enter(tier *pipeline.Tier) int {
	n := uint64(len(tier.Backends))
	if w.again {
		return int((tier.Turn.Load() - 1) % n) // the turn was taken when the walk came here first
	}
	turn := tier.Turn.Add(1) - 1
	begin := int(turn % n)
	if w.ejector.leavesOut(tier.Backends[begin].Health.Condition()) {
		return standIn(tier.Backends, turn)
	}
	return begin
}

// standIn gives the backend that has the turn of an ejected one. If it were the next one in the row, that would get twice
// as much as the others; so the turns of all ejected ones are dealt out one by one, by a round robin over the others.
func standIn(backends []*pipeline.Backend, turn uint64) int {
	n := uint64(len(backends))
	begin := turn % n
	var ejected, before uint64 // before: those of them that come ahead of begin
	for i, backend := range backends {
		if backend.Health.Condition().Ejected() {
			ejected++
			if uint64(i) < begin {
				before++
			}
		}
	}
	if ejected < n {
		dealt := (turn/n*ejected + before) % (n - ejected)
		for i, backend := range backends {
			if backend.Health.Condition().Ejected() {
				continue
			}
			if dealt == 0 {
				return i
			}
			dealt--
		}
	}
	return int(begin)
}

// pick takes a backend where it is its time. It notes that one was left out.
func (w *walk) pick(backend *pipeline.Backend) (pick, bool) {
	if w.again {
		return pick{backend: backend, suspect: backend.Health.Condition().Ejected()}, true
	}
	picked, ok := w.ejector.admit(backend)
	w.leftOut = w.leftOut || !ok
	return picked, ok
}

// more says whether next has another one. It counts no turn, for most requests never need to know which one it is.
func (w *walk) more() bool {
	for route := w.first; route != nil; route = w.after(route) {
		for i := range route.Tiers {
			for _, backend := range route.Tiers[i].Backends {
				if !w.wasTried(backend) {
					return true
				}
			}
		}
	}
	return false
}

// after gives the next best group for the request.
func (w *walk) after(route *pipeline.Route) *pipeline.Route {
	host, ok := pipeline.Host(w.request)
	if !ok {
		return nil
	}
	return route.Next(host, pipeline.Path(w.request))
}

func (w *walk) try(backend *pipeline.Backend) {
	if w.count < len(w.few) {
		w.few[w.count] = backend
		w.count++
		return
	}
	w.tried = append(w.tried, backend)
}

// wasTried compares addresses: the same one may be in several groups, and one that just refused will do it again.
func (w *walk) wasTried(backend *pipeline.Backend) bool {
	for _, tried := range w.few[:w.count] {
		if same(tried, backend) {
			return true
		}
	}
	for _, tried := range w.tried {
		if same(tried, backend) {
			return true
		}
	}
	return false
}

func same(a, b *pipeline.Backend) bool {
	return a == b || a.Address == b.Address && a.Scheme == b.Scheme
}
