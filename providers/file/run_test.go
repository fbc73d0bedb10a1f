package file_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/providers"
	"github.com/tricot-proxy/tricot/providers/file"
)

// The files here are real; only the clock is the bubble's (testing/synctest), so that time passes exactly and at once.

// live is longer than any change of the file may take to be in force.
const live = time.Second

// calm is longer than the content is compared after a change: from then on only the file's size, time and inode count.
const calm = 3 * time.Second

// running is a provider at work in a bubble.
type running struct {
	trouble   func() providers.Trouble
	path      string
	published chan []string // the names of the services of each snapshot
	log       *lines
}

// run starts a provider for the file. It stops when the test ends.
func run(t *testing.T, path string) running {
	r := running{path: path, published: make(chan []string, 1000), log: new(lines)}
	done := make(chan error)
	provider := file.New(file.Options{Path: path, Log: slog.New(r.log)})
	r.trouble = provider.Trouble
	assert.Equal(t, "file", provider.Name())
	go func() {
		done <- provider.Run(t.Context(), func(s providers.Snapshot) { r.published <- names(s) })
	}()
	t.Cleanup(func() { assert.NoError(t, <-done) })
	synctest.Wait()
	return r
}

func names(s providers.Snapshot) []string {
	names := []string{}
	for _, instance := range s.Instances {
		names = append(names, instance.Service)
	}
	return names
}

// after lets time pass, and gives what was published until then.
func (r running) after(d time.Duration) [][]string {
	<-time.After(d)
	synctest.Wait()
	var all [][]string
	for len(r.published) > 0 {
		all = append(all, <-r.published)
	}
	return all
}

// lines is a log: one string for each line.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) Enabled(context.Context, slog.Level) bool { return true }
func (l *lines) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *lines) WithGroup(string) slog.Handler            { return l }

func (l *lines) Handle(_ context.Context, r slog.Record) error {
	line := r.Level.String() + " " + r.Message
	r.Attrs(func(a slog.Attr) bool {
		line += fmt.Sprintf(" %s=%s", a.Key, a.Value)
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, line)
	return nil
}

// take gives the lines since the last take.
func (l *lines) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer func() { l.all = nil }()
	return l.all
}

// list is the content of a file with services of these names.
func list(names ...string) string {
	content := "services:\n"
	for _, name := range names {
		content += fmt.Sprintf("  - {name: %s, address: 127.0.0.1, port: 80, tags: [tricot %s.example]}\n", name, name)
	}
	if len(names) == 0 {
		content = "services: []\n"
	}
	return content
}

// write writes the file in place.
func write(t *testing.T, path, content string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
}

// swap writes the file by rename, as editors do.
func swap(t *testing.T, path, content string) {
	t.Helper()
	write(t, path+".new", content)
	require.NoError(t, os.Rename(path+".new", path))
}

func TestRun_PublishesAtOnceAndThenEachChange(t *testing.T) {
	for _, test := range []struct {
		way   string
		write func(t *testing.T, path, content string)
	}{
		{"in place", write},
		{"by rename", swap},
		{"by remove and create", func(t *testing.T, path, content string) {
			require.NoError(t, os.Remove(path))
			write(t, path, content)
		}},
		{"with a backup, as vim does", func(t *testing.T, path, content string) {
			require.NoError(t, os.Rename(path, path+"~"))
			write(t, path, content)
		}},
		{"in place with the time kept", func(t *testing.T, path, content string) {
			info, err := os.Stat(path)
			require.NoError(t, err)
			write(t, path, content)
			require.NoError(t, os.Chtimes(path, time.Time{}, info.ModTime()))
		}},
		{"by rename with the time kept", func(t *testing.T, path, content string) {
			info, err := os.Stat(path)
			require.NoError(t, err)
			write(t, path+".new", content)
			require.NoError(t, os.Chtimes(path+".new", time.Time{}, info.ModTime()))
			require.NoError(t, os.Rename(path+".new", path))
		}},
	} {
		// Quick changes follow each other before the coarsest clock moves on, slow ones do not.
		for _, pause := range []time.Duration{live, calm} {
			t.Run(fmt.Sprint(test.way, ", each ", pause), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := run(t, services(t, list("a")))
					assert.Equal(t, [][]string{{"a"}}, r.after(0))
					for _, names := range [][]string{{"a", "b"}, {"c"}, {"a", "b", "c"}, {}, {"d"}} {
						assert.Empty(t, r.after(pause))
						test.write(t, r.path, list(names...))
						assert.Equal(t, [][]string{names}, r.after(live))
					}
					assert.Empty(t, r.after(calm))
					assert.Empty(t, r.log.take())
				})
			})
		}
	}
}

