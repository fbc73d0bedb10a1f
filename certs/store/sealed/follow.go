package sealed

import (
	"context"

	"github.com/tricot-proxy/tricot/certs/store"
)

// Follow is as [store.Store] says. A record that does not open is told with what is there as its value, which is no
// JSON.
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
	known map[string]opened // by key
}

type opened struct {
	record store.Record
	err    error
}

func (v *view) open(records []store.Record) []store.Record {
	told := make([]store.Record, 0, len(records))
	known := make(map[string]opened, len(records))
	for _, record := range records {
		was, before := v.known[record.Key]
		is := was
		if !before || was.record.Version != record.Version {
			is = opened{record: record}
			is.record.Value, is.err = v.store.keys.open(record)
			v.report(record.Key, was.err, is.err)
		}
		known[record.Key] = is
		told = append(told, is.record)
	}
	for key, was := range v.known {
		if _, there := known[key]; !there {
			v.report(key, was.err, nil) // it is gone, which is well too
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
