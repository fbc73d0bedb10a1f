package certs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tricot-proxy/tricot/certs/store"
)

const (
	// lockPatience is how long an order waits for another instance's. Longer, and a few slow orders elsewhere would keep
	// all names of this instance waiting.
	lockPatience = 30 * time.Second
	// issuePatience is how long an issuer may take.
	issuePatience = 15 * time.Minute
	// storePatience is how long a write or an unlock may take that is no longer ended by the keeper's own end: a
	// certificate that an issuer has made is not thrown away.
	storePatience = 10 * time.Second
)

// errBusy says that another instance has the lock of a name, and had it for as long as was waited.
var errBusy = errors.New("another instance has the lock")

// A result says how an order went.
type result struct {
	name string
	err  error
}

// obtain sees to it that the store has a certificate for a name that is not due.
func (k *Keeper) obtain(ctx context.Context, name string) result {
	lock, err := k.lock(ctx, name)
	if err != nil {
		return result{name, err}
	}
	err = k.issue(ctx, name, lock)
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), storePatience)
	defer cancel()
	if err := lock.Unlock(ending); err != nil {
		k.log.Warn("the lock of a name could not be given back", "name", name, "err", err)
	}
	return result{name, err}
}

func (k *Keeper) lock(ctx context.Context, name string) (store.Lock, error) {
	patient, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	lock, err := k.store.Lock(patient, lockName(name))
	if err != nil && errors.Is(patient.Err(), context.DeadlineExceeded) {
		return nil, errBusy
	}
	return lock, err
}

// issue orders a certificate under the name's lock and writes it, unless the store has a good one by now. It stops where
// the lock is lost.
func (k *Keeper) issue(ctx context.Context, name string, lock store.Lock) error {
	there, err := k.store.Load(ctx, key(name))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if k.good(name, there) {
		k.log.Debug("another instance has ordered a certificate", "name", name)
		return nil
	}
	pair, err := k.ask(ctx, name, lock)
	if err != nil {
		return err
	}
	value, err := encode(name, pair, k.now())
	if err != nil {
		return fmt.Errorf("what the issuer %s made cannot be served: %w", k.issuer.Name(), err)
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), storePatience)
	defer cancel()
	if _, err = lock.Save(ending, store.Record{Key: key(name), Value: value, Version: there.Version}); err != nil {
		return err
	}
	k.log.Info("certificate issued", "name", name, "issuer", k.issuer.Name())
	return nil
}

// good says whether a record needs no order.
func (k *Keeper) good(name string, record store.Record) bool {
	if record.Version == "" {
		return false
	}
	cert, err := decode(name, record.Value, k.now())
	return err == nil && k.now().Before(due(name, cert.Leaf, 0, k.renewAt))
}

// ask has the issuer make a certificate, for as long as the lock is held.
func (k *Keeper) ask(ctx context.Context, name string, lock store.Lock) (Pair, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, issuePatience, fmt.Errorf("the issuer took longer than %v", issuePatience))
	defer cancel()
	ctx, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	var watch sync.WaitGroup
	defer watch.Wait()
	done := make(chan struct{})
	defer close(done)
	watch.Go(func() {
		select {
		case <-lock.Lost():
			lost(store.ErrLockLost)
		case <-done:
		}
	})
	pair, err := k.issuer.Issue(ctx, name)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	if err == nil && errors.Is(context.Cause(ctx), store.ErrLockLost) { // it did not look
		err = store.ErrLockLost
	}
	return pair, err
}
