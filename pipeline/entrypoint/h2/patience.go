package h2

import (
	"os"
	"time"

	"github.com/tricot-proxy/tricot/pipeline/entrypoint/exchange"
)

// patience is how long one waits for a client: until a handler's deadline, and not longer than a time-out each time. It
// needs a lock of its owner's.
type patience struct {
	timer    *time.Timer // nil before the first time
	ends     time.Time   // when the timer does; zero: it does not run
	deadline time.Time   // the handler's; zero: none
	timeout  time.Duration
	since    time.Time // when the waiting began; zero: nobody waits
	stopped  bool
	writes   bool // one waits for the client to take something, not to send it
}

// impatient is who waits.
type impatient interface {
	// expire is called when the time may be over, without the lock.
	expire()
}

// begin says that one waits, once more or for the first time since pause. To stop a timer costs as much as to start it, so
// it goes on when the waiting is over.
func (p *patience) begin(timeout time.Duration, who impatient) {
	if timeout <= 0 {
		return
	}
	if p.since.IsZero() {
		p.timeout, p.since = timeout, time.Now()
	}
	p.start(p.since.Add(timeout), who)
}

// again has the time-out begin anew for one that waits.
func (p *patience) again() {
	if !p.since.IsZero() {
		p.since = time.Now()
	}
}

// pause says that it is over for now.
func (p *patience) pause() { p.since = time.Time{} }

// setDeadline takes a handler's deadline, or none. It is true where that has passed.
func (p *patience) setDeadline(t time.Time, who impatient) bool {
	p.deadline = t
	switch {
	case t.IsZero(), p.stopped:
		return false
	case !t.After(time.Now()):
		return true
	}
	p.start(t, who)
	return false
}

// start has the timer end at t, or sooner.
func (p *patience) start(t time.Time, who impatient) {
	if p.stopped || !p.ends.IsZero() && !p.ends.After(t) {
		return
	}
	p.ends = t
	wait := max(time.Until(t), 1)
	if p.timer == nil {
		p.timer = time.AfterFunc(wait, who.expire)
	} else {
		p.timer.Reset(wait)
	}
}

// over says why the time is over; nil where it is not, and the timer runs again for what is left.
func (p *patience) over(who impatient) error {
	if p.stopped {
		return nil
	}
	p.ends = time.Time{}
	now := time.Now()
	if !p.deadline.IsZero() {
		if !p.deadline.After(now) {
			return os.ErrDeadlineExceeded
		}
		p.start(p.deadline, who)
	}
	if !p.since.IsZero() {
		ends := p.since.Add(p.timeout)
		if !ends.After(now) {
			return &exchange.StallError{Writing: p.writes, After: p.timeout, Err: os.ErrDeadlineExceeded}
		}
		p.start(ends, who)
	}
	return nil
}

// stop ends it.
func (p *patience) stop() {
	p.stopped = true
	if p.timer != nil {
		p.timer.Stop()
	}
}
