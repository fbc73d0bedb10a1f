package transport

import (
	"slices"
	"time"
)

const (
	// sweepInterval is how soon an idle connection is closed that its backend has closed, or whose time is over.
	sweepInterval = 2 * time.Second
	// sweepStep is how many connections a shelf is locked for.
	sweepStep = 32
)

// sweepLater has all shelves swept again and again, until there are none.
func (cs *Connections) sweepLater() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.sweeper == nil && !cs.closed.Load() {
		cs.sweeper = time.AfterFunc(cs.pace(), cs.sweep)
	}
}

func (cs *Connections) pace() time.Duration {
	return min(sweepInterval, max(cs.options.IdleTimeout/2, time.Millisecond))
}

func (cs *Connections) sweep() {
	left, now := false, time.Now()
	for i := range cs.shards {
		sh := &cs.shards[i]
		leave := false
		for _, s := range sh.all() {
			cs.sweepShelf(s, now)
			cs.sweepRow(&s.shared, now)
			leave = s.abandon(now, cs.options.IdleTimeout+cs.pace()) || leave
		}
		if leave {
			cs.retire(sh, (*shelf).abandoned)
		}
	}
	cs.mu.Lock()
	cs.sweeper = nil
	cs.mu.Unlock()
	for i := range cs.shards { // after that, such that a shelf made meanwhile is not forgotten
		left = left || len(cs.shards[i].all()) > 0
	}
	if left {
		cs.sweepLater()
	}
}

// sweepShelf closes what is of no more use among the connections that lie longer than since the last sweep.
func (cs *Connections) sweepShelf(s *shelf, now time.Time) {
	recent := func(c *connection) bool { return now.Sub(c.rested) < cs.pace() }
	for at, done := 0, false; !done; {
		var dead []*connection
		s.mu.Lock()
		end := min(at+sweepStep, len(s.idle))
		for i := at; i < end; {
			switch c := s.idle[i]; {
			case recent(c): // as are all above
				end, done = i, true
			case cs.usable(c, now):
				i++
			default:
				dead = append(dead, c)
				s.idle = slices.Delete(s.idle, i, i+1)
				end--
			}
		}
		at, done = end, done || end == len(s.idle)
		s.mu.Unlock()
		cs.idle.Add(-int64(len(dead)))
		for _, c := range dead {
			c.cut()
		}
	}
}

// abandon gives a shelf up that nobody has asked for so long, and on which nothing lies.
func (s *shelf) abandon(now time.Time, patience time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = s.gone || len(s.idle) == 0 && now.Sub(s.used) > patience && s.shared.empty()
	return s.gone
}

func (s *shelf) abandoned() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone
}
