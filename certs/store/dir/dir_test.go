package dir_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/certstest"
	"github.com/tricot-proxy/tricot/certs/store"
	"github.com/tricot-proxy/tricot/certs/store/dir"
	"github.com/tricot-proxy/tricot/certs/store/storetest"
)

// child names the directory in which a process of this test takes a lock and then does nothing.
const child = "TRICOT_TEST_STORE_DIR"

func TestMain(m *testing.M) {
	if path := os.Getenv(child); path != "" {
		s, err := dir.Open(dir.Options{Dir: path})
		if err == nil {
			_, err = s.Lock(context.Background(), "app.example.com")
		}
		fmt.Println("held", err)
		select {}
	}
	os.Exit(m.Run())
}

func TestStore_KeepsTheContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) func() store.Store {
		path := t.TempDir()
		return func() store.Store { return open(t, path) }
	})
}

func open(t *testing.T, path string) *dir.Store {
	t.Helper()
	s, err := dir.Open(dir.Options{Dir: path})
	require.NoError(t, err)
	return s
}

func save(t *testing.T, s store.Store, key, value string) store.Record {
	t.Helper()
	record, err := s.Save(t.Context(), store.Record{Key: key, Value: []byte(value)})
	require.NoError(t, err)
	return record
}

func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	require.NoError(t, os.Chmod(path, mode))
}

func mode(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	require.NoError(t, err)
	return info.Mode().Perm()
}

func TestLock_OfAProcessThatIsKilledIsFree(t *testing.T) {
	path := t.TempDir()
	s := open(t, path)
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), child+"="+path)
	out, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	var once sync.Once
	kill := func() { once.Do(func() { _ = command.Process.Kill(); _ = command.Wait() }) }
	defer kill()
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "held <nil>\n", line)

	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = s.Lock(short, "app.example.com")
	require.ErrorIs(t, err, context.DeadlineExceeded, "while the process lives")
	kill() // SIGKILL
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	lock, err := s.Lock(ctx, "app.example.com")
	require.NoError(t, err)
	_, err = lock.Save(t.Context(), store.Record{Key: "certs/app.example.com"})
	assert.NoError(t, err)
	assert.NoError(t, lock.Unlock(t.Context()))
}

func TestLock_WhoseFileWasRemovedIsLost(t *testing.T) {
	path := t.TempDir()
	s := open(t, path)
	first, err := s.Lock(t.Context(), "a")
	require.NoError(t, err)
	require.NoError(t, os.Remove(filepath.Join(path, "locks/a")))
	second, err := s.Lock(t.Context(), "a")
	require.NoError(t, err)
	_, err = first.Save(t.Context(), store.Record{Key: "certs/a"})
	assert.ErrorIs(t, err, store.ErrLockLost)
	require.NoError(t, first.Unlock(t.Context()))
	_, err = second.Save(t.Context(), store.Record{Key: "certs/a"})
	assert.NoError(t, err, "the first one's Unlock does not take the second one's lock away")
	require.NoError(t, second.Unlock(t.Context()))
	assert.Error(t, second.Unlock(t.Context()), "twice")
}

func TestLock_LeavesNoFileBehind(t *testing.T) {
	path := t.TempDir()
	lock, err := open(t, path).Lock(t.Context(), "a")
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), mode(t, filepath.Join(path, "locks/a")))
	require.NoError(t, lock.Unlock(t.Context()))
	entries, err := os.ReadDir(filepath.Join(path, "locks"))
	require.NoError(t, err)
	assert.Empty(t, entries)
}

func TestSave_MakesFilesAndDirectoriesForNobodyElse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "state")
	s := open(t, path)
	save(t, s, "certs/a", "one")
	save(t, s, "account/deep/er/b", "two")
	for file, want := range map[string]os.FileMode{
		".": 0o700, "certs": 0o700, "certs/a": 0o600, "account": 0o700, "account/deep": 0o700, "account/deep/er": 0o700,
		"account/deep/er/b": 0o600, "#lock": 0o600,
	} {
		assert.Equal(t, want, mode(t, filepath.Join(path, file)), file)
	}
	content, err := os.ReadFile(filepath.Join(path, "account/deep/er/b"))
	require.NoError(t, err)
	assert.Equal(t, "two", string(content))
	entries, err := os.ReadDir(filepath.Join(path, "certs"))
	require.NoError(t, err)
	assert.Len(t, entries, 1, "no temporary file is left")
}

func TestOpen_RemovesWhatACrashLeftAndNobodyReadsIt(t *testing.T) {
	path := t.TempDir()
	s := open(t, path)
	save(t, s, "certs/a", "one")
	left := filepath.Join(path, "certs/#new")
	write(t, left, "half a rec", 0o600)
	assert.Equal(t, []string{"certs/a=one"}, followed(t, s, "certs/"))
	save(t, s, "certs/b", "two") // a write is not disturbed by it
	assert.NoFileExists(t, left)
	write(t, left, "half a rec", 0o600)
	open(t, path)
	assert.NoFileExists(t, left)
}

// followed gives what Follow tells first.
func followed(t *testing.T, s store.Store, prefix string) (lines []string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	require.NoError(t, s.Follow(ctx, prefix, func(records []store.Record) {
		for _, record := range records {
			lines = append(lines, record.Key+"="+string(record.Value))
		}
		cancel()
	}))
	return lines
}

