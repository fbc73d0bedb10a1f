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

var (
	// errBusy says that another instance has the lock of a name, and had it for as long as was waited.
	errBusy = errors.New("another instance has the lock")
	// errDelayed says that another instance has failed, and that the time of the next try has not come.
	errDelayed = errors.New("another instance has failed")
)

// An order is what one goroutine is to do for a name.
type order struct {
	name string
	// attempts is how often this instance asked in vain. The store may know of more.
	attempts int
	// forced: the issuer is asked whatever the store has.
	forced bool
}

// A result says how an order went.
type result struct {
	name string
	err  error
	// asked: the issuer was, and has not held back.
	asked bool
	// failure is what is known now, if it was looked at, which it is before the issuer is asked.
	failure *failure
}

// obtain sees to it that the store has a certificate for a name that is not due.
func (k *Keeper) obtain(ctx context.Context, o order) result {
	lock, err := k.lock(ctx, o.name)
	if err != nil {
		return result{name: o.name, err: err}
	}
	return k.under(ctx, lock, o)
}

// under carries an order out under its name's lock, and gives that back.
func (k *Keeper) under(ctx context.Context, lock store.Lock, o order) result {
	r := result{name: o.name}
	r.err = k.issue(ctx, lock, o, &r)
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), storePatience)
	defer cancel()
	if r.asked && r.err != nil && ctx.Err() == nil {
		r.asked = !isHeld(r.err)
		failed := k.fail(*r.failure, o.attempts, r.err)
		// What is over soon is not worth a write for each name.
		worth := r.asked || failed.NextTry.Sub(k.now()) > unaskedBackoff
		if worth && !errors.Is(r.err, store.ErrLockLost) {
			failed = k.saveFailure(ending, lock, o.name, failed)
		}
		r.failure = &failed
	}
	if err := lock.Unlock(ending); err != nil {
		k.log.Warn("the lock of a name could not be given back", "name", o.name, "err", err)
	}
	return r
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

// issue orders a certificate and writes it, unless the store has a good one by now or another instance's failure is to be
// waited out. It stops where the lock is lost.
func (k *Keeper) issue(ctx context.Context, lock store.Lock, o order, r *result) error {
	there, err := k.load(ctx, key(o.name))
	if err != nil {
		return err
	}
	failed, err := k.loadFailure(ctx, o.name)
	if err != nil {
		return err
	}
	r.failure = &failed
	if !o.forced && k.good(o.name, there) {
		k.log.Debug("another instance has ordered a certificate", "name", o.name)
		k.forgive(ctx, o.name, failed)
		return nil
	}
	if !o.forced && failed.holds(k.now(), k.maxBackoff) {
		return errDelayed
	}
	signer, reason := k.signer(o.name)
	if signer == nil {
		return fmt.Errorf("the issuer %s does not sign for %s: %s", k.issuer.Name(), o.name, reason)
	}
	r.asked = true
	pair, err := k.request(ctx, lock, signer, o.name)
	if err != nil {
		return err
	}
	value, err := encode(o.name, pair, k.now())
	if err != nil {
		return fmt.Errorf("what the issuer %s made cannot be served: %w", signer.Name(), err)
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), storePatience)
	defer cancel()
	if _, err = lock.Save(ending, store.Record{Key: key(o.name), Value: value, Version: there.Version}); err != nil {
		return err
	}
	k.log.Info("certificate issued", "name", o.name, "issuer", signer.Name())
	k.forgive(ending, o.name, failed)
	return nil
}

// load gives the record under a key, without a value where it is damaged, and the zero one where there is none.
func (k *Keeper) load(ctx context.Context, key string) (store.Record, error) {
	record, err := k.store.Load(ctx, key)
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrDamaged) {
		err = nil
	}
	return record, err
}

// good says whether a record needs no order.
func (k *Keeper) good(name string, record store.Record) bool {
	if record.Version == "" {
		return false
	}
	cert, err := decode(name, record, k.now())
	return err == nil && k.now().Before(k.due(name, cert.Leaf, 0))
}

// request has an issuer make a certificate, for as long as the lock is held.
func (k *Keeper) request(ctx context.Context, lock store.Lock, signer Issuer, name string) (Pair, error) {
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
	pair, err := signer.Issue(ctx, name)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	if err == nil && errors.Is(context.Cause(ctx), store.ErrLockLost) { // it did not look
		err = store.ErrLockLost
	}
	return pair, err
}
