package sealed_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/certstest"
	"github.com/tricot-proxy/tricot/certs/store"
	"github.com/tricot-proxy/tricot/certs/store/dir"
	"github.com/tricot-proxy/tricot/certs/store/sealed"
)

const patience = 30 * time.Second

// raw gives the bytes of a key.
func raw(fill byte) []byte { return bytes.Repeat([]byte{fill}, 32) }

func key(t testing.TB, fill byte) sealed.Key {
	t.Helper()
	k, err := sealed.ParseKey(hex.EncodeToString(raw(fill)))
	require.NoError(t, err)
	return k
}

func openDir(t testing.TB, path string) *dir.Store {
	t.Helper()
	s, err := dir.Open(dir.Options{Dir: path, Poll: 20 * time.Millisecond})
	require.NoError(t, err)
	return s
}

func wrap(t testing.TB, inner store.Store, keys ...sealed.Key) *sealed.Store {
	t.Helper()
	return wrapLogged(t, inner, nil, keys...)
}

func wrapLogged(t testing.TB, inner store.Store, log *certstest.Logbook, keys ...sealed.Key) *sealed.Store {
	t.Helper()
	var logger *slog.Logger
	if log != nil {
		logger = slog.New(slog.NewTextHandler(log, nil))
	}
	s, err := sealed.Wrap(inner, logger, keys...)
	require.NoError(t, err)
	return s
}

func save(t testing.TB, s store.Store, key, value string) store.Record {
	t.Helper()
	there, err := s.Load(t.Context(), key)
	if err != nil {
		require.ErrorIs(t, err, store.ErrNotFound)
	}
	saved, err := s.Save(t.Context(), store.Record{Key: key, Value: []byte(value), Version: there.Version})
	require.NoError(t, err)
	return saved
}

func load(t testing.TB, s store.Store, key string) string {
	t.Helper()
	record, err := s.Load(t.Context(), key)
	require.NoError(t, err)
	return string(record.Value)
}

// rewrite copies what is below some prefixes, each record with the version that is there already, and gives how many it
// wrote. Both stores may be the same place, which then has every record written anew.
func rewrite(t testing.TB, from, to store.Store, prefixes ...string) (written int, err error) {
	t.Helper()
	for _, prefix := range prefixes {
		records, err := store.List(t.Context(), from, prefix)
		require.NoError(t, err)
		for _, record := range records {
			if record.Err != nil {
				return written, record.Err
			}
			there, err := to.Load(t.Context(), record.Key)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return written, err
			}
			record.Version = there.Version
			if _, err = to.Save(t.Context(), record); err != nil {
				return written, err
			}
			written++
		}
	}
	return written, nil
}

// follow starts a Follow that ends with the test, and gives what it tells.
func follow(t testing.TB, s store.Store, prefix string) <-chan []store.Record {
	told := make(chan []store.Record, 1000)
	certstest.Run(t, func(ctx context.Context) error {
		return s.Follow(ctx, prefix, func(records []store.Record) { told <- records })
	})
	return told
}

func next(t testing.TB, told <-chan []store.Record) []store.Record {
	t.Helper()
	select {
	case records := <-told:
		return records
	case <-time.After(patience):
		require.Fail(t, "Follow told nothing")
		return nil
	}
}
