package sealed_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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

func wrapLogged(t testing.TB, inner store.Store, log *logbook, keys ...sealed.Key) *sealed.Store {
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

// follow starts a Follow that ends with the test, and gives what it tells.
func follow(t testing.TB, s store.Store, prefix string) <-chan []store.Record {
	told := make(chan []store.Record, 1000)
	run(t, func(ctx context.Context) error {
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

// run runs something until the test ends, and holds it to return then.
func run(t testing.TB, f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		assert.NoError(t, <-ended)
	})
	t.Cleanup(stop)
	return stop
}

// A logbook keeps what was logged.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logbook) count(text string) int { return strings.Count(l.String(), text) }
