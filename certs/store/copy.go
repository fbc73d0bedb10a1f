package store

import (
	"context"
	"errors"
	"fmt"
)

// Copy writes the records below some prefixes from one store to another, and gives the number that it wrote. Prefixes
// are as for [Store.Follow]; what lasts of Tricot's is below "certs/", "account/", "local/", "failures/" and "tickets/".
// What the other store has under the same keys is replaced, and what it has beside them stays. Locks are not copied.
//
// The stores may be in use, and may be the same place: a record that changes in the meantime is copied again, and none
// is put back to what it was before. So a copy from a store to itself writes every record anew, and one from a store
// that opens sealed records to what it has them in unseals them.
//
// It stops at the first error; what it wrote stays, and another Copy begins anew. Where a store is away it waits as the
// methods of that store do, until ctx ends, whose error it returns then.
func Copy(ctx context.Context, from, to Store, prefixes ...string) (int, error) {
	copied := 0
	for _, prefix := range prefixes {
		records, err := list(ctx, from, prefix)
		if err != nil {
			return copied, fmt.Errorf("copy records below %s: %w", prefix, err)
		}
		for _, record := range records {
			found, err := copyRecord(ctx, from, to, record.Key)
			if err != nil {
				return copied, fmt.Errorf("copy %s: %w", record.Key, err)
			}
			if found {
				copied++
			}
		}
	}
	return copied, nil
}

// copyRecord is false where the record is there no more.
func copyRecord(ctx context.Context, from, to Store, key string) (bool, error) {
	for {
		// In this order: where both are the same place, the value is never older than the version that it replaces.
		there, err := to.Load(ctx, key)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return false, err
		}
		record, err := from.Load(ctx, key)
		if errors.Is(err, ErrNotFound) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		_, err = to.Save(ctx, Record{Key: key, Value: record.Value, Version: there.Version})
		if !errors.Is(err, ErrConflict) {
			return err == nil, err
		}
	}
}

// list gives the records below a prefix as they are now.
func list(ctx context.Context, s Store, prefix string) (records []Record, err error) {
	following, enough := context.WithCancel(ctx)
	defer enough()
	told := false
	err = s.Follow(following, prefix, func(all []Record) {
		if !told {
			told, records = true, all
		}
		enough()
	})
	if err == nil && !told {
		err = ctx.Err()
	}
	return records, err
}
