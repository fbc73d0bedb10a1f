package store

import (
	"context"
	"fmt"
	"strings"
)

// List gives the records below a prefix as they are now, sorted by key, none where there are none. The prefix is as for
// [Store.Follow], and so are the records: one that cannot be opened comes without its Value, and with its Err.
//
// Where the store is away, it waits as Follow does, until ctx ends. It returns ctx's error where that ends before the
// store has been read, and Follow's for what is no prefix, both wrapped. It may be called by several goroutines.
func List(ctx context.Context, from Store, prefix string) ([]Record, error) {
	following, enough := context.WithCancel(ctx)
	defer enough()
	var records []Record
	told := false
	err := from.Follow(following, prefix, func(all []Record) {
		if !told { // a change may come before Follow has seen that this is enough
			told, records = true, all
		}
		enough()
	})
	if err == nil && !told {
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("read %s of the certificate store: %w", strings.TrimSuffix(prefix, "/"), err)
	}
	return records, nil
}
