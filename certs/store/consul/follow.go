package consul

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/tricot-proxy/tricot/certs/store"
)

// How soon after a query the next one is made at the earliest: every answer holds all records, so that the more they are,
// the more changes are told together.
const (
	minGap    = 50 * time.Millisecond
	maxGap    = 250 * time.Millisecond
	gapPerMiB = 25 * time.Millisecond
)

// Follow is as [store.Store] says. It waits in one blocking query.
func (s *Store) Follow(ctx context.Context, prefix string, changed func([]store.Record)) error {
	if err := store.CheckPrefix(prefix); err != nil {
		return fmt.Errorf("follow %s in Consul: %w", s.prefix, err)
	}
	c := newCursor()
	var known []store.Record
	told, away := false, false
	for ctx.Err() == nil {
		begin := time.Now()
		records, index, err := s.below(ctx, prefix, c.index)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			if !away {
				away = true
				s.log.Error("the store in Consul cannot be read; what is known of it stays in force",
					"prefix", s.prefix+prefix, "err", err)
			}
			c.failed(ctx)
			continue
		}
		if away {
			away = false
			s.log.Info("the store in Consul can be read again", "prefix", s.prefix+prefix)
		}
		if !told || !slices.EqualFunc(known, records, same) {
			known, told = records, true
			changed(slices.Clone(records))
		}
		c.reached(index)
		wait(ctx, time.Until(begin.Add(gap(records))))
	}
	return nil
}

// below gives all records whose keys start with prefix, sorted by key.
func (s *Store) below(ctx context.Context, prefix string, after uint64) (records []store.Record, index uint64, err error) {
	pairs, index, err := s.list(ctx, s.prefix+prefix, after)
	if err != nil {
		return nil, 0, err
	}
	if len(pairs) == 0 {
		// To a token, or to none, that may read nothing, a list is empty. A single key it may not ask for.
		if _, _, err := s.get(ctx, s.prefix+prefix, 0); err != nil {
			return nil, 0, err
		}
	}
	for _, pair := range pairs {
		key, ours := strings.CutPrefix(pair.Key, s.prefix)
		if ours && store.CheckKey(key) == nil { // not, for one, a folder that was made in Consul's web interface
			records = append(records, record(key, pair))
		}
	}
	slices.SortFunc(records, func(a, b store.Record) int { return strings.Compare(a.Key, b.Key) })
	return records, index, nil
}

func record(key string, pair *api.KVPair) store.Record {
	return store.Record{Key: key, Value: pair.Value, Version: version(pair)}
}

func same(a, b store.Record) bool { return a.Key == b.Key && a.Version == b.Version }

func gap(records []store.Record) time.Duration {
	bytes := 0
	for _, record := range records {
		bytes += len(record.Value)
	}
	return min(minGap+time.Duration(bytes>>20)*gapPerMiB, maxGap)
}
