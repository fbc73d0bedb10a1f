// Package balance is the stage that picks the backend of a request: round robin over the first tier of its route, each
// in turn.
//
// It needs the route stage before it, which sets State.Route, and sets State.Backend, State.Tries and State.MayRetry. What
// came of a try it reads from State.Failure and State.Answered. A request without a route, or whose route has no backend
// that can serve, gets a 503.
//
// # Other backends
//
// Where a try leaves a failure in State.Failure that is Repeatable, nothing has been written yet, and the next backend
// may be asked: the rest of the tier from the one after the last on, then the tiers after it, then the groups that the
// table has for the request after this one. No address is asked twice. For the last of them State.MayRetry is false, so
// that whoever sends the request answers the client itself.
//
//   - After a failure that is Unsent the next one is asked always: a backend that got nothing has no work from it.
//   - After another failure the request is repeated (RFC 9110, section 9.2.2), which is work for one more backend. That is
//     done [Options].Retries times for a request, and for a tenth of all recent requests, so that backends which are slow
//     because they have too much to do do not get twice as much. Where it is not done, this stage answers with the
//     failure's status.
//
// # Backends that keep failing
//
// A backend that failed five requests in a row (no connection, no answer in time, none that is valid to its end; not one
// with a status of 5xx) is ejected: left out for a second. Then one request, when it is the backend's turn, tries whether
// it works again. If so it is back, else it is left out for twice as long, up to 30 seconds, and at random up to half as
// long again, so that many Tricots do not try at once. What is the client's doing counts for nothing: that it left, that
// its request ended too early.
//
// The others of a tier share an ejected one's turns evenly. A tier of ejected ones gives way to the next one, a group of
// such tiers to the next group. Where all that could serve a request are ejected, they are asked nevertheless.
//
// All this is kept in [pipeline.Backend].Health.
package balance

import (
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tricot-proxy/tricot/pipeline"
)

// Name is what settings call the stage.
const Name = "balance"

// Needs is the stage that has to be before it.
const Needs = "route"

// DefaultRetries is the value of [Options].Retries where it is nil.
const DefaultRetries = 2

// Options are the stage's settings.
type Options struct {
	// Retries is how often a request that is safe to repeat is sent to another backend after one has got it and failed
	// before its answer began. 0: never. Nil: [DefaultRetries]. Backends that cannot be reached are not counted.
	Retries *int
	// Log gets a warning when a backend is ejected, a line at info when it is back, a warning for each failure that is
	// answered here, a debug line for each further try and for each request that no backend can serve. Nil: none.
	Log *slog.Logger
}

// New gives the stage. It may be used by many goroutines at once, takes no lock, and allocates nothing for a request
// whose first backend answers.
func New(options Options) func(next http.Handler) http.Handler {
	return newBalancer(options).wrap
}

type balancer struct {
	next    http.Handler
	retries int
	budget  *budget
	ejector *ejector
	now     func() time.Time
	log     *slog.Logger
}

// newBalancer gives one with nothing after it.
func newBalancer(options Options) *balancer {
	log := options.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	b := &balancer{retries: DefaultRetries, now: time.Now, log: log}
	if options.Retries != nil {
		b.retries = *options.Retries
	}
	b.budget = newBudget(b.now())
	b.ejector = &ejector{now: b.now, random: rand.Int64N, log: log}
	return b
}

func (b balancer) wrap(next http.Handler) http.Handler {
	b.next = next
	return &b
}

func (b *balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	state, w, r := pipeline.Enter(w, r)
	b.budget.earn(state.Received)
	walk := newWalk(r, state.Route, b.ejector)
	picked, ok := walk.next()
	if !ok {
		b.unavailable(w, r, state.Route)
		return
	}
	for repeats := 0; ; {
		state.Backend = picked.backend
		state.Tries++
		state.MayRetry = walk.more()
		b.ask(w, r, state, picked)
		failure := state.Failure
		if !state.MayRetry || failure == nil || !failure.Repeatable {
			return
		}
		if !failure.Unsent {
			if repeats >= b.retries {
				b.fail(w, r, state, "the request has been repeated as often as it may be")
				return
			}
			if !b.budget.spend(b.now()) {
				b.fail(w, r, state, "too many of the recent requests have been repeated")
				return
			}
			repeats++
		}
		failed := picked.backend
		if picked, ok = walk.next(); !ok {
			b.fail(w, r, state, "the other backends have just left the table")
			return
		}
		b.log.Debug("another backend is asked", "failed", failed.String(), "cause", failure.Err, "next", picked.backend.String(),
			"host", r.Host, "path", pipeline.Path(r), "tries", state.Tries)
	}
}

// ask sends the request to the backend, and has what comes of it count for the backend's health.
func (b *balancer) ask(w http.ResponseWriter, r *http.Request, state *pipeline.State, picked pick) {
	if picked.suspect {
		w = &trial{ResponseWriter: w, state: state, picked: picked, ejector: b.ejector}
	}
	defer b.ejector.judge(r, state, picked) // an answer that breaks off ends in a panic
	b.next.ServeHTTP(w, r)
}

// fail answers with a failure that was left to this stage.
func (b *balancer) fail(w http.ResponseWriter, r *http.Request, state *pipeline.State, reason string) {
	status := state.Failure.Status
	b.log.Warn("the backend gave no answer, and no other one is asked", "backend", state.Backend.String(),
		"cause", state.Failure.Err, "reason", reason, "method", r.Method, "host", r.Host, "path", pipeline.Path(r))
	if r.ProtoMajor == 1 && r.ContentLength != 0 {
		// Nobody has read the body, and the transport stage may have told the server not to care (full duplex): what comes
		// next on the connection must not be taken for a request.
		w.Header().Set("Connection", "close")
	}
	http.Error(w, strconv.Itoa(status)+" "+strings.ToLower(http.StatusText(status))+": the backend gave no answer", status)
}

func (b *balancer) unavailable(w http.ResponseWriter, r *http.Request, route *pipeline.Route) {
	reason := "no backend of the route can serve now"
	if route == nil {
		reason = "the request has no route"
	}
	b.log.Debug("request not served", "cause", reason, "host", r.Host, "path", pipeline.Path(r))
	http.Error(w, "503 service unavailable: no backend can serve this request now", http.StatusServiceUnavailable)
}
