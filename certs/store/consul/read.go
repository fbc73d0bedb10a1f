package consul

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/hashicorp/consul/api"
)

// look gives a key as it is now, and repeats what fails for a while; nil: there is no such key.
func (s *Store) look(ctx context.Context, key string) (pair *api.KVPair, index uint64, err error) {
	err = s.persist(ctx, func(ctx context.Context) error {
		pair, index, err = s.get(ctx, key, 0)
		return err
	})
	return pair, index, err
}

// get is one try at a key; nil: there is no such one. It waits for an index higher than after, for Options.Wait at most;
// after 0: it does not wait.
func (s *Store) get(ctx context.Context, key string, after uint64) (pair *api.KVPair, index uint64, err error) {
	index, err = s.query(ctx, "/v1/kv/"+key, after, func(o *api.QueryOptions) (meta *api.QueryMeta, err error) {
		pair, meta, err = s.client.KV().Get(key, o)
		return meta, err
	})
	return pair, index, err
}

// list is as get, for all keys that start with prefix.
func (s *Store) list(ctx context.Context, prefix string, after uint64) (pairs api.KVPairs, index uint64, err error) {
	index, err = s.query(ctx, "/v1/kv/"+prefix+"?recurse", after, func(o *api.QueryOptions) (meta *api.QueryMeta, err error) {
		pairs, meta, err = s.client.KV().List(prefix, o)
		return meta, err
	})
	return pairs, index, err
}

// query asks a consistent question, and gives the index of the answer. What does not have the marks of an answer by a
// Consul that has a leader is none: it could say that nothing is there.
func (s *Store) query(ctx context.Context, path string, after uint64,
	ask func(*api.QueryOptions) (*api.QueryMeta, error)) (index uint64, err error) {

	o := &api.QueryOptions{RequireConsistent: true}
	most := s.timeout
	if after > 0 {
		o.WaitIndex, o.WaitTime = after, s.wait
		most += s.wait + s.wait/16 // which Consul adds at random, lest all come back at once
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	err = s.exchange(ctx, http.MethodGet, path, slog.Uint64("index", after), func(ctx context.Context) error {
		meta, err := ask(o.WithContext(ctx))
		switch {
		case err != nil:
			return err
		case meta.LastIndex == 0 || !meta.KnownLeader:
			return errors.New("the answer is not that of a Consul with a leader")
		case meta.ResultsFilteredByACLs:
			return &answer{http.StatusForbidden, "the token may not read all keys that are there"}
		}
		index = meta.LastIndex
		return nil
	})
	return index, err
}

// A cursor is how far a chain of blocking queries has come.
type cursor struct {
	index uint64 // what the next one waits to see exceeded; 0: it does not wait
	retry pause
}

func newCursor() *cursor { return &cursor{retry: newPause(250*time.Millisecond, 5*time.Second)} }

// reached takes the index of an answer. One that goes backwards is of a Consul that was restored or has forgotten; it is
// asked anew from the beginning, as its documentation on blocking queries wants.
func (c *cursor) reached(index uint64) {
	c.retry.Reset()
	if index < c.index {
		index = 0
	}
	c.index = index
}

// failed waits for a while: what comes next is asked anew, and does not wait in Consul.
func (c *cursor) failed(ctx context.Context) {
	c.index = 0
	c.retry.wait(ctx)
}
