package consul

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/tricot-proxy/tricot/certs/store"
)

// farewell is how long a Lock that gives up takes at most to end its session; one that stays ends with its TTL.
const farewell = time.Second

// Lock is as [store.Store] says. It waits in a blocking query on the lock's key; which one of several that wait is the
// next, is left to chance. It also returns an error where Consul is away for longer than Options.Timeout.
func (s *Store) Lock(ctx context.Context, name string) (store.Lock, error) {
	l, err := s.lock(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("lock %s in Consul: %w", s.lockKey(name), err)
	}
	return l, nil
}

func (s *Store) lockKey(name string) string { return s.prefix + store.Locks + "/" + name }

func (s *Store) lock(ctx context.Context, name string) (*lock, error) {
	if err := store.CheckName(name); err != nil {
		return nil, err
	}
	for {
		session, err := s.newSession(ctx, s.lockKey(name))
		if err != nil {
			return nil, fmt.Errorf("make a session: %w", err)
		}
		held, err := session.acquire(ctx)
		if held {
			session.work.Go(session.watch)
			return &lock{session: session}, nil
		}
		leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
		_ = session.end(leaving)
		cancel()
		if err != nil {
			return nil, err
		}
	}
}

// acquire waits until the session holds the lock. It is false without an error where the session ended before that.
func (se *session) acquire(ctx context.Context) (bool, error) {
	retry := newPause(20*time.Millisecond, time.Second)
	for !se.isLost() {
		err := se.store.persist(ctx, func(ctx context.Context) error {
			_, err := se.store.transact(ctx, &api.KVTxnOp{Verb: api.KVLock, Key: se.key, Session: se.id})
			return err
		})
		var refused *refusal
		switch {
		case err == nil:
			return true, nil
		case !errors.As(err, &refused):
			return false, err
		case refused.has("invalid session"):
			return false, nil
		}
		waited, err := se.store.awaitFree(ctx, se.key)
		if err != nil {
			return false, err
		}
		// Free, and yet refused: so it is for the lock delay of a session that is not one of ours, of whose end no query tells.
		if !waited {
			retry.wait(ctx)
		}
	}
	return false, nil
}

// awaitFree returns when nobody holds the lock, or nobody did for a moment, and says whether that had to be waited for.
func (s *Store) awaitFree(ctx context.Context, key string) (waited bool, err error) {
	c := newCursor()
	for {
		pair, index, err := s.get(ctx, key, c.index)
		if passing(err) { // look knows for how long Consul may be away
			c.failed(ctx)
			pair, index, err = s.look(ctx, key)
		}
		if err != nil {
			return false, err
		}
		if pair == nil || pair.Session == "" {
			return waited, nil
		}
		waited = true
		c.reached(index)
	}
}

// A lock is held by its session.
type lock struct {
	session  *session
	unlocked atomic.Bool
}

func (l *lock) Lost() <-chan struct{} { return l.session.lost }

func (l *lock) Save(ctx context.Context, record store.Record) (store.Record, error) {
	s := l.session.store
	saved, err := l.save(ctx, record)
	if err != nil {
		return store.Record{}, fmt.Errorf("save %s%s to Consul under %s: %w", s.prefix, record.Key, l.session.key, err)
	}
	return saved, nil
}

// save leaves it to Consul to say whether the lock is held, unless it is known that it is not: the holder may have been
// asleep for any time just before.
func (l *lock) save(ctx context.Context, record store.Record) (store.Record, error) {
	if err := ctx.Err(); err != nil {
		return store.Record{}, err
	}
	if l.unlocked.Load() || l.session.isLost() {
		return store.Record{}, store.ErrLockLost
	}
	return l.session.store.save(ctx, record,
		&api.KVTxnOp{Verb: api.KVCheckSession, Key: l.session.key, Session: l.session.id})
}

// Unlock is as [store.Lock] says. After an error the lock becomes free when the session's time is over.
func (l *lock) Unlock(ctx context.Context) error {
	if l.unlocked.Swap(true) {
		return fmt.Errorf("unlock %s in Consul: it was unlocked before", l.session.key)
	}
	if err := l.session.end(ctx); err != nil {
		return fmt.Errorf("unlock %s in Consul: %w", l.session.key, err)
	}
	return nil
}
