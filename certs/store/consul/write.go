package consul

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"

	"github.com/hashicorp/consul/api"

	"github.com/tricot-proxy/tricot/certs/store"
)

// version names the state of a key.
func version(pair *api.KVPair) string { return strconv.FormatUint(pair.ModifyIndex, 10) }

// modifyIndex is what version was made from; 0, which no key has, for the empty one. It is false for what was never a version.
func modifyIndex(version string) (uint64, bool) {
	if version == "" {
		return 0, true
	}
	index, err := strconv.ParseUint(version, 10, 64)
	return index, err == nil && index > 0 && strconv.FormatUint(index, 10) == version
}

// save writes a record in one transaction with the guards: conditions that stand for the lock, in whose name it gives
// store.ErrLockLost where one of them fails.
func (s *Store) save(ctx context.Context, record store.Record, guards ...*api.KVTxnOp) (store.Record, error) {
	if err := store.CheckRecord(record); err != nil {
		return store.Record{}, err
	}
	if err := ctx.Err(); err != nil {
		return store.Record{}, err
	}
	index, ours := modifyIndex(record.Version)
	if !ours {
		return store.Record{}, store.ErrConflict
	}
	w := &write{store: s, record: record, operations: append(guards, &api.KVTxnOp{
		Verb: api.KVCAS, Key: s.prefix + record.Key, Value: record.Value, Index: index, Flags: rand.Uint64() | 1,
	})}
	var refused *refusal
	switch err := s.persist(ctx, w.try); {
	case err == nil:
		return w.record, nil
	case !errors.As(err, &refused):
		return store.Record{}, err
	case refused.first() < len(guards):
		return store.Record{}, store.ErrLockLost
	}
	return store.Record{}, store.ErrConflict
}

// A write is a record on its way into Consul, perhaps in several tries.
type write struct {
	store      *Store
	record     store.Record
	operations []*api.KVTxnOp // the last one writes the record, with a mark of this write alone as its Flags
	unsure     bool           // an earlier try may have been done, though nobody said so
}

func (w *write) try(ctx context.Context) error {
	pairs, err := w.store.transact(ctx, w.operations...)
	if err == nil {
		w.record.Version = version(pairs[len(pairs)-1])
		return nil
	}
	var refused *refusal
	if !errors.As(err, &refused) {
		w.unsure = w.unsure || passing(err)
		return err
	}
	if !w.unsure {
		return err
	}
	// Our own write may be what it was refused for, or the lock was lost only after it.
	ours := w.operations[len(w.operations)-1]
	there, _, failed := w.store.get(ctx, ours.Key, 0)
	switch {
	case failed != nil:
		return failed
	case there != nil && there.Flags == ours.Flags:
		w.record.Version = version(there)
		return nil
	}
	return err
}

func (s *Store) delete(ctx context.Context, key string) error {
	if err := store.CheckKey(key); err != nil {
		return err
	}
	unsure := false    // an earlier try may have deleted it, though nobody said so
	var created uint64 // of what that try was about; what was made since then is another record
	return s.persist(ctx, func(ctx context.Context) error {
		for {
			there, _, err := s.get(ctx, s.prefix+key, 0)
			switch {
			case err != nil:
				return err
			case unsure && (there == nil || there.CreateIndex != created):
				return nil
			case there == nil:
				return store.ErrNotFound
			}
			// By version, so that a try that is done late deletes no later record.
			_, err = s.transact(ctx,
				&api.KVTxnOp{Verb: api.KVCheckIndex, Key: there.Key, Index: there.ModifyIndex},
				&api.KVTxnOp{Verb: api.KVDelete, Key: there.Key})
			var refused *refusal
			if !errors.As(err, &refused) { // else it is another one by now, or none
				if passing(err) {
					unsure, created = true, there.CreateIndex
				}
				return err
			}
		}
	})
}
