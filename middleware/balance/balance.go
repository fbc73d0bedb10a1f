// Package balance is the stage that picks the backend of a request: round robin over the first tier of its route, each
// in turn.
//
// It needs the route stage before it, which sets State.Route, and sets State.Backend, State.Tries and State.MayRetry. A
// request without a route, or whose route has no backend that can serve, gets a 503.
//
// Where a try leaves a failure in State.Failure that may be repeated, nothing has been written yet, and the next backend
// is asked: the rest of the tier from the one after the last on, then the tiers after it, then the groups that the table
// has for the request after this one. No address is asked twice. For the last of them State.MayRetry is false, so that
// whoever sends the request answers the client itself.
package balance

import (
	"log/slog"
	"net/http"

	"github.com/tricot-proxy/tricot/pipeline"
)

// Name is what settings call the stage.
const Name = "balance"

// Needs is the stage that has to be before it.
const Needs = "route"

// Options are the stage's settings.
type Options struct {
	// Log gets a debug line for each further try and for each request that no backend can serve. Nil: none.
	Log *slog.Logger
}

// New gives the stage. It may be used by many goroutines at once, and allocates nothing for a request whose first
// backend answers.
func New(options Options) func(next http.Handler) http.Handler {
	log := options.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return func(next http.Handler) http.Handler {
		return &balancer{next: next, log: log}
	}
}

type balancer struct {
	next http.Handler
	log  *slog.Logger
}

func (b *balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	state, w, r := pipeline.Enter(w, r)
	walk := walk{request: r, route: state.Route}
	backend := walk.next()
	if backend == nil {
		b.unavailable(w, r, state.Route)
		return
	}
	for {
		state.Backend = backend
		state.Tries++
		state.MayRetry = walk.more()
		b.next.ServeHTTP(w, r)
		if !state.MayRetry || state.Failure == nil || !state.Failure.Repeatable {
			return
		}
		failed := backend
		backend = walk.next()
		b.log.Debug("another backend is asked", "failed", failed.String(), "cause", state.Failure.Err, "next", backend.String(),
			"host", r.Host, "path", pipeline.Path(r), "tries", state.Tries)
	}
}

func (b *balancer) unavailable(w http.ResponseWriter, r *http.Request, route *pipeline.Route) {
	reason := "no backend of the route can serve now"
	if route == nil {
		reason = "the request has no route"
	}
	b.log.Debug("request not served", "cause", reason, "host", r.Host, "path", pipeline.Path(r))
	http.Error(w, "503 service unavailable: no backend can serve this request now", http.StatusServiceUnavailable)
}
