package transport

import (
	"context"
	"hash/maphash"
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// shards is how many parts the shelves are in, such that the appearance of one backend among very many copies little.
const shards = 256

// key is what a connection is good for. A backend may refuse a request for one name on a connection that asked for
// another (421, RFC 9110, section 15.5.20), so over TLS the name counts, too; otherwise it is empty.
type key struct{ scheme, address, name string }

// A shelf has the idle connections for one key, the last one used on top: so those that are not needed grow old.
type shelf struct {
	key   key
	http1 atomic.Bool // over TLS: HTTP/1.1 is known to be what the backend chooses

	shared row // over HTTP/2, whether idle or not

	mu     sync.Mutex
	idle   []*connection
	reused uint64
	used   time.Time // last
	gone   bool      // nothing is kept any more
}

// use notes that somebody asks for what the shelf is for.
func (s *shelf) use(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used = now
}

// pop gives the connection on top, nil where there is none.
func (s *shelf) pop(now time.Time) *connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used = now
	last := len(s.idle) - 1
	if last < 0 {
		return nil
	}
	c := s.idle[last]
	s.idle[last] = nil
	s.idle = s.idle[:last]
	s.reused++
	return c
}

// discard is for a connection that was popped and is of no use.
func (s *shelf) discard(c *connection) {
	s.mu.Lock()
	s.reused--
	s.mu.Unlock()
	c.cut()
}

// push says whether there was room.
func (s *shelf) push(c *connection, room int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone || len(s.idle) >= room {
		return false
	}
	s.idle = append(s.idle, c)
	return true
}

type shard struct {
	mu      sync.Mutex                     // held by writers
	shelves atomic.Pointer[map[key]*shelf] // never changed
}

func (sh *shard) all() map[key]*shelf {
	if all := sh.shelves.Load(); all != nil {
		return *all
	}
	return nil
}

// shelf gives the one for a key.
func (cs *Connections) shelf(k key) *shelf {
	hash := maphash.String(cs.seed, k.address)
	if k.name != "" { // clients may think up any number of them
		hash = hash*31 + maphash.String(cs.seed, k.name)
	}
	sh := &cs.shards[hash%shards]
	if s := sh.all()[k]; s != nil {
		return s
	}
	defer cs.sweepLater() // after the lock
	sh.mu.Lock()
	defer sh.mu.Unlock()
	before := sh.all()
	if s := before[k]; s != nil {
		return s
	}
	after := make(map[key]*shelf, len(before)+1)
	maps.Copy(after, before)
	s := &shelf{key: k, used: time.Now()}
	after[k] = s
	sh.shelves.Store(&after)
	return s
}

// take gives an idle connection, nil where there is none that can be used.
func (cs *Connections) take(s *shelf, now time.Time) *connection {
	for {
		c := s.pop(now)
		if c == nil {
			return nil
		}
		cs.idle.Add(-1)
		if cs.usable(c, now) {
			c.reused = true
			return c
		}
		s.discard(c)
	}
}

func (cs *Connections) usable(c *connection, now time.Time) bool {
	return now.Sub(c.born) < cs.options.MaxAge && now.Sub(c.rested) < cs.options.IdleTimeout && c.clean()
}

// fresh makes a connection.
func (cs *Connections) fresh(ctx context.Context, s *shelf) (*connection, error) {
	c, err := cs.dial(ctx, s.key, protocolHTTP1)
	if err != nil {
		return nil, err
	}
	c.shelf = s
	return c, nil
}

// keep takes a connection back for the next request, or closes it.
func (cs *Connections) keep(c *connection, now time.Time) {
	c.rested = now
	if now.Sub(c.born) < cs.options.MaxAge && !cs.closed.Load() {
		if cs.idle.Add(1) <= int64(cs.options.MaxIdle) && c.shelf.push(c, cs.options.MaxIdlePerBackend) {
			return
		}
		cs.idle.Add(-1)
	}
	c.cut()
}

// retire takes the shelves off that leave says, with all that lies on them.
func (cs *Connections) retire(sh *shard, leave func(*shelf) bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	before := sh.all()
	var stay map[key]*shelf // nil as long as all do
	for k, s := range before {
		if !leave(s) {
			continue
		}
		if stay == nil {
			stay = maps.Clone(before)
		}
		delete(stay, k)
		s.mu.Lock()
		idle, reused := s.idle, s.reused
		s.idle, s.reused, s.gone = nil, 0, true
		s.mu.Unlock()
		cs.idle.Add(-int64(len(idle)))
		for _, c := range idle {
			c.cut()
		}
		cs.retireRow(&s.shared)
		cs.mu.Lock()
		cs.reused += reused
		cs.mu.Unlock()
	}
	if stay != nil {
		sh.shelves.Store(&stay)
	}
}
