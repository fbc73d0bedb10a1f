package dir_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/certstest"
	"github.com/tricot-proxy/tricot/certs/store"
	"github.com/tricot-proxy/tricot/certs/store/dir"
)

// A follower keeps what Follow told last.
type follower struct {
	mu    sync.Mutex
	lines string
	calls int
}

func follow(t testing.TB, s store.Store) *follower {
	f := &follower{}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- s.Follow(ctx, "certs/", func(records []store.Record) {
			var lines []string
			for _, record := range records {
				lines = append(lines, strings.TrimPrefix(record.Key, "certs/")+"="+string(record.Value))
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			f.lines = strings.Join(lines, " ")
			f.calls++
		})
	}()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-ended)
	})
	return f
}

func (f *follower) state() (lines string, calls int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lines, f.calls
}

func (f *follower) await(t *testing.T, want string) {
	t.Helper()
	require.Eventually(t, func() bool { lines, calls := f.state(); return calls > 0 && lines == want }, 30*time.Second,
		5*time.Millisecond, want)
}

func TestFollow_KeepsQuietWhileTheDirectoryIsAwayAndGoesOnWhenItIsBack(t *testing.T) {
	for name, away := range map[string]string{"the whole store": ".", "the prefix, a file in its place": "certs"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state")
			log := &certstest.Logbook{}
			s := openLogged(t, path, log)
			save(t, s, "certs/a", "1")
			f := follow(t, s)
			f.await(t, "a=1")
			_, before := f.state()

			moved := filepath.Join(path, away)
			aside := filepath.Join(filepath.Dir(path), "aside")
			if away == "." {
				moved = path
			}
			require.NoError(t, os.Rename(moved, aside))
			if away != "." {
				// Between the two steps the prefix is not there, which is well; so this is what comes last.
				write(t, moved, "", 0o600)
			}
			require.Eventually(t, func() bool { return log.Count("cannot be read") == 1 }, 30*time.Second, 5*time.Millisecond)
			lines, calls := f.state()
			if away == "." {
				assert.Equal(t, "a=1", lines)
				assert.Equal(t, before, calls)
			}
			write(t, filepath.Join(aside, map[string]string{".": "certs/b", "certs": "b"}[away]), "2", 0o600)
			require.NoError(t, os.RemoveAll(moved))
			require.NoError(t, os.Rename(aside, moved))
			f.await(t, "a=1 b=2")
			assert.Equal(t, 1, log.Count("cannot be read;"))
			assert.Equal(t, 1, log.Count("can be read again"))
		})
	}
}

func TestFollow_TakesNoStoreThatGoesAwayWhileItIsReadForAnEmptyOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	log := &certstest.Logbook{}
	s, err := dir.Open(dir.Options{Dir: path, Poll: time.Microsecond, Log: slog.New(slog.NewTextHandler(log, nil))})
	require.NoError(t, err)
	save(t, s, "certs/a", "1")
	var empty atomic.Int64
	f := follow(t, told{s, func(records []store.Record) {
		if len(records) == 0 {
			empty.Add(1)
		}
	}})
	f.await(t, "a=1")
	for n := 1; n <= 300; n++ {
		require.NoError(t, os.Rename(path, path+"-aside"))
		require.Eventually(t, func() bool { return log.Count("cannot be read;") == n }, 30*time.Second, time.Millisecond)
		require.NoError(t, os.Rename(path+"-aside", path))
		require.Eventually(t, func() bool { return log.Count("can be read again") == n }, 30*time.Second, time.Millisecond)
	}
	assert.Zero(t, empty.Load())
}

// told has somebody else be told before the follower is.
type told struct {
	store.Store
	first func([]store.Record)
}

func (s told) Follow(ctx context.Context, prefix string, changed func([]store.Record)) error {
	return s.Store.Follow(ctx, prefix, func(records []store.Record) {
		s.first(records)
		changed(records)
	})
}

