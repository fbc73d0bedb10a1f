// Package storetest holds an implementation of the store to its contract: the comments of package store, sentence by
// sentence. An implementation's own test calls [Run]; what happens when its holder of a lock dies, or its server goes
// away, it tests itself.
package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/store"
)

// patience is how long a test waits for what has to come. It is much, so that a busy machine fails no test; what the
// contract says about time is measured apart.
const patience = 30 * time.Second

// Run tests an implementation. fresh is called once for each test, for several at once: it makes a place with nothing in it, for which t's
// Cleanup is the end, and gives a function that opens one more handle on it, as another process would. That may be
// called from the test's goroutine only.
func Run(t *testing.T, fresh func(t *testing.T) (open func() store.Store)) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, func() store.Store)
	}{
		{"Load_SaysNotFoundWhereThereIsNoRecord", notFound},
		{"Save_MakesARecordThatEveryHandleLoads", create},
		{"Save_ReplacesARecordWhoseVersionItNames", update},
		{"Save_RefusesAVersionThatIsNotTheStores", conflict},
		{"Save_KeepsValuesByteForByte", values},
		{"Save_RefusesAValueThatIsTooLarge", tooLarge},
		{"Save_LosesNothingOfManyWriters", increments},
		{"Delete_RemovesARecordWhateverItsVersion", deletion},
		{"Keys_AreKeptApart", keysApart},
		{"Keys_ThatAreNoneAreRefusedByEveryMethod", badKeys},
		{"Methods_ReturnTheErrorOfAContextThatEnded", endedContext},
		{"Follow_TellsAtOnceThatThereIsNothing", followNothing},
		{"Follow_TellsAtOnceWhatThereIsSortedByKey", followThere},
		{"Follow_TellsEachChangeByAnyHandleWithinASecond", followChanges},
		{"Follow_TellsOnlyWhatIsBelowItsPrefix", followPrefix},
		{"Follow_NeverCallsTwiceAtOnceNorAfterItsEnd", followCalls},
		{"Follow_RefusesWhatIsNoPrefix", followBadPrefix},
		{"Lock_HasOneHolderAmongAllHandles", lockExclusion},
		{"Lock_OfAnotherNameIsFree", lockNames},
		{"Lock_WaitsUntilItsContextEnds", lockWait},
		{"Lock_OutlivesTheContextThatItWasTakenWith", lockOutlives},
		{"Lock_SavesAsTheStoreDoesWhileItIsHeld", lockSave},
		{"Lock_SavesNothingAfterUnlock", lockSaveAfterUnlock},
		{"Lock_IsNoRecord", lockNoRecord},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, fresh(t))
		})
	}
}

func notFound(t *testing.T, open func() store.Store) {
	s := open()
	for _, key := range []string{"a", "certs/a", "deep/er/a"} {
		_, err := s.Load(t.Context(), key)
		assert.ErrorIs(t, err, store.ErrNotFound, key)
	}
}

func create(t *testing.T, open func() store.Store) {
	s, other := open(), open()
	saved, err := s.Save(t.Context(), store.Record{Key: "certs/a", Value: []byte("one")})
	require.NoError(t, err)
	assert.Equal(t, "certs/a", saved.Key)
	assert.Equal(t, "one", string(saved.Value))
	assert.NotEmpty(t, saved.Version)
	for _, s := range []store.Store{s, other, open()} {
		assert.Equal(t, saved, load(t, s, "certs/a"))
	}
}

func update(t *testing.T, open func() store.Store) {
	s, other := open(), open()
	first := save(t, s, "certs/a", "one")
	second, err := other.Save(t.Context(), store.Record{Key: "certs/a", Value: []byte("two"), Version: first.Version})
	require.NoError(t, err)
	assert.NotEqual(t, first.Version, second.Version)
	assert.Equal(t, second, load(t, s, "certs/a"))
	third, err := s.Save(t.Context(), store.Record{Key: "certs/a", Value: []byte("three"), Version: second.Version})
	require.NoError(t, err)
	assert.Equal(t, third, load(t, other, "certs/a"))
}

func conflict(t *testing.T, open func() store.Store) {
	s, other := open(), open()
	first := save(t, s, "certs/a", "one")
	second, err := s.Save(t.Context(), store.Record{Key: "certs/a", Value: []byte("two"), Version: first.Version})
	require.NoError(t, err)

	for name, record := range map[string]store.Record{
		"an old version":        {Key: "certs/a", Value: []byte("x"), Version: first.Version},
		"no version":            {Key: "certs/a", Value: []byte("x")},
		"no version, no change": {Key: "certs/a", Value: []byte("two")},
		"a version of nothing":  {Key: "certs/b", Value: []byte("x"), Version: first.Version},
	} {
		got, err := other.Save(t.Context(), record)
		assert.ErrorIs(t, err, store.ErrConflict, name)
		assert.Zero(t, got, name)
	}
	assert.Equal(t, second, load(t, s, "certs/a"))
	_, err = s.Load(t.Context(), "certs/b")
	assert.ErrorIs(t, err, store.ErrNotFound)

	require.NoError(t, s.Delete(t.Context(), "certs/a"))
	_, err = s.Save(t.Context(), store.Record{Key: "certs/a", Value: []byte("x"), Version: second.Version})
	assert.ErrorIs(t, err, store.ErrConflict, "the version of a deleted record")
	save(t, s, "certs/a", "again")
}

