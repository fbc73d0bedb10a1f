package sealed

import (
	"context"

	"github.com/tricot-proxy/tricot/certs/store"
)

// Follow is as [store.Store] says. The Err of a record that does not open is an *[Error].
func (s *Store) Follow(ctx context.Context, prefix string, changed func([]store.Record)) error {
	if !seals(prefix) {
		return s.inner.Follow(ctx, prefix, changed)
	}
	v := &view{store: s}
	return s.inner.Follow(ctx, prefix, func(records []store.Record) { changed(v.open(records)) })
}

// A view is what one Follow has opened, so that a change of one record does not open all of them again.
type view struct {
	store *Store
	known map[string]store.Record // by key
}

func (v *view) open(records []store.Record) []store.Record {
	told := make([]store.Record, 0, len(records))
	known := make(map[string]store.Record, len(records))
	for _, record := range records {
		was, before := v.known[record.Key]
		if before && was.Version == record.Version {
			record = was
		} else {
			record.Value, record.Err = v.store.keys.open(record)
			v.report(record.Key, was.Err, record.Err)
		}
		known[record.Key] = record
		told = append(told, record)
	}
	for key, was := range v.known {
		if _, there := known[key]; !there {
			v.report(key, was.Err, nil) // it is gone, which is well too
		}
	}
	v.known = known
	return told
}

// report logs that a record does not open once when that begins and once when it ends.
func (v *view) report(key string, was, is error) {
	switch {
	case is != nil && (was == nil || was.Error() != is.Error()):
		v.store.log.Error("a record of the certificate store cannot be opened", "record", key, "err", is)
	case is == nil && was != nil:
		v.store.log.Info("a record of the certificate store is no longer one that cannot be opened", "record", key)
	}
}
