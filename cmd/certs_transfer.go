package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/tricot-proxy/tricot/certs/store"
	"github.com/tricot-proxy/tricot/certs/store/sealed"
)

// lasting is what the store keeps for good, in the order in which it is copied: running instances that find an account
// make none of their own. Challenges and locks are of orders that are under way, and stay where they are.
var lasting = [...]string{"account/", "local/", "certs/", "failures/", "tickets/"}

// A place is a store with what it takes to tell how its records are sealed.
type place struct {
	kind, at string        // such as "dir" and its path
	bare     store.Store   // with the records as they are
	open     *sealed.Store // which opens them with all of the keys
	seals    *sealed.Store // with the key alone that seals; nil: there is none
}

func newPlace(kind, at string, bare store.Store, keys []sealed.Key) (*place, error) {
	open, err := sealed.Wrap(bare, nil, keys...)
	if err != nil {
		return nil, err
	}
	p := &place{kind: kind, at: at, bare: bare, open: open}
	if len(keys) > 0 {
		p.seals, err = sealed.Wrap(bare, nil, keys[0])
	}
	return p, err
}

// A transfer brings the records of a store to another one, or, where both are the same, seals all of them with the first
// key. The stores may be in use: what changes in the meantime is looked at again, and nothing is put back to what it was.
type transfer struct {
	from, to  *place
	unseal    bool // write the records unsealed, whatever keys there are
	overwrite bool // replace what is newer there, or of unknown age
}

// What becomes of a record.
const (
	copied   = "copied"
	replaced = "replaced" // an older one, or one that cannot be read
	resealed = "resealed" // it was the same, but not sealed, or with another key
	unsealed = "unsealed" // it was the same, but sealed
	same     = "same"
	left     = "left"   // the one there stays
	failed   = "failed" // it could not be read or written
)

// outcomes has them in the order in which they are counted.
var outcomes = [...]string{copied, replaced, resealed, unsealed, same, left, failed}

// A moved record is one that was looked at.
type moved struct {
	Record  string `json:"record"`
	Outcome string `json:"outcome"`
	Reason  string `json:"reason,omitempty"`
}

// run looks at all records. The error says that they are not known; what is wrong with one of them is its outcome.
func (t *transfer) run(ctx context.Context) (all []moved, err error) {
	for _, p := range []*place{t.to, t.from} {
		if err := reach(ctx, p.bare); err != nil {
			return nil, err
		}
	}
	var keys []string
	for _, prefix := range lasting {
		records, err := store.List(ctx, t.from.bare, prefix)
		if err != nil {
			return nil, err
		}
		for _, record := range records {
			keys = append(keys, record.Key)
		}
	}
	for i, key := range keys {
		is, err := t.move(ctx, key)
		if err != nil {
			is = moved{Outcome: failed, Reason: err.Error()}
		}
		if is.Record = key; is.Outcome != "" {
			all = append(all, is)
		}
		if err == nil || ofRecord(err) {
			continue
		}
		for _, key := range keys[i+1:] { // a store that fails would have each of them waited for
			all = append(all, moved{key, failed, "not tried after the failure before"})
		}
		break
	}
	return all, nil
}

// ofRecord says whether an error is about one record, and another may fare better.
func ofRecord(err error) bool {
	var locked *sealed.Error
	var unfit *unfitError
	return errors.As(err, &locked) || errors.As(err, &unfit)
}

// move brings one record over. It has no outcome where the record is there no more.
func (t *transfer) move(ctx context.Context, key string) (moved, error) {
	for {
		// In this order: where both are the same place, the value is never older than the version that it replaces.
		there, err := t.to.open.Load(ctx, key)
		if err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, sealed.ErrDamaged) {
			return moved{}, err
		}
		here, err := t.from.open.Load(ctx, key)
		if errors.Is(err, store.ErrNotFound) {
			return moved{}, nil
		}
		if err != nil {
			return moved{}, err
		}
		is, err := t.decide(ctx, key, here, there)
		if err != nil || is.Outcome == same || is.Outcome == left {
			return is, err
		}
		_, err = t.save(ctx, store.Record{Key: key, Value: here.Value, Version: there.Version})
		if !errors.Is(err, store.ErrConflict) {
			return is, err
		}
	}
}

func (t *transfer) save(ctx context.Context, record store.Record) (store.Record, error) {
	if t.unseal {
		return t.to.bare.Save(ctx, record)
	}
	return t.to.open.Save(ctx, record)
}

// decide says what is to become of a record, of which something may be there already.
func (t *transfer) decide(ctx context.Context, key string, here, there store.Record) (moved, error) {
	if there.Version != "" && bytes.Equal(here.Value, there.Value) {
		well, err := t.sealedWell(ctx, there)
		switch {
		case err != nil:
			return moved{}, err
		case well:
			return moved{Outcome: same}, nil
		case t.unseal:
			return moved{Outcome: unsealed}, nil
		}
		return moved{Outcome: resealed}, nil
	}
	older, reason, err := compare(key, here.Value, there.Value)
	switch {
	case err != nil:
		return moved{}, err
	case there.Version == "":
		return moved{Outcome: copied}, nil
	case older || t.overwrite:
		return moved{Outcome: replaced, Reason: reason}, nil
	}
	return moved{Outcome: left, Reason: reason}, nil
}

// sealedWell says whether a record that was loaded from where it is to go is sealed as it is to be.
func (t *transfer) sealedWell(ctx context.Context, opened store.Record) (bool, error) {
	bare, err := t.to.bare.Load(ctx, opened.Key)
	if err != nil || bare.Version != opened.Version {
		return false, ignoring(err, store.ErrNotFound)
	}
	plain := bytes.Equal(bare.Value, opened.Value)
	if plain || t.unseal || t.to.seals == nil {
		return plain == (t.unseal || t.to.seals == nil), nil
	}
	_, err = t.to.seals.Load(ctx, opened.Key)
	return err == nil, ignoring(err, sealed.ErrSealed)
}

func ignoring(err, such error) error {
	if errors.Is(err, such) {
		return nil
	}
	return err
}

// reach asks a store for what is never there, so that one that is away is named as such, and not waited for.
func reach(ctx context.Context, in store.Store) error {
	if _, err := in.Load(ctx, "certs/~"); err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("the certificate store cannot be read: %w", err)
	}
	return nil
}