func values(t *testing.T, open func() store.Store) {
	s, other := open(), open()
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	large := make([]byte, store.MaxValue)
	_, _ = rand.Read(large)
	for name, value := range map[string][]byte{
		"empty": {}, "newlines": []byte("\r\n\n"), "every-byte": all, "large": large,
	} {
		saved := save(t, s, "values/"+name, string(value))
		got := load(t, other, "values/"+name)
		assert.True(t, bytes.Equal(value, got.Value), name)
		assert.Equal(t, saved.Version, got.Version, name)
	}
	empty := load(t, s, "values/empty")
	assert.NotEmpty(t, empty.Version, "an empty record is there")
}

func tooLarge(t *testing.T, open func() store.Store) {
	s := open()
	_, err := s.Save(t.Context(), store.Record{Key: "certs/a", Value: make([]byte, store.MaxValue+store.Sealing+1)})
	require.Error(t, err)
	_, err = s.Load(t.Context(), "certs/a")
	assert.ErrorIs(t, err, store.ErrNotFound)
}

func increments(t *testing.T, open func() store.Store) {
	const writers, each = 4, 10
	s := open()
	save(t, s, "count", "")
	var all sync.WaitGroup
	for range writers {
		mine := open()
		all.Go(func() {
			for done := 0; done < each; {
				record, err := mine.Load(t.Context(), "count")
				if !assert.NoError(t, err) {
					return
				}
				record.Value = append(bytes.Clone(record.Value), '+')
				switch _, err := mine.Save(t.Context(), record); {
				case err == nil:
					done++
				case !errors.Is(err, store.ErrConflict):
					assert.NoError(t, err)
					return
				}
			}
		})
	}
	all.Wait()
	assert.Equal(t, strings.Repeat("+", writers*each), string(load(t, s, "count").Value))
}

func deletion(t *testing.T, open func() store.Store) {
	s, other := open(), open()
	save(t, s, "certs/a", "one")
	save(t, s, "certs/b", "two")
	require.NoError(t, other.Delete(t.Context(), "certs/a"))
	_, err := s.Load(t.Context(), "certs/a")
	assert.ErrorIs(t, err, store.ErrNotFound)
	assert.ErrorIs(t, s.Delete(t.Context(), "certs/a"), store.ErrNotFound)
	assert.ErrorIs(t, s.Delete(t.Context(), "nothing/here"), store.ErrNotFound)
	assert.Equal(t, "two", string(load(t, s, "certs/b").Value))
	save(t, other, "certs/a", "back")
	assert.Equal(t, "back", string(load(t, s, "certs/a").Value))
}

func keysApart(t *testing.T, open func() store.Store) {
	s := open()
	keys := []string{"a", "certs/a", "certs/*.a", "certs/A-_~", "certs/a.", "challenge/a", "deep/er/a", "certs/.a", "certs/...",
		"certs/" + strings.Repeat("n", store.MaxName)}
	for _, key := range keys {
		save(t, s, key, "of "+key)
	}
	for _, key := range keys {
		assert.Equal(t, "of "+key, string(load(t, s, key).Value))
	}
}

func badKeys(t *testing.T, open func() store.Store) {
	s := open()
	for _, key := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a b", "a\x00", "a\n", "ä", `a\b`, "a:b", "a/#new", "#lock",
		strings.Repeat("n", store.MaxName+1), strings.Repeat("name/", 100) + "n", store.Locks, store.Locks + "/a",
	} {
		_, err := s.Load(t.Context(), key)
		assert.Error(t, err, key)
		assert.NotErrorIs(t, err, store.ErrNotFound, key)
		_, err = s.Save(t.Context(), store.Record{Key: key, Value: []byte("x")})
		assert.Error(t, err, key)
		err = s.Delete(t.Context(), key)
		assert.Error(t, err, key)
		assert.NotErrorIs(t, err, store.ErrNotFound, key)
	}
	for _, name := range []string{"", ".", "..", "a/b", "a b", "/", strings.Repeat("n", store.MaxName+1)} {
		_, err := s.Lock(t.Context(), name)
		assert.Error(t, err, name)
	}
	lock := lock(t, s, "a")
	_, err := lock.Save(t.Context(), store.Record{Key: "..", Value: []byte("x")})
	assert.Error(t, err)
	require.NoError(t, lock.Unlock(t.Context()))
}

func endedContext(t *testing.T, open func() store.Store) {
	s := open()
	save(t, s, "certs/a", "one")
	held := lock(t, s, "held")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Load(ctx, "certs/a")
	assert.ErrorIs(t, err, context.Canceled)
	_, err = s.Save(ctx, store.Record{Key: "certs/b"})
	assert.ErrorIs(t, err, context.Canceled)
	_, err = held.Save(ctx, store.Record{Key: "certs/b"})
	assert.ErrorIs(t, err, context.Canceled)
	assert.ErrorIs(t, s.Delete(ctx, "certs/a"), context.Canceled)
	_, err = s.Lock(ctx, "free")
	assert.ErrorIs(t, err, context.Canceled)
	require.NoError(t, held.Unlock(t.Context()))

	assert.Equal(t, "one", string(load(t, s, "certs/a").Value))
	_, err = s.Load(t.Context(), "certs/b")
	assert.ErrorIs(t, err, store.ErrNotFound)
}

func load(t *testing.T, s store.Store, key string) store.Record {
	t.Helper()
	record, err := s.Load(t.Context(), key)
	require.NoError(t, err)
	assert.Equal(t, key, record.Key)
	return record
}

// save makes a record that is not there yet.
func save(t *testing.T, s store.Store, key, value string) store.Record {
	t.Helper()
	record, err := s.Save(t.Context(), store.Record{Key: key, Value: []byte(value)})
	require.NoError(t, err)
	return record
}
