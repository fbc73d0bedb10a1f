package consul

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"
)

// A session is what holds a lock: Consul ends it, and deletes the lock's key with it, when it has not been renewed for its
// TTL. Each lock has one of its own, which lives as long as its Lock call and the lock itself: what goes wrong with one
// lock harms no other, two goroutines of one process exclude each other like any two, and there are never more
// sessions than locks in use, of which a thousand names need no more than the orders that run at once.
type session struct {
	store *Store
	key   string // the lock's
	id    string

	lost chan struct{} // closed where it has ended, or may have, without end
	once sync.Once

	ctx    context.Context // ends with end
	cancel context.CancelFunc
	work   sync.WaitGroup
}

// newSession makes a session for the lock under a key, and keeps it alive until end. One that Consul makes though its answer
// comes too late holds nothing, and ends with its TTL.
func (s *Store) newSession(ctx context.Context, key string) (*session, error) {
	var made struct{ ID string }
	var begin time.Time
	err := s.persist(ctx, func(ctx context.Context) error {
		begin = time.Now()
		err := s.put(ctx, "/v1/session/create", map[string]any{
			"Name": key,
			"TTL":  s.ttl.String(),
			// The TTL alone decides. With the health of the agent's node, which is the default, a moment of bad gossip would
			// end the sessions of everyone on the node.
			"NodeChecks": []string{},
			// The key is there exactly while the lock is held.
			"Behavior": api.SessionBehaviorDelete,
			// A lock whose holder is gone is free at once. A delay would protect what the holder still does without
			// knowing; its writes are refused by the transaction in any case. Package api cannot say 0.
			"LockDelay": "0s",
		}, &made)
		if err == nil && made.ID == "" {
			err = errors.New("the answer does not name the session")
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	se := &session{store: s, key: key, id: made.ID, lost: make(chan struct{})}
	se.ctx, se.cancel = context.WithCancel(context.WithoutCancel(ctx))
	se.work.Go(func() { se.renew(begin) })
	return se, nil
}

// renew keeps the session alive. begin is when the request was sent that made it: Consul counts from some later moment on.
// Times are compared by the monotonic clock.
func (se *session) renew(begin time.Time) {
	s := se.store
	end := begin.Add(s.ttl)
	next := begin.Add(s.ttl / 3)
	retry := newPause(s.ttl/30, s.ttl/10)
	troubled := false
	for wait(se.ctx, time.Until(next)) {
		begin := time.Now()
		if !begin.Before(end) { // whatever was in the way, such as a process that was stopped
			se.lose(fmt.Sprintf("its session could not be renewed for %v", s.ttl))
			return
		}
		err := se.renewOnce(end)
		var said *answer
		switch {
		case se.ctx.Err() != nil:
			return
		case errors.As(err, &said) && said.code == http.StatusNotFound:
			se.lose("its session has ended")
			return
		case err != nil:
			if !troubled {
				troubled = true
				s.log.Warn("the session of a lock cannot be renewed", "lock", se.key, "err", err)
			}
			next = time.Now().Add(retry.NextBackOff())
			if next.After(end) {
				next = end
			}
		default:
			if troubled {
				troubled = false
				s.log.Info("the session of a lock can be renewed again", "lock", se.key)
			}
			retry.Reset()
			end, next = begin.Add(s.ttl), begin.Add(s.ttl/3)
		}
	}
}

// renewOnce leaves time for another try before end.
func (se *session) renewOnce(end time.Time) error {
	ctx, cancel := context.WithDeadline(se.ctx, end)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, min(se.store.timeout, se.store.ttl/3))
	defer cancel()
	var renewed []struct{ ID string }
	err := se.store.put(ctx, "/v1/session/renew/"+se.id, nil, &renewed)
	if err == nil && (len(renewed) != 1 || renewed[0].ID != se.id) {
		err = errors.New("the answer does not name the session")
	}
	return err
}

// watch waits, once the lock is held, until it is held no longer: the renewals would learn that only when it is their
// time, and would not where somebody has deleted the key.
func (se *session) watch() {
	c := newCursor()
	for {
		pair, index, err := se.store.get(se.ctx, se.key, c.index)
		switch {
		case se.ctx.Err() != nil:
			return
		case err != nil: // whether that is trouble, the renewals know
			c.failed(se.ctx)
			continue
		case pair == nil || pair.Session != se.id:
			se.lose("its key is not held by its session")
			return
		}
		c.reached(index)
	}
}

// lose says that the session can no longer be trusted.
func (se *session) lose(why string) {
	se.once.Do(func() {
		close(se.lost)
		se.store.log.Warn("the session of a lock is lost", "lock", se.key, "why", why)
	})
}

func (se *session) isLost() bool {
	select {
	case <-se.lost:
		return true
	default:
		return false
	}
}

// end gives back what the session holds, in one write with its own end. One that has ended before is well too.
func (se *session) end(ctx context.Context) error {
	se.cancel()
	se.work.Wait()
	return se.store.persist(ctx, func(ctx context.Context) error {
		var done bool
		err := se.store.put(ctx, "/v1/session/destroy/"+se.id, nil, &done)
		if err == nil && !done {
			err = errors.New("the answer does not say that it was done")
		}
		return err
	})
}
