// Package consul keeps the store in Consul's key-value store, where every instance of the cluster shares it: a record is
// the key of that name below the store's prefix, and its version is the key's ModifyIndex.
//
// Every read is a consistent one, so that it sees each write that was done before it, also while the servers change their
// leader. Every write is one transaction whose conditions Consul checks in the moment in which it applies them: the
// record is still the one that was read and, under a lock, the lock's session still holds it. So a holder that slept
// through the loss of its lock writes nothing, and no clock has part in that.
//
// A request that fails in a way that passes, as each does while the servers elect a leader, is repeated for up to
// [Options].Timeout. A write that is repeated is marked in the key's Flags, so that it is told from another's where its
// first try was done after all and only the answer was lost.
//
// README.md says what is written where, and what an ACL token has to allow.
package consul

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/tricot-proxy/tricot/certs/store"
)

// What [Options] leaves out.
const (
	DefaultPrefix     = "tricot/"
	DefaultSessionTTL = 15 * time.Second
	DefaultTimeout    = 10 * time.Second
	DefaultWait       = 15 * time.Second
)

// The bounds of [Options].
const (
	maxPrefix     = 100 // bytes
	minSessionTTL = time.Second
	maxSessionTTL = 24 * time.Hour // Consul's own
	maxWait       = 10 * time.Minute
)

// Options are what [Open] needs to know.
type Options struct {
	// Client talks to a Consul agent, with the token that it needs. Mandatory.
	Client *api.Client
	// Prefix is put before each key as it stands; it ought to end with a "/". Empty: [DefaultPrefix].
	Prefix string
	// Log is told when Consul cannot be read and can again, when a lock is in danger or lost, and at debug level of each
	// exchange with Consul. Values and tokens are never in it. Nil: nobody is told.
	Log *slog.Logger
	// SessionTTL is how long a lock stays held after the last sign of life of its holder; Consul itself waits for up to
	// twice as long before it gives the lock to another. Consul refuses less than its session_ttl_min, which is 10 s where
	// nobody has set it. 0: [DefaultSessionTTL].
	SessionTTL time.Duration
	// Timeout is how long one operation may take while Consul does not answer, or not well; the wait for a lock that another
	// holds is not counted. 0: [DefaultTimeout].
	Timeout time.Duration
	// Wait is how long one blocking query waits for a change before it is asked anew, up to 10 min; it bounds with Timeout
	// how long a server that has vanished without a word goes unnoticed. 0: [DefaultWait].
	Wait time.Duration
}

// A Store is a [store.Store] in Consul's key-value store.
type Store struct {
	client  *api.Client
	prefix  string
	log     *slog.Logger
	ttl     time.Duration
	timeout time.Duration
	wait    time.Duration
}

var _ store.Store = (*Store)(nil)

// Open makes a store. It does not ask Consul anything: a Tricot starts while Consul is away.
func Open(o Options) (*Store, error) {
	s := &Store{client: o.Client, prefix: o.Prefix, log: o.Log, ttl: o.SessionTTL, timeout: o.Timeout, wait: o.Wait}
	if s.prefix == "" {
		s.prefix = DefaultPrefix
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.ttl == 0 {
		s.ttl = DefaultSessionTTL
	}
	if s.timeout == 0 {
		s.timeout = DefaultTimeout
	}
	if s.wait == 0 {
		s.wait = DefaultWait
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("open store in Consul: %w", err)
	}
	return s, nil
}

func (s *Store) check() error {
	switch {
	case s.client == nil:
		return errors.New("no client is given")
	case len(s.prefix) > maxPrefix:
		return fmt.Errorf("prefix of %d bytes: no more than %d are allowed", len(s.prefix), maxPrefix)
	case s.ttl < minSessionTTL || s.ttl > maxSessionTTL:
		return fmt.Errorf("session TTL of %v: it has to be between %v and %v", s.ttl, minSessionTTL, maxSessionTTL)
	case s.timeout < 0:
		return fmt.Errorf("time-out of %v", s.timeout)
	case s.wait < time.Millisecond || s.wait > maxWait: // the wire counts in milliseconds, and 0 means five minutes
		return fmt.Errorf("blocking queries of %v: they have to be between 1ms and %v", s.wait, maxWait)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(s.prefix, "/"), "/") {
		if err := store.CheckName(name); err != nil {
			return fmt.Errorf("prefix %q: %w", s.prefix, err)
		}
	}
	return nil
}

// Load is as [store.Store] says.
func (s *Store) Load(ctx context.Context, key string) (store.Record, error) {
	record, err := s.load(ctx, key)
	if err != nil {
		return store.Record{}, fmt.Errorf("load %s%s from Consul: %w", s.prefix, key, err)
	}
	return record, nil
}

func (s *Store) load(ctx context.Context, key string) (store.Record, error) {
	if err := store.CheckKey(key); err != nil {
		return store.Record{}, err
	}
	pair, _, err := s.look(ctx, s.prefix+key)
	switch {
	case err != nil:
		return store.Record{}, err
	case pair == nil:
		return store.Record{}, store.ErrNotFound
	}
	return record(key, pair), nil
}

// Save is as [store.Store] says. After an error that is neither ErrConflict nor one of the record itself, such as that
// Consul did not answer in time, the record may have been written.
func (s *Store) Save(ctx context.Context, record store.Record) (store.Record, error) {
	saved, err := s.save(ctx, record)
	if err != nil {
		return store.Record{}, fmt.Errorf("save %s%s to Consul: %w", s.prefix, record.Key, err)
	}
	return saved, nil
}

// Delete is as [store.Store] says.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := s.delete(ctx, key); err != nil {
		return fmt.Errorf("delete %s%s from Consul: %w", s.prefix, key, err)
	}
	return nil
}