func TestRun_SeesARenamedFileOfTheSameSizeAndTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, services(t, list("a")))
		r.after(calm)
		info, err := os.Stat(r.path)
		require.NoError(t, err)
		write(t, r.path+".new", list("b"))
		require.NoError(t, os.Chtimes(r.path+".new", time.Time{}, info.ModTime()))
		require.NoError(t, os.Rename(r.path+".new", r.path))
		assert.Equal(t, [][]string{{"b"}}, r.after(live))
	})
}

func TestRun_SeesAWriteOfTheSameSizeWithinTheTimeStampsStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, services(t, list("a")))
		step := time.Now().Truncate(time.Second)
		require.NoError(t, os.Chtimes(r.path, time.Time{}, step))
		assert.Equal(t, [][]string{{"a"}}, r.after(live))
		write(t, r.path, list("b"))
		require.NoError(t, os.Chtimes(r.path, time.Time{}, step))
		assert.Equal(t, [][]string{{"b"}}, r.after(live))
	})
}

func TestRun_FollowsSymbolicLinksThatAreSwapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// The layout of a Kubernetes ConfigMap: services.yaml -> data/services.yaml, data -> a directory for each version.
		root := t.TempDir()
		link := func(to, name string) {
			require.NoError(t, os.Symlink(to, filepath.Join(root, "new")))
			require.NoError(t, os.Rename(filepath.Join(root, "new"), filepath.Join(root, name)))
		}
		for _, version := range []string{"a", "b"} {
			require.NoError(t, os.Mkdir(filepath.Join(root, version), 0o700))
			write(t, filepath.Join(root, version, "services.yaml"), list(version))
		}
		link("a", "data")
		link("data/services.yaml", "services.yaml")
		r := run(t, filepath.Join(root, "services.yaml"))
		assert.Equal(t, [][]string{{"a"}}, r.after(calm))
		link("b", "data")
		assert.Equal(t, [][]string{{"b"}}, r.after(live))
		link("a/services.yaml", "services.yaml")
		assert.Equal(t, [][]string{{"a"}}, r.after(live))
		assert.Empty(t, r.log.take())
	})
}

func TestRun_PublishesNothingWhereTheServicesAreTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, services(t, list("a")))
		assert.Equal(t, [][]string{{"a"}}, r.after(calm))
		swap(t, r.path, list("a"))
		assert.Empty(t, r.after(live))
		write(t, r.path, "# a comment\n"+list("a"))
		assert.Empty(t, r.after(live))
		require.NoError(t, os.Chtimes(r.path, time.Time{}, time.Now()))
		assert.Empty(t, r.after(live))
		assert.Empty(t, r.log.take())
	})
}

func TestRun_DoesNotTakeAFileHalfWritten(t *testing.T) {
	for _, written := range []string{"", "services:\n", list("a"), list("a", "b")[:40]} {
		synctest.Test(t, func(t *testing.T) {
			r := run(t, services(t, list("x")))
			assert.Equal(t, [][]string{{"x"}}, r.after(calm))
			// Not at the moment of a look, and with more than one look before the rest is there.
			assert.Empty(t, r.after(file.DefaultInterval/2))
			whole := list("a", "b", "c")
			f, err := os.Create(r.path)
			require.NoError(t, err)
			defer f.Close()
			_, err = io.WriteString(f, written)
			require.NoError(t, err)
			assert.Empty(t, r.after(file.DefaultInterval))
			_, err = f.WriteAt([]byte(whole), 0)
			require.NoError(t, err)
			assert.Equal(t, [][]string{{"a", "b", "c"}}, r.after(live))
			assert.Empty(t, r.log.take())
		})
	}
}

func TestRun_TakesAFileThatNeverStopsChanging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, services(t, list("a")))
		assert.Equal(t, [][]string{{"a"}}, r.after(calm))
		var published [][]string
		for i := range 12 { // 600 ms
			write(t, r.path, list("b")+strings.Repeat("#", i+1))
			published = append(published, r.after(file.DefaultInterval/2)...)
		}
		assert.Equal(t, [][]string{{"b"}}, published)
		for i := range 12 {
			write(t, r.path, list("c")+strings.Repeat("#", i+1))
			published = append(published, r.after(file.DefaultInterval/2)...)
		}
		assert.Equal(t, [][]string{{"b"}, {"c"}}, published)
	})
}

func TestRun_ReportsNoProblemOfAFileThatStillChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, services(t, list("a")))
		assert.Equal(t, [][]string{{"a"}}, r.after(calm))
		for i := range 40 { // 2 s
			write(t, r.path, "services: ["+strings.Repeat("#", i))
			assert.Empty(t, r.after(file.DefaultInterval/2))
		}
		assert.Empty(t, r.log.take())
		write(t, r.path, list("b"))
		assert.Equal(t, [][]string{{"b"}}, r.after(live))
		assert.Empty(t, r.log.take())
	})
}