func TestFollow_OneFileThatCannotBeUsedHoldsUpNoOther(t *testing.T) {
	path := t.TempDir()
	log := &certstest.Logbook{}
	s := openLogged(t, path, log)
	save(t, s, "certs/a", "1")
	require.NoError(t, os.Symlink("a", filepath.Join(path, "certs/b")))
	f := follow(t, s)
	f.await(t, "a=1")
	save(t, s, "certs/c", "1")
	f.await(t, "a=1 c=1")
	assert.Equal(t, 1, log.Count("cannot be used"))
	require.NoError(t, os.Remove(filepath.Join(path, "certs/b")))
	require.Eventually(t, func() bool { return log.Count("no longer in the way") == 1 }, 30*time.Second, 5*time.Millisecond)
	save(t, s, "certs/b", "1")
	f.await(t, "a=1 b=1 c=1")
	assert.Equal(t, 1, log.Count("cannot be used"))
}

func TestFollow_SeesAFileThatWasOverwrittenInPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := t.TempDir()
		s := open(t, path)
		save(t, s, "certs/a", "1")
		old := time.Now().Add(-time.Hour) // so that nothing about the directory is recent
		require.NoError(t, os.Chtimes(filepath.Join(path, "certs/a"), old, old))
		require.NoError(t, os.Chtimes(filepath.Join(path, "certs"), old, old))
		f := follow(t, s)
		<-time.After(time.Minute + 50*time.Millisecond) // between two looks, none of which sees half of it
		require.NoError(t, os.WriteFile(filepath.Join(path, "certs/a"), []byte("2"), 0o600))
		<-time.After(11 * time.Second)
		lines, calls := f.state()
		assert.Equal(t, "a=2", lines)
		assert.Equal(t, 2, calls)
	})
}

func TestFollow_SeesAChangeThatLeftTheTimeOfTheDirectoryAsItWas(t *testing.T) {
	// As on a file system whose clock has steps of two seconds.
	synctest.Test(t, func(t *testing.T) {
		path := t.TempDir()
		s := open(t, path)
		record := save(t, s, "certs/a", "1")
		now := time.Now()
		stop := func() {
			for _, file := range []string{"certs/a", "certs"} {
				require.NoError(t, os.Chtimes(filepath.Join(path, file), now, now))
			}
		}
		stop()
		f := follow(t, s)
		<-time.After(dir.DefaultPoll + dir.DefaultPoll/2) // between two looks
		record.Value = []byte("2")
		_, err := s.Save(t.Context(), record)
		require.NoError(t, err)
		stop()
		<-time.After(time.Second)
		lines, _ := f.state()
		assert.Equal(t, "a=2", lines)
	})
}

func TestFollow_TellsNothingWhileNothingChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, t.TempDir())
		record := save(t, s, "certs/a", "1")
		f := follow(t, s)
		<-time.After(time.Minute)
		_, err := s.Save(t.Context(), record) // the same again
		require.NoError(t, err)
		<-time.After(time.Minute)
		_, calls := f.state()
		assert.Equal(t, 1, calls)
	})
}

func BenchmarkFollow_SeesAChangeAmongTenThousandRecords(b *testing.B) {
	path := b.TempDir()
	s, err := dir.Open(dir.Options{Dir: path, Poll: 10 * time.Millisecond})
	require.NoError(b, err)
	require.NoError(b, os.Mkdir(filepath.Join(path, "certs"), 0o700))
	for i := range 10_000 {
		file := filepath.Join(path, "certs", fmt.Sprint(i))
		require.NoError(b, os.WriteFile(file, []byte("value"), 0o600))
		require.NoError(b, os.Chtimes(file, time.Time{}, time.Now().Add(-time.Hour)))
	}
	var seen atomic.Int64
	told := make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error)
	go func() {
		ended <- s.Follow(ctx, "certs/", func(records []store.Record) {
			seen.Store(int64(len(records)))
			select {
			case told <- struct{}{}:
			default:
			}
		})
	}()
	<-told
	b.ReportAllocs()
	added := 0
	for b.Loop() {
		added++
		_, err := s.Save(b.Context(), store.Record{Key: fmt.Sprintf("certs/new%d", added)})
		require.NoError(b, err)
		for seen.Load() < int64(10_000+added) {
			<-told
		}
	}
	cancel()
	require.NoError(b, <-ended)
}
