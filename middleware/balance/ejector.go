package balance

import (
	"errors"
	"log/slog"
	"net/http"
	"syscall"
	"time"

	"github.com/tricot-proxy/tricot/pipeline"
)

const (
	// maxFailures is how many requests in a row a backend may fail before it is ejected.
	maxFailures = 5
	// A backend is ejected for firstEjection, and after each further failure for twice as long, up to longestEjection.
	firstEjection   = time.Second
	longestEjection = 30 * time.Second
)

// period is how long a backend is ejected after a number of failures, before what chance adds.
func period(failures int) time.Duration {
	doublings := min(max(0, failures-maxFailures), 10) // 10 are more than longestEjection allows
	return min(firstEjection<<doublings, longestEjection)
}

// An ejector decides from what requests have shown which backends are left out for a while. A healthy one costs a
// request two loads of its condition; every other change is one compare-and-swap, whose winner writes the log.
type ejector struct {
	now    func() time.Time
	random func(n int64) int64 // in [0, n)
	log    *slog.Logger
}

// A pick is a backend that is to be asked, and why.
type pick struct {
	backend *pipeline.Backend
	// suspect says that it is ejected: this request tries whether it works again, or there is no other one to ask.
	suspect bool
	// lease is the condition that lets no other request try, until it is over; zero where this one does not.
	lease pipeline.Condition
}

// leavesOut says whether a backend in this condition is left out now.
func (e *ejector) leavesOut(condition pipeline.Condition) bool {
	if !condition.Ejected() {
		return false
	}
	left := condition.EjectedUntil().Sub(e.now())
	return left > 0 && left <= longestEjection*3/2 // more is the work of a clock that was set back
}

// admit picks a backend unless it is left out. One whose time is over is given to one request alone.
func (e *ejector) admit(backend *pipeline.Backend) (pick, bool) {
	condition := backend.Health.Condition()
	if !condition.Ejected() {
		return pick{backend: backend}, true
	}
	if e.leavesOut(condition) {
		return pick{}, false
	}
	failures := condition.Failures()
	lease := pipeline.NewCondition(failures, e.now().Add(period(failures)))
	if !backend.Health.Change(condition, lease) {
		return pick{}, false
	}
	return pick{backend: backend, suspect: true, lease: lease}, true
}

// judge has the outcome of a try count.
func (e *ejector) judge(r *http.Request, state *pipeline.State, picked pick) {
	if picked.backend.Health == nil {
		return
	}
	switch failure := state.Failure; {
	case failure == nil && !state.Answered.IsZero():
		e.succeeded(picked)
	case failure == nil, failure.Status < http.StatusInternalServerError, r.Context().Err() != nil, isOurs(failure.Err):
		e.undecided(picked)
	default:
		e.failed(picked, failure.Err)
	}
}

// succeeded ends a row of failures. An ejection is ended only by a request that was sent to find out: one that was under
// way before shows how the backend was.
func (e *ejector) succeeded(picked pick) {
	health := picked.backend.Health
	for {
		condition := health.Condition()
		if condition == 0 || condition.Ejected() && !picked.suspect {
			return
		}
		if health.Change(condition, 0) {
			if condition.Ejected() {
				e.log.Info("the backend works again", "backend", picked.backend.String(), "service", picked.backend.Service)
			}
			return
		}
	}
}

// undecided lets the next request find out what this one could not.
func (e *ejector) undecided(picked pick) {
	if picked.lease != 0 {
		picked.backend.Health.Change(picked.lease, pipeline.NewCondition(picked.lease.Failures(), e.now()))
	}
}

func (e *ejector) failed(picked pick, cause error) {
	health := picked.backend.Health
	for {
		condition := health.Condition()
		prolongs := condition.Ejected() && condition == picked.lease
		if condition.Ejected() && !prolongs {
			return // a busy backend fails many at once, which says no more than that it failed
		}
		failures := condition.Failures() + 1
		var until time.Time
		if failures >= maxFailures {
			until = e.until(failures)
		}
		if !health.Change(condition, pipeline.NewCondition(failures, until)) {
			continue
		}
		if !until.IsZero() && !prolongs {
			health.Ejections.Add(1)
			e.log.Warn("the backend keeps failing and is left out", "backend", picked.backend.String(),
				"service", picked.backend.Service, "failures", failures, "cause", cause)
		}
		return
	}
}

func (e *ejector) until(failures int) time.Time {
	ejection := period(failures)
	return e.now().Add(ejection + time.Duration(e.random(int64(ejection/2))))
}

// isOurs says whether it is this machine that has nothing left to make a connection with.
func isOurs(err error) bool {
	for _, short := range []error{syscall.EMFILE, syscall.ENFILE, syscall.EADDRNOTAVAIL, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, short) {
			return true
		}
	}
	return false
}
