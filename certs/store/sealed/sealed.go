// Package sealed is a store around another one that seals what it writes with AES-256-GCM (NIST SP 800-38D), so that
// who can read Consul, a backup or a disk has no private key of ours.
//
// It needs one key or several: the first seals, and all open. A key is replaced in three steps, each on all instances
// before the next, so that nobody meets a record that it cannot open: the new key is given after the old one; then
// before it; then each record is written again as it is (tricot certs reseal), and the old key can go.
// (Certificates are written anew at their renewals too, but accounts and authorities never are.) That seals what was
// there before sealing was, too.
//
// With no key nothing is sealed, and what others have sealed is left alone all the same. So every store is to be
// wrapped, whether there are keys or not: to who looks into it without, a sealed record is a certificate that cannot
// be read, and is replaced.
//
// All records are sealed but those below "challenge/", which are answers that everybody may ask us for, and have to be
// given by every instance; locks are no records. So what comes below a new name is sealed until somebody decides
// otherwise. What is private today is below "certs/", "account/", "local/" and "tickets/". The keys of records, and so the names of
// the hosts, stay readable, as do their number, their sizes and the times of their writing.
//
// Unsealed records are read as they are, and sealed when they are next written. So sealing hides what is in the store,
// and a sealed record is what one of us wrote under its name, or it does not open; but it cannot keep those who may
// write to the store from deleting a record, putting back an older one, or putting an unsealed one in its place.
//
// A record that is sealed with a key that is not given is touched by no method: Load, Save and Delete return
// [ErrSealed], with which Follow tells it. To its readers it is there and unreadable, never missing: who would replace it
// looks with Load first, and gets the error. As this holds with no key as well, sealing does not end by leaving the key
// out. The way back is to load each record with its key, and to save it to another place, wrapped with no key, or to the
// same place, not wrapped (tricot certs reseal --unseal).
//
// # A sealed record
//
// It is one line in ASCII, for people and for finding the key, and after it the bytes of the seal:
//
//	tricot-sealed v1 KEYID\n
//	nonce (12 bytes), ciphertext (as long as the value), tag (16 bytes)
//
// KEYID is the first 8 bytes of the key's SHA-256 in hexadecimal. The additional authenticated data are the line, its
// end included, and the record's key right after it, as the store has it (such as certs/app.example.com, without
// Consul's kv_prefix): a record that is moved under another name does not open, one that is copied into another store
// does.
//
// Nonces are 96 random bits, which section 8.3 of the NIST publication allows for 2^32 records written with one key. A
// cluster of ten thousand names that renews each once a day gets there in eleven hundred years.
package sealed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/tricot-proxy/tricot/certs/store"
)

// public is the name below which nothing is sealed.
const public = "challenge"

// seals says whether the records of a key, or of a prefix, are sealed.
func seals(key string) bool {
	first, _, _ := strings.Cut(key, "/")
	return first != public
}

// A Store is a [store.Store] that keeps its records sealed in another one. A version is that of the sealed record.
type Store struct {
	inner store.Store
	keys  ring
	log   *slog.Logger
}

var _ store.Store = (*Store)(nil)

// Wrap makes a store around another one. The first key seals, all of them open; none: nothing is sealed. Log is told
// of records that cannot be opened, while they are followed, once when that begins and once when it ends; nil: nobody
// is. It returns an error where a Key is empty, or inner is nil.
func Wrap(inner store.Store, log *slog.Logger, keys ...Key) (*Store, error) {
	if inner == nil {
		return nil, errors.New("seal the certificate store: no store is given")
	}
	for i, key := range keys {
		if key.secret == nil {
			return nil, fmt.Errorf("seal the certificate store: key %d of %d is empty", i+1, len(keys))
		}
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Store{inner: inner, keys: append(ring(nil), keys...), log: log}, nil
}

// KeyIDs gives the [Key.ID] of each key, that which seals first; none: nothing is sealed.
func (s *Store) KeyIDs() []string { return s.keys.ids() }

// Load is as [store.Store] says. The error for a record that does not open is an *[Error].
func (s *Store) Load(ctx context.Context, key string) (store.Record, error) {
	record, err := s.inner.Load(ctx, key)
	if err != nil || !seals(key) {
		return record, err
	}
	record.Value, err = s.keys.open(record)
	switch {
	case errors.Is(err, ErrDamaged):
		return store.Record{Key: record.Key, Version: record.Version}, fmt.Errorf("load %s: %w", key, err)
	case err != nil:
		return store.Record{}, fmt.Errorf("load %s: %w", key, err)
	}
	return record, nil
}

// Save is as [store.Store] says. It returns [ErrSealed] where it would replace a record that is sealed with another
// key. With no key, it refuses a value that begins as sealed records do.
func (s *Store) Save(ctx context.Context, record store.Record) (store.Record, error) {
	return s.save(ctx, record, s.inner.Save)
}

// save seals a record for one that writes it.
func (s *Store) save(ctx context.Context, record store.Record,
	write func(context.Context, store.Record) (store.Record, error)) (store.Record, error) {

	if !seals(record.Key) {
		return write(ctx, record)
	}
	if err := store.CheckRecord(record); err != nil {
		return store.Record{}, err
	}
	if record.Version != "" { // else write refuses whatever is there
		if err := s.mayTouch(ctx, record.Key); err != nil {
			return store.Record{}, fmt.Errorf("save %s: %w", record.Key, err)
		}
	}
	sealed := record
	switch {
	case len(s.keys) > 0:
		sealed.Value = s.keys[0].seal(record.Key, record.Value)
	case bytes.HasPrefix(record.Value, []byte(magic)):
		return store.Record{}, fmt.Errorf("save %s: the value is sealed already, or would be taken for it", record.Key)
	}
	saved, err := write(ctx, sealed)
	if err != nil {
		return store.Record{}, err
	}
	record.Version = saved.Version
	return record, nil
}

// Delete is as [store.Store] says. It returns [ErrSealed] where the record is sealed with another key. One that is
// damaged is deleted.
func (s *Store) Delete(ctx context.Context, key string) error {
	if seals(key) {
		// A record that somebody with another key writes just now is not seen: Delete names no version.
		if err := s.mayTouch(ctx, key); err != nil {
			return fmt.Errorf("delete %s: %w", key, err)
		}
	}
	return s.inner.Delete(ctx, key)
}

// mayTouch gives ErrSealed where a record is sealed with another key.
func (s *Store) mayTouch(ctx context.Context, key string) error {
	there, err := s.inner.Load(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := s.keys.open(there); errors.Is(err, ErrSealed) {
		return err
	}
	return nil
}

// Lock is as [store.Store] says.
func (s *Store) Lock(ctx context.Context, name string) (store.Lock, error) {
	held, err := s.inner.Lock(ctx, name)
	if err != nil {
		return nil, err
	}
	return &lock{Lock: held, store: s}, nil
}

type lock struct {
	store.Lock
	store *Store
}

func (l *lock) Save(ctx context.Context, record store.Record) (store.Record, error) {
	return l.store.save(ctx, record, l.Lock.Save)
}
