package transport

import (
	"net/http"
	"slices"
	"sync"
	"time"
)

// A sharedConnection leads to a backend and speaks HTTP/2: any number of requests have it at the same time. Its fields but
// for those that never change belong to the [row] that it lies in, or did.
type sharedConnection struct {
	owner *http2Client // whose time-outs it has
	http2 *http.ClientConn
	cut   func() // closes at once; any goroutine may call it, any number of times
	born  time.Time

	young    bool      // it is not known yet how many streams it has room for
	requests int       // that have it
	rested   time.Time // since when none does
	leaving  bool      // it is in no row any more, and ends with its last request
}

// usable says whether another request may have it: not where net/http knows that it is closed.
func (c *sharedConnection) usable(now time.Time, options *ConnectionOptions) bool {
	return now.Sub(c.born) < options.MaxAge && (c.requests > 0 || now.Sub(c.rested) < options.IdleTimeout) && c.http2.Err() == nil
}

// A row has the shared connections of a [shelf], those in use and those that are idle, the oldest first: so those that are
// not needed grow old. What leaves it is closed at once where no request has it, and otherwise when the last one is over.
type row struct {
	mu      sync.Mutex
	all     []*sharedConnection
	dialing map[*http2Client]*dialing // one at a time, for all requests that wait for a connection
	gone    bool                      // nothing is kept any more
}

// reserve gives a connection to one more request: one of the owner's that is not older than it says and has room for a
// stream, nil where there is none.
func (cs *Connections) reserve(s *shelf, owner *http2Client, since, now time.Time) *sharedConnection {
	var dead []*sharedConnection
	defer func() { cutAll(dead) }()
	r := &s.shared
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := 0; i < len(r.all); {
		c := r.all[i]
		switch {
		case !c.usable(now, &cs.options):
			if cs.takeOut(r, c) {
				dead = append(dead, c)
			}
			continue
		case c.owner == owner && !c.young && !c.born.Before(since) && c.http2.Reserve() == nil:
			if c.requests == 0 {
				cs.sharedIdle.Add(-1)
			}
			c.requests++
			return c
		}
		i++
	}
	return nil
}

// put adds a connection that a request has already. No other one gets it before grow has been called.
func (cs *Connections) put(r *row, c *sharedConnection) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.young, c.requests = true, 1
	c.leaving = r.gone
	if !c.leaving {
		r.all = append(r.all, c)
	}
}

// grow lets others have a connection.
func (r *row) grow(c *sharedConnection) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.young = false
}

// release takes a connection back from a request that is over.
func (cs *Connections) release(s *shelf, c *sharedConnection, now time.Time) {
	if cs.releaseIn(&s.shared, c, now) {
		c.cut()
	}
}

func (cs *Connections) releaseIn(r *row, c *sharedConnection, now time.Time) (dead bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.requests--
	switch {
	case c.requests > 0:
		return false
	case c.leaving:
		return true
	}
	c.rested = now
	idle := 0
	for _, other := range r.all {
		if other.requests == 0 {
			idle++
		}
	}
	within := cs.sharedIdle.Add(1)+cs.idle.Load() <= int64(cs.options.MaxIdle) && idle <= cs.options.MaxIdlePerBackend
	if within && !cs.closed.Load() && c.usable(now, &cs.options) {
		return false
	}
	return cs.takeOut(r, c)
}

// spoil lets no further request have a connection on which the backend said something that has no place there.
func (cs *Connections) spoil(s *shelf, c *sharedConnection) {
	s.shared.mu.Lock()
	defer s.shared.mu.Unlock()
	cs.takeOut(&s.shared, c) // a request has it
}

// takeOut says whether the connection is to be closed now, and not with its last request. The row's lock must be held.
func (cs *Connections) takeOut(r *row, c *sharedConnection) bool {
	at := slices.Index(r.all, c)
	if at < 0 {
		return false
	}
	r.all = slices.Delete(r.all, at, at+1)
	c.leaving = true
	if c.requests > 0 {
		return false
	}
	cs.sharedIdle.Add(-1)
	return true
}

// sweepRow closes what is of no more use.
func (cs *Connections) sweepRow(r *row, now time.Time) {
	cs.clearRow(r, func(c *sharedConnection) bool { return c.usable(now, &cs.options) })
}

// retireRow lets go of all.
func (cs *Connections) retireRow(r *row) {
	r.mu.Lock()
	r.gone = true
	r.mu.Unlock()
	cs.clearRow(r, func(*sharedConnection) bool { return false })
}

func (cs *Connections) clearRow(r *row, stays func(*sharedConnection) bool) {
	var dead []*sharedConnection
	r.mu.Lock()
	for _, c := range slices.Clone(r.all) {
		if !stays(c) && cs.takeOut(r, c) {
			dead = append(dead, c)
		}
	}
	r.mu.Unlock()
	cutAll(dead)
}

// empty says whether there is no connection, and none in the making.
func (r *row) empty() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.all) == 0 && len(r.dialing) == 0
}

func cutAll(connections []*sharedConnection) {
	for _, c := range connections {
		c.cut()
	}
}
