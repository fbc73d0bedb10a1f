// Package store says what the place is where certificates, the ACME account, challenges and locks live, shared by all
// instances of the cluster. Its implementations are in the folders below; package storetest holds each to this contract.
package store

import (
	"context"
	"errors"
)

// What the methods return, perhaps wrapped: compare with [errors.Is].
var (
	// ErrNotFound is what Load and Delete return for a key that is not there.
	ErrNotFound = errors.New("not found")

	// ErrConflict is what a write returns where the record is no longer the one that the writer read.
	ErrConflict = errors.New("changed by another writer")

	// ErrLockLost is what a write under a lock returns where the lock is no longer held.
	ErrLockLost = errors.New("lock lost")

	// ErrSealed is what every method returns for a record that is there, and that its reader has no key for. It is not to
	// be replaced: others have the key. Only a store that seals knows of it, as of ErrDamaged.
	ErrSealed = errors.New("sealed with another key")

	// ErrDamaged is what Load returns for a record that is there, and is not what was written. The record comes with it,
	// without a value, so that who can make another may replace it. No other method minds.
	ErrDamaged = errors.New("damaged")
)

// A Record is a value under its key.
//
// A key is a path of one or more names joined by "/", such as "certs/app.example.com", of at most [MaxKey] bytes. A
// name is one to [MaxName] letters, digits and ". - _ ~ *", and is neither "." nor "..". The first name is not [Locks].
// No record's key goes on from another's with a "/", be that one deleted or not: a store may refuse to write such a one.
// Every method refuses what is no key with an error ([CheckKey]). Save takes a value of up to [MaxValue] bytes, and refuses
// one that is larger by more than [Sealing].
type Record struct {
	Key string
	// Value is any bytes, or none. What a store gave out may be shared: nobody changes it.
	Value []byte
	// Version names this state of the record. It is opaque; two values of a record never have the same one, though a
	// value that comes back may have its old one again. Empty: there is no record.
	Version string
	// Err is set by Follow alone, where Load would return ErrSealed or ErrDamaged; it wraps one of these, and there is no
	// Value then.
	Err error
}

// A Store may be used by many goroutines, and by many processes at once. Values may hold private keys: an
// implementation keeps them from every other user of its machine. A ctx that ends makes a method return its error,
// unless a write has begun, which is then done whole or not at all.
type Store interface {
	// Load gives the record under a key, or ErrNotFound.
	Load(ctx context.Context, key string) (Record, error)

	// Save writes a record whole where the store still has the Version that it names (the empty one: where there is no
	// record yet), and gives it back with its new Version; otherwise it returns ErrConflict and writes nothing.
	Save(ctx context.Context, record Record) (Record, error)

	// Delete removes the record under a key, whatever its version, or returns ErrNotFound.
	Delete(ctx context.Context, key string) error

	// Follow calls changed with all records whose keys start with prefix (a whole number of names and a "/", such as
	// "certs/"), sorted by key: once at the start, even where there are none, and again within a second of each change,
	// whoever made it. Changes that come together may be told together. It returns nil when ctx ends, and only then; for
	// what is no prefix it returns an error at once. Where the store cannot be read for a while, it logs that once, calls
	// nothing, and goes on when the store is back. It never calls changed twice at once, and not after it returned.
	Follow(ctx context.Context, prefix string, changed func([]Record)) error

	// Lock waits until it holds the lock of a name (a name as in a key) or ctx ends. No two holders ever have the same
	// lock, in whatever process they are, and a holder that dies loses it. The end of ctx after Lock has returned means
	// nothing to the lock.
	Lock(ctx context.Context, name string) (Lock, error)
}

// A Lock is held from Store.Lock on until Unlock, or until it is lost. Its methods may be called by several goroutines.
type Lock interface {
	// Lost is closed when the lock is no longer held without Unlock having been called: the store could not be reached
	// in time to keep it. Its holder stops what it does. It is never closed by a store that cannot lose a lock.
	Lost() <-chan struct{}

	// Save is as Store.Save, and returns ErrLockLost and writes nothing where the lock is not held at the moment of the
	// write.
	Save(ctx context.Context, record Record) (Record, error)

	// Unlock gives the lock back. It is called exactly once, also for a lock that was lost.
	Unlock(ctx context.Context) error
}