func TestOpen_RefusesOptionsThatMakeNoSense(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "", 0o600)
	for want, o := range map[string]dir.Options{
		"no directory is named": {},
		"not a directory":       {Dir: file},
		"not a directory/":      {Dir: filepath.Join(file, "below")},
		"looking every 1s":      {Dir: t.TempDir(), Poll: time.Second},
		"looking every -1s":     {Dir: t.TempDir(), Poll: -time.Second},
	} {
		_, err := dir.Open(o)
		assert.ErrorContains(t, err, strings.TrimSuffix(want, "/"))
	}
}

func TestOpen_ClosesItsOwnDirectoryToOthersAndRefusesAForeignOne(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	require.NoError(t, os.Mkdir(empty, 0o755))
	log := &certstest.Logbook{}
	openLogged(t, empty, log)
	assert.Equal(t, os.FileMode(0o700), mode(t, empty))
	assert.Equal(t, 1, log.Count("open to other users"))

	require.NoError(t, os.Chmod(empty, 0o750)) // it is a store by now
	open(t, empty)
	assert.Equal(t, os.FileMode(0o700), mode(t, empty))

	foreign := filepath.Join(t.TempDir(), "foreign")
	write(t, filepath.Join(foreign, "somebody's"), "", 0o600)
	require.NoError(t, os.Chmod(foreign, 0o755))
	_, err := dir.Open(dir.Options{Dir: foreign})
	assert.ErrorContains(t, err, "mode 0755")
	assert.Equal(t, os.FileMode(0o755), mode(t, foreign))

	shared := filepath.Join(t.TempDir(), "shared")
	require.NoError(t, os.Mkdir(shared, 0o700))
	require.NoError(t, os.Chmod(shared, 0o777|os.ModeSticky))
	_, err = dir.Open(dir.Options{Dir: shared})
	assert.ErrorContains(t, err, "mode 0777")
}

func TestStore_ClosesFilesAndDirectoriesThatAreOpenToOthers(t *testing.T) {
	path := t.TempDir()
	log := &certstest.Logbook{}
	s := openLogged(t, path, log)
	for _, read := range map[string]func(){
		"Load":   func() { _, err := s.Load(t.Context(), "certs/a"); assert.NoError(t, err) },
		"Follow": func() { assert.Equal(t, []string{"certs/a=one"}, followed(t, s, "certs/")) },
	} {
		write(t, filepath.Join(path, "certs/a"), "one", 0o644)
		require.NoError(t, os.Chmod(filepath.Join(path, "certs"), 0o755))
		read()
		assert.Equal(t, os.FileMode(0o600), mode(t, filepath.Join(path, "certs/a")))
		assert.Equal(t, os.FileMode(0o700), mode(t, filepath.Join(path, "certs")))
	}
	assert.Equal(t, 5, log.Count("open to other users"), "the directory itself, then each of the two twice")
}

func TestStore_FollowsNoSymbolicLinkAndReadsNothingButFiles(t *testing.T) {
	outside := t.TempDir()
	write(t, filepath.Join(outside, "secret"), "secret", 0o600)
	path := t.TempDir()
	s := open(t, path)
	save(t, s, "certs/a", "one")
	for link, to := range map[string]string{
		"certs/link": filepath.Join(outside, "secret"), "certs/near": "a", "out": outside, "locks": outside, "certs/dangling": "nothing",
	} {
		require.NoError(t, os.Symlink(to, filepath.Join(path, link)))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(path, "certs/dir/sub"), 0o700))

	for key, want := range map[string]string{
		"certs/link": "symbolic link", "certs/near": "symbolic link", "certs/dangling": "symbolic link",
		"out/secret": "symbolic link", "certs/dir": "is a directory", "certs": "is a directory", "certs/a/b": "not a directory",
	} {
		_, err := s.Load(t.Context(), key)
		assert.ErrorContains(t, err, want, key)
		assert.NotErrorIs(t, err, store.ErrNotFound)
		_, err = s.Save(t.Context(), store.Record{Key: key, Value: []byte("x")})
		assert.ErrorContains(t, err, want, key)
		assert.ErrorContains(t, s.Delete(t.Context(), key), want, key)
	}
	_, err := s.Lock(t.Context(), "a")
	assert.ErrorContains(t, err, "symbolic link")
	_, err = s.Save(t.Context(), store.Record{Key: "out/new", Value: []byte("x")})
	assert.Error(t, err)
	entries, err := os.ReadDir(outside)
	require.NoError(t, err)
	assert.Len(t, entries, 1)
	assert.Equal(t, []string{"certs/a=one"}, followed(t, s, "certs/"))
}

func TestStore_SaysThatItsDirectoryIsGoneRatherThanThatThereIsNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	s := open(t, path)
	save(t, s, "certs/a", "one")
	require.NoError(t, os.Rename(path, path+".away"))
	_, err := s.Load(t.Context(), "certs/a")
	assert.ErrorIs(t, err, os.ErrNotExist)
	assert.NotErrorIs(t, err, store.ErrNotFound)
	_, err = s.Save(t.Context(), store.Record{Key: "certs/b"})
	assert.ErrorIs(t, err, os.ErrNotExist)
	assert.NoDirExists(t, path, "it is not made anew")
}

func openLogged(t *testing.T, path string, log *certstest.Logbook) *dir.Store {
	t.Helper()
	s, err := dir.Open(dir.Options{Dir: path, Poll: 10 * time.Millisecond, Log: slog.New(slog.NewTextHandler(log, nil))})
	require.NoError(t, err)
	return s
}
