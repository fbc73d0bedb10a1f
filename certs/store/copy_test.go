package store_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/store"
	"github.com/tricot-proxy/tricot/certs/store/dir"
)

func opened(t *testing.T) *dir.Store {
	t.Helper()
	s, err := dir.Open(dir.Options{Dir: t.TempDir(), Poll: 20 * time.Millisecond, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	return s
}

func put(t *testing.T, s store.Store, key, value string) {
	t.Helper()
	there, _ := s.Load(t.Context(), key)
	_, err := s.Save(t.Context(), store.Record{Key: key, Value: []byte(value), Version: there.Version})
	require.NoError(t, err)
}

func get(t *testing.T, s store.Store, key string) string {
	t.Helper()
	record, err := s.Load(t.Context(), key)
	if errors.Is(err, store.ErrNotFound) {
		return "none"
	}
	require.NoError(t, err)
	return string(record.Value)
}

func TestCopy_ReplacesWhatIsThereAndLeavesTheRest(t *testing.T) {
	from, to := opened(t), opened(t)
	put(t, from, "certs/a", "new")
	put(t, from, "certs/d/e", "deep")
	put(t, from, "account/x", "account")
	put(t, from, "challenge/t", "answer")
	put(t, to, "certs/a", "old")
	put(t, to, "certs/b", "kept")

	copied, err := store.Copy(t.Context(), from, to, "certs/", "account/", "local/")
	require.NoError(t, err)
	assert.Equal(t, 3, copied)
	for key, want := range map[string]string{
		"certs/a": "new", "certs/b": "kept", "certs/d/e": "deep", "account/x": "account", "challenge/t": "none",
	} {
		assert.Equal(t, want, get(t, to, key), key)
	}
	assert.Equal(t, "none", get(t, from, "certs/b"))
}

// between is a store that somebody else changes between two calls.
type between struct {
	store.Store
	load func() // before each Load
}

func (b *between) Load(ctx context.Context, key string) (store.Record, error) {
	b.load()
	return b.Store.Load(ctx, key)
}

func TestCopy_FromAStoreToItselfPutsNothingBackThatChangesInTheMeantime(t *testing.T) {
	s := opened(t)
	put(t, s, "certs/a", "0")
	loads := 0
	busy := &between{Store: s, load: func() {
		if loads++; loads <= 5 {
			put(t, s, "certs/a", fmt.Sprint(loads))
		}
	}}
	copied, err := store.Copy(t.Context(), busy, busy, "certs/")
	require.NoError(t, err)
	assert.Equal(t, 1, copied)
	assert.Equal(t, "5", get(t, s, "certs/a"))
}

func TestCopy_PassesOverWhatIsDeletedInTheMeantime(t *testing.T) {
	s, to := opened(t), opened(t)
	put(t, s, "certs/a", "1")
	copied, err := store.Copy(t.Context(), &between{Store: s, load: func() {
		_ = s.Delete(context.Background(), "certs/a")
	}}, to, "certs/")
	require.NoError(t, err)
	assert.Zero(t, copied)
	assert.Equal(t, "none", get(t, to, "certs/a"))
}

// broken is a store that takes no more than a number of records.
type broken struct {
	store.Store
	room int
}

func (b *broken) Save(ctx context.Context, record store.Record) (store.Record, error) {
	if b.room--; b.room < 0 {
		return store.Record{}, errors.New("disk full")
	}
	return b.Store.Save(ctx, record)
}

func TestCopy_StopsAtTheFirstErrorAndSaysHowFarItCame(t *testing.T) {
	from, to := opened(t), opened(t)
	for _, name := range []string{"a", "b", "c"} {
		put(t, from, "certs/"+name, name)
	}
	copied, err := store.Copy(t.Context(), from, &broken{to, 1}, "certs/")
	require.ErrorContains(t, err, "copy certs/b: disk full")
	assert.Equal(t, 1, copied)
	assert.Equal(t, "a", get(t, to, "certs/a"))
	copied, err = store.Copy(t.Context(), from, to, "certs/")
	require.NoError(t, err)
	assert.Equal(t, 3, copied, "anew")
}

func TestCopy_RefusesWhatIsNoPrefixAndEndsWithItsContext(t *testing.T) {
	from, to := opened(t), opened(t)
	_, err := store.Copy(t.Context(), from, to, "certs")
	assert.ErrorContains(t, err, `prefix "certs" does not end with "/"`)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = store.Copy(ctx, from, to, "certs/")
	assert.ErrorIs(t, err, context.Canceled)
}
