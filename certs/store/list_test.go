package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/store"
	"github.com/tricot-proxy/tricot/certs/store/dir"
)

func opened(t *testing.T) *dir.Store {
	t.Helper()
	s, err := dir.Open(dir.Options{Dir: t.TempDir(), Poll: 20 * time.Millisecond})
	require.NoError(t, err)
	return s
}

func put(t *testing.T, s store.Store, key, value string) store.Record {
	t.Helper()
	saved, err := s.Save(t.Context(), store.Record{Key: key, Value: []byte(value)})
	require.NoError(t, err)
	return saved
}

func TestList_GivesAllThatIsBelowAPrefixSortedByKey(t *testing.T) {
	s := opened(t)
	b, deep, a := put(t, s, "certs/b", "two"), put(t, s, "certs/d/e", "three"), put(t, s, "certs/a", "one")
	put(t, s, "account/x", "another's")
	records, err := store.List(t.Context(), s, "certs/")
	require.NoError(t, err)
	assert.Equal(t, []store.Record{a, b, deep}, records)
}

func TestList_IsEmptyWhereThereIsNothing(t *testing.T) {
	records, err := store.List(t.Context(), opened(t), "certs/")
	require.NoError(t, err)
	assert.Empty(t, records)
}

func TestList_RefusesWhatIsNoPrefix(t *testing.T) {
	records, err := store.List(t.Context(), opened(t), "certs")
	assert.ErrorContains(t, err, `prefix "certs" does not end with "/"`)
	assert.Nil(t, records)
}

// following is a store whose Follow is another one.
type following struct {
	store.Store
	follow func(ctx context.Context, changed func([]store.Record)) error
}

func (f following) Follow(ctx context.Context, _ string, changed func([]store.Record)) error {
	return f.follow(ctx, changed)
}

func TestList_EndsWithItsContextWhereTheStoreIsAway(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	away := following{follow: func(ctx context.Context, _ func([]store.Record)) error {
		cancel() // while it is waited for
		<-ctx.Done()
		return nil
	}}
	records, err := store.List(ctx, away, "certs/")
	require.ErrorIs(t, err, context.Canceled)
	assert.ErrorContains(t, err, "read certs of the certificate store")
	assert.Nil(t, records)
}

func TestList_GivesWhatItWasToldFirst(t *testing.T) {
	changing := following{follow: func(ctx context.Context, changed func([]store.Record)) error {
		changed([]store.Record{{Key: "certs/a", Version: "1"}})
		changed([]store.Record{{Key: "certs/a", Version: "2"}})
		<-ctx.Done()
		return nil
	}}
	records, err := store.List(t.Context(), changing, "certs/")
	require.NoError(t, err)
	assert.Equal(t, []store.Record{{Key: "certs/a", Version: "1"}}, records)
}

func TestList_GivesARecordThatCannotBeOpenedWithItsError(t *testing.T) {
	closed := []store.Record{{Key: "certs/a", Version: "1", Err: errors.Join(store.ErrSealed)}}
	sealed := following{follow: func(_ context.Context, changed func([]store.Record)) error {
		changed(closed)
		return nil
	}}
	records, err := store.List(t.Context(), sealed, "certs/")
	require.NoError(t, err)
	assert.Equal(t, closed, records)
}
