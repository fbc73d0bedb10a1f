package dir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/tricot-proxy/tricot/certs/store"
)

// Lock is as [store.Store] says. The lock is one of the kernel's: its Lost is never closed, because nothing but the end
// of the process takes it away.
func (s *Store) Lock(ctx context.Context, name string) (store.Lock, error) {
	l, err := s.lock(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("lock %s in %s: %w", name, s.dir, err)
	}
	return l, nil
}

func (s *Store) lock(ctx context.Context, name string) (*lock, error) {
	if err := store.CheckName(name); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	key := store.Locks + "/" + name
	if _, err := s.find(key); err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	path := s.path(key)
	if err := s.makeParents(path); err != nil {
		return nil, err
	}
	file, err := flock(ctx, path, 50*time.Millisecond)
	if err != nil {
		return nil, err
	}
	return &lock{store: s, name: name, path: path, lost: make(chan struct{}), file: file}, nil
}

type lock struct {
	store      *Store
	name, path string
	lost       chan struct{}

	mu   sync.Mutex // keeps an Unlock out of the middle of a Save
	file *os.File   // nil after Unlock
}

func (l *lock) Lost() <-chan struct{} { return l.lost }

func (l *lock) Save(ctx context.Context, record store.Record) (store.Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	saved, err := l.store.save(ctx, record, l.held)
	if err != nil {
		return store.Record{}, fmt.Errorf("save %s to %s under lock %s: %w", record.Key, l.store.dir, l.name, err)
	}
	return saved, nil
}

// held fails too where somebody removed the file: then the next to come could lock another one of the same name.
func (l *lock) held() error {
	if l.file == nil || !isAt(l.file, l.path) {
		return store.ErrLockLost
	}
	return nil
}

func (l *lock) Unlock(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return fmt.Errorf("unlock %s in %s: it was unlocked before", l.name, l.store.dir)
	}
	err := removeLocked(l.file, l.path)
	unflock(l.file)
	l.file = nil
	if err != nil {
		return fmt.Errorf("unlock %s in %s: %w", l.name, l.store.dir, err)
	}
	return nil
}
