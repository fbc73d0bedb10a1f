package balance

import (
	"net/http"

	"github.com/tricot-proxy/tricot/pipeline"
)

// walk goes through the backends that may serve one request, in the order in which they are asked.
type walk struct {
	request *http.Request
	route   *pipeline.Route
	tier    int // of route
	turn    int // of tier: where the round robin started
	asked   int // how many of tier have been looked at

	// tried lists what has been asked. It starts in few, so that only a long row of failures allocates.
	tried []*pipeline.Backend
	few   [4]*pipeline.Backend
	count int
}

// next gives the backend to ask now, nil where none is left. A tier's turn is counted when the walk enters it.
func (w *walk) next() *pipeline.Backend {
	for w.route != nil {
		for w.tier < len(w.route.Tiers) {
			tier := &w.route.Tiers[w.tier]
			n := len(tier.Backends)
			if w.asked == 0 && n > 0 {
				w.turn = int((tier.Turn.Add(1) - 1) % uint64(n))
			}
			for w.asked < n {
				backend := tier.Backends[(w.turn+w.asked)%n]
				w.asked++
				if !w.wasTried(backend) {
					w.try(backend)
					return backend
				}
			}
			w.tier++
			w.asked = 0
		}
		w.route = w.after(w.route)
		w.tier = 0
	}
	return nil
}

// more says whether next has another one. It counts no turn, for most requests never need to know which one it is.
func (w *walk) more() bool {
	tier := w.tier
	for route := w.route; route != nil; route = w.after(route) {
		for ; tier < len(route.Tiers); tier++ {
			for _, backend := range route.Tiers[tier].Backends {
				if !w.wasTried(backend) {
					return true
				}
			}
		}
		tier = 0
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