func TestRun_KeepsTheLastGoodSnapshotAndSaysSoOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, services(t, list("a")))
		assert.Equal(t, [][]string{{"a"}}, r.after(calm))
		const wrong = "ERROR the services file is wrong, the last good one stays in force"
		good := "INFO the services file is good again file=" + r.path
		report := func(reason string) []string { return []string{wrong + " file=" + r.path + " error=" + reason} }

		// All problems in one line, once.
		write(t, r.path, "services:\n- {name: a, port: 0}\n")
		assert.Empty(t, r.after(calm))
		assert.Equal(t, report(r.path+":2: address: expected a host name or an IP address; "+
			r.path+":2: port: expected a whole number from 1 to 65535, found 0 (!!int)"), r.log.take())

		// The same problem of another file is no news, another problem is.
		write(t, r.path, "services:\n- {name: b, port: 0}\n")
		since := r.trouble().Since
		assert.NotZero(t, since)
		assert.Empty(t, r.after(calm))
		assert.Empty(t, r.log.take())
		swap(t, r.path, "")
		assert.Empty(t, r.after(calm))
		assert.Equal(t, report(r.path+": expected the key services with a list of services, the file is empty"), r.log.take())

		// Gone, and unreadable.
		require.NoError(t, os.Remove(r.path))
		assert.Empty(t, r.after(calm))
		assert.Equal(t, report("read services file: stat "+r.path+": no such file or directory"), r.log.take())
		require.NoError(t, os.Mkdir(r.path, 0o700))
		assert.Empty(t, r.after(calm))
		assert.Equal(t, report("read services file: "+r.path+": expected a regular file"), r.log.take())

		assert.Equal(t, providers.Trouble{Since: since, Reason: "read services file: " + r.path + ": expected a regular file"}, r.trouble())

		// As it was: what is in force is right already.
		require.NoError(t, os.Remove(r.path))
		write(t, r.path, list("a"))
		assert.Empty(t, r.after(calm))
		assert.Equal(t, []string{good}, r.log.take())
		assert.Zero(t, r.trouble())

		// The first problem again is news again.
		write(t, r.path, "")
		assert.Empty(t, r.after(live))
		assert.Len(t, r.log.take(), 1)
		write(t, r.path, list("b"))
		assert.Equal(t, [][]string{{"b"}}, r.after(live))
		assert.Equal(t, []string{good}, r.log.take())
	})
}

func TestRun_WaitsForAFileThatIsNotThereOrWrongAtTheStart(t *testing.T) {
	for _, start := range []func(path string) error{
		os.Remove,
		func(path string) error { return os.WriteFile(path, []byte("services: {}"), 0o600) },
	} {
		synctest.Test(t, func(t *testing.T) {
			path := services(t, "")
			require.NoError(t, start(path))
			r := run(t, path)
			assert.Empty(t, r.after(calm))
			log := r.log.take()
			require.Len(t, log, 1)
			const wrong = "ERROR the services file is wrong, there are no services from it until it is mended"
			assert.Contains(t, log[0], wrong+" file="+path)
			swap(t, path, list("a"))
			assert.Equal(t, [][]string{{"a"}}, r.after(live))
			assert.Equal(t, []string{"INFO the services file is good again file=" + path}, r.log.take())
		})
	}
}

func TestRun_LooksAsOftenAsItIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := services(t, list("a"))
		published := make(chan []string, 10)
		provider := file.New(file.Options{Path: path, Interval: 10 * time.Second}) // and without a log
		done := make(chan error)
		go func() {
			done <- provider.Run(t.Context(), func(s providers.Snapshot) { published <- names(s) })
		}()
		t.Cleanup(func() { assert.NoError(t, <-done) })
		r := running{path: path, published: published}
		assert.Equal(t, [][]string{{"a"}}, r.after(61*time.Second))
		write(t, path, list("b"))
		assert.Empty(t, r.after(18*time.Second))
		assert.Equal(t, [][]string{{"b"}}, r.after(2*time.Second))
		write(t, path, "")
		assert.Empty(t, r.after(time.Minute))
	})
}

// As a user has it; that a change is live within a second is what the tests with a clock of their own prove.
func TestRun_SeesAChangeByTheRealClock(t *testing.T) {
	path := services(t, list("a"))
	published := make(chan []string)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- file.New(file.Options{Path: path}).Run(ctx, func(s providers.Snapshot) { published <- names(s) })
	}()
	assert.Equal(t, []string{"a"}, <-published)
	swap(t, path, list("b"))
	assert.Equal(t, []string{"b"}, <-published)
	stop()
	assert.NoError(t, <-done)
}
