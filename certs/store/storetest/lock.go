package storetest

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/store"
)

func lock(t *testing.T, s store.Store, name string) store.Lock {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	lock, err := s.Lock(ctx, name)
	require.NoError(t, err)
	return lock
}

func lockExclusion(t *testing.T, open func() store.Store) {
	const handles, goroutines, each = 3, 2, 4
	s := open()
	save(t, s, "turns", "")
	var inside atomic.Int32
	var all sync.WaitGroup
	for range handles {
		mine := open()
		for range goroutines {
			all.Go(func() {
				for range each {
					held, err := mine.Lock(t.Context(), "app.example.com")
					if !assert.NoError(t, err) {
						return
					}
					assert.Equal(t, int32(1), inside.Add(1), "two hold the lock")
					// Nobody else writes, so that no save can meet another version.
					record, err := mine.Load(t.Context(), "turns")
					assert.NoError(t, err)
					record.Value = append(record.Value[:len(record.Value):len(record.Value)], '+')
					_, err = held.Save(t.Context(), record)
					assert.NoError(t, err)
					inside.Add(-1)
					assert.NoError(t, held.Unlock(t.Context()))
				}
			})
		}
	}
	all.Wait()
	assert.Len(t, load(t, s, "turns").Value, handles*goroutines*each)
}

func lockNames(t *testing.T, open func() store.Store) {
	s, other := open(), open()
	a := lock(t, s, "a")
	b := lock(t, other, "b")
	c := lock(t, s, "*.c")
	for _, held := range []store.Lock{a, b, c} {
		require.NoError(t, held.Unlock(t.Context()))
	}
}

func lockWait(t *testing.T, open func() store.Store) {
	s, other := open(), open()
	held := lock(t, s, "a")
	for _, handle := range []store.Store{s, other} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, err := handle.Lock(ctx, "a")
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		cancel()
	}
	// Who gave up has left nothing behind, and who waits gets it.
	got := make(chan store.Lock)
	go func() {
		next, err := other.Lock(t.Context(), "a")
		assert.NoError(t, err)
		got <- next
	}()
	select {
	case <-got:
		require.Fail(t, "two hold the lock")
	case <-held.Lost():
		require.Fail(t, "the lock was lost")
	case <-time.After(50 * time.Millisecond):
	}
	require.NoError(t, held.Unlock(t.Context()))
	select {
	case next := <-got:
		require.NotNil(t, next)
		require.NoError(t, next.Unlock(t.Context()))
	case <-time.After(patience):
		require.Fail(t, "the lock was given back and nobody got it")
	}
}

func lockOutlives(t *testing.T, open func() store.Store) {
	s, other := open(), open()
	ctx, cancel := context.WithCancel(t.Context())
	held, err := s.Lock(ctx, "a")
	require.NoError(t, err)
	cancel()
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = other.Lock(short, "a")
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = held.Save(t.Context(), store.Record{Key: "certs/a", Value: []byte("one")})
	assert.NoError(t, err)
	require.NoError(t, held.Unlock(t.Context()))
}

func lockSave(t *testing.T, open func() store.Store) {
	s, other := open(), open()
	held := lock(t, s, "a")
	first, err := held.Save(t.Context(), store.Record{Key: "certs/a", Value: []byte("one")})
	require.NoError(t, err)
	assert.NotEmpty(t, first.Version)
	assert.Equal(t, first, load(t, other, "certs/a"))

	_, err = held.Save(t.Context(), store.Record{Key: "certs/a", Value: []byte("x")})
	assert.ErrorIs(t, err, store.ErrConflict, "no version")
	second, err := other.Save(t.Context(), store.Record{Key: "certs/a", Value: []byte("two"), Version: first.Version})
	require.NoError(t, err, "a lock holds up no write without it")
	_, err = held.Save(t.Context(), store.Record{Key: "certs/a", Value: []byte("x"), Version: first.Version})
	assert.ErrorIs(t, err, store.ErrConflict, "an old version")
	third, err := held.Save(t.Context(), store.Record{Key: "certs/a", Value: []byte("three"), Version: second.Version})
	require.NoError(t, err)
	assert.Equal(t, third, load(t, other, "certs/a"))
	_, err = held.Save(t.Context(), store.Record{Key: "certs/b", Value: make([]byte, store.MaxValue)})
	assert.NoError(t, err, "as much as Save takes")
	require.NoError(t, held.Unlock(t.Context()))
}

func lockSaveAfterUnlock(t *testing.T, open func() store.Store) {
	s := open()
	held := lock(t, s, "a")
	require.NoError(t, held.Unlock(t.Context()))
	_, err := held.Save(t.Context(), store.Record{Key: "certs/a", Value: []byte("one")})
	assert.ErrorIs(t, err, store.ErrLockLost)

	again := lock(t, s, "a")
	_, err = held.Save(t.Context(), store.Record{Key: "certs/a", Value: []byte("one")})
	assert.ErrorIs(t, err, store.ErrLockLost, "while another holds it")
	_, err = s.Load(t.Context(), "certs/a")
	assert.ErrorIs(t, err, store.ErrNotFound)
	require.NoError(t, again.Unlock(t.Context()))
}

func lockNoRecord(t *testing.T, open func() store.Store) {
	s := open()
	certs := follow(t, s, "certs/")
	next(t, certs, is())
	held := lock(t, s, "certs")
	save(t, s, "certs/a", "one")
	next(t, certs, is("certs/a=one"))
	require.NoError(t, held.Unlock(t.Context()))
}
