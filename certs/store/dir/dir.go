// Package dir keeps the store in a directory, for a machine without Consul: a record is a file whose path below the
// directory is its key.
//
// Directories have mode 0700 and files 0600; looser ones that are found are tightened. A record is written whole to a
// file named "#new" beside it, synced, and renamed into place, so that a crash leaves the old record or the new one.
// Names with "#" are not names of records: what a crash leaves behind is never read, and is removed by the next Open or
// the next write. Symbolic links are not followed below the directory.
//
// Processes share a directory through flock(2), which the kernel gives back when its holder dies: one lock, "#lock",
// around each compare-and-set, and one below "locks" for each name that [Store.Lock] holds. So the directory has to be
// on a file system of this machine, or on one whose flock holds between the machines that share it.
package dir

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/tricot-proxy/tricot/certs/store"
)

// What is in the directory beside records.
const (
	guard      = "#lock" // at the top: its flock is held around each compare-and-set
	unfinished = "#new"  // in each directory: the record that is being written
)

// How often Follow looks for changes where [Options] says nothing, and how seldom it may, so that it keeps the promise
// to tell a change within a second.
const (
	DefaultPoll = 200 * time.Millisecond
	maxPoll     = 500 * time.Millisecond
)

// Options are what [Open] needs to know.
type Options struct {
	// Dir is the directory. It is made where it is not there; its parents too. Mandatory.
	Dir string
	// Poll is the time between two looks of Follow, up to half a second; 0: [DefaultPoll].
	Poll time.Duration
	// Log is told what is tightened, and when the directory cannot be read and can again. Nil: nobody is.
	Log *slog.Logger
}

// A Store is a [store.Store] in a directory.
type Store struct {
	dir  string
	poll time.Duration
	log  *slog.Logger
	// turn holds one token: of this Store's goroutines, only the one that has it tries for the guard's flock.
	turn chan struct{}
}

var _ store.Store = (*Store)(nil)

// Open makes the directory where there is none, and removes what a crash left behind. It refuses a directory that is open
// to other users and is not recognisably a store, rather than close, say, /tmp to them.
func Open(o Options) (*Store, error) {
	if o.Dir == "" {
		return nil, errors.New("open certificate store: no directory is named")
	}
	if o.Poll < 0 || o.Poll > maxPoll {
		return nil, fmt.Errorf("open certificate store %s: looking every %v; the most is %v", o.Dir, o.Poll, maxPoll)
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("open certificate store %s: %w", o.Dir, err)
	}
	s := &Store{dir: dir, poll: o.Poll, log: o.Log, turn: make(chan struct{}, 1)}
	if s.poll == 0 {
		s.poll = DefaultPoll
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if err := s.prepare(); err != nil {
		return nil, fmt.Errorf("open certificate store %s: %w", dir, err)
	}
	return s, nil
}

// Load is as [store.Store] says.
func (s *Store) Load(ctx context.Context, key string) (store.Record, error) {
	record, err := s.load(ctx, key)
	if err != nil {
		return store.Record{}, fmt.Errorf("load %s from %s: %w", key, s.dir, err)
	}
	return record, nil
}

func (s *Store) load(ctx context.Context, key string) (store.Record, error) {
	if err := store.CheckKey(key); err != nil {
		return store.Record{}, err
	}
	if err := ctx.Err(); err != nil {
		return store.Record{}, err
	}
	return s.read(key)
}

// Save is as [store.Store] says.
func (s *Store) Save(ctx context.Context, record store.Record) (store.Record, error) {
	saved, err := s.save(ctx, record, func() error { return nil })
	if err != nil {
		return store.Record{}, fmt.Errorf("save %s to %s: %w", record.Key, s.dir, err)
	}
	return saved, nil
}

// save is Save where may, which is called at the moment of the write, has no objection.
func (s *Store) save(ctx context.Context, record store.Record, may func() error) (store.Record, error) {
	if err := store.CheckRecord(record); err != nil {
		return store.Record{}, err
	}
	release, err := s.exclusive(ctx)
	if err != nil {
		return store.Record{}, err
	}
	defer release()
	if err := may(); err != nil {
		return store.Record{}, err
	}
	there, err := s.read(record.Key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return store.Record{}, err
	}
	if there.Version != record.Version {
		return store.Record{}, store.ErrConflict
	}
	path := s.path(record.Key)
	if err := s.makeParents(path); err != nil {
		return store.Record{}, err
	}
	if err := writeWhole(path, record.Value); err != nil {
		return store.Record{}, err
	}
	record.Version = version(record.Value)
	return record, nil
}

// Delete is as [store.Store] says.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := s.delete(ctx, key); err != nil {
		return fmt.Errorf("delete %s from %s: %w", key, s.dir, err)
	}
	return nil
}

func (s *Store) delete(ctx context.Context, key string) error {
	if err := store.CheckKey(key); err != nil {
		return err
	}
	release, err := s.exclusive(ctx)
	if err != nil {
		return err
	}
	defer release()
	if _, err := s.find(key); err != nil {
		return err
	}
	path := s.path(key)
	if err := os.Remove(path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// exclusive waits until no other goroutine or process is in the middle of a compare-and-set, and keeps them out until
// release is called.
func (s *Store) exclusive(ctx context.Context) (release func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	file, err := flock(ctx, filepath.Join(s.dir, guard), 10*time.Millisecond)
	if err != nil {
		<-s.turn
		return nil, err
	}
	return func() { unflock(file); <-s.turn }, nil
}

// prepare makes and tightens the directory, and removes unfinished records.
func (s *Store) prepare() error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(s.dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is no directory", s.dir)
	}
	if loose(info) {
		ours, err := s.recognised(info)
		if err != nil {
			return err
		}
		if !ours {
			return fmt.Errorf("the directory is open to other users (mode %04o) and holds other things than a store: "+
				"name another one, or close it with chmod 700", info.Mode().Perm())
		}
		if err := s.tighten(s.dir, info); err != nil {
			return err
		}
	}
	file, err := tryFlock(filepath.Join(s.dir, guard))
	if err != nil || file == nil { // held: its holder is using the file that would be removed
		return err
	}
	defer unflock(file)
	return filepath.WalkDir(s.dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Name() == unfinished {
			err = os.Remove(path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

// recognised says whether the directory is a store or has nothing in it. A sticky bit is the mark of one that is shared.
func (s *Store) recognised(info fs.FileInfo) (bool, error) {
	if info.Mode()&fs.ModeSticky != 0 {
		return false, nil
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil || len(entries) == 0 {
		return err == nil, err
	}
	for _, entry := range entries {
		if entry.Name() == guard {
			return true, nil
		}
	}
	return false, nil
}

func version(value []byte) string {
	sum := sha256.Sum256(value)
	return hex.EncodeToString(sum[:])
}
