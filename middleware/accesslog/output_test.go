package accesslog

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const patience = 30 * time.Second

// journal is where the log of an Output goes.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// await waits for a line with all of the parts, and gives it.
func (j *journal) await(t *testing.T, parts ...string) string {
	t.Helper()
	var found string
	require.Eventually(t, func() bool {
		for line := range strings.Lines(j.String()) {
			missing := false
			for _, part := range parts {
				missing = missing || !strings.Contains(line, part)
			}
			if !missing {
				found = line
				return true
			}
		}
		return false
	}, patience, time.Millisecond, "no line with %q", parts)
	return found
}

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

// open opens an Output that is closed at the test's end, where the test does not do it.
func open(t testing.TB, options OutputOptions) *Output {
	t.Helper()
	output, err := Open(options)
	require.NoError(t, err)
	t.Cleanup(func() { _ = output.Close() })
	return output
}

func write(t testing.TB, output *Output, line string) {
	t.Helper()
	if n, err := io.WriteString(output, line); err != nil || n != len(line) {
		require.FailNow(t, "a line was not taken", "%d bytes of it, %v", n, err)
	}
}

// content gives a file's; empty where there is none.
func content(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if !errors.Is(err, os.ErrNotExist) {
		require.NoError(t, err)
	}
	return string(text)
}

func awaitContent(t *testing.T, path, want string) {
	t.Helper()
	require.Eventually(t, func() bool { return content(t, path) == want }, patience, time.Millisecond)
}

func TestOutput_AppendsLinesToAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	require.NoError(t, os.WriteFile(path, []byte("before\n"), 0o600))
	output := open(t, OutputOptions{Path: path})
	write(t, output, "one\n")
	awaitContent(t, path, "before\none\n")
	write(t, output, "two\n")
	write(t, output, "three\n")
	awaitContent(t, path, "before\none\ntwo\nthree\n")
	require.NoError(t, output.Close())
	assert.Equal(t, "before\none\ntwo\nthree\n", content(t, path))
}

func TestOutput_MakesAFileThatNotEverybodyMayRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	open(t, OutputOptions{Path: path})
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Zero(t, info.Mode().Perm()&^0o640, info.Mode())
	assert.NotZero(t, info.Mode().Perm()&0o600)
}

func TestOutput_SaysWhichFileCannotBeOpened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none", "access.log")
	_, err := Open(OutputOptions{Path: path})
	require.ErrorIs(t, err, os.ErrNotExist)
	assert.ErrorContains(t, err, path)
}

func TestOutput_WritesAllOfItBeforeItIsClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	output := open(t, OutputOptions{Path: path, Delay: time.Hour, MaxBuffered: 64 << 20})
	var want strings.Builder
	for i := range 30_000 { // several times a batch
		line := fmt.Sprintf("line %d\n", i)
		want.WriteString(line)
		write(t, output, line)
	}
	require.NoError(t, output.Close())
	assert.True(t, want.String() == content(t, path))

	_, err := io.WriteString(output, "late\n")
	require.ErrorIs(t, err, errClosed)
	require.NoError(t, output.Close(), "again")
	require.NoError(t, output.Reopen(), "leaves nothing open")
	assert.True(t, want.String() == content(t, path))
}

func TestOutput_WritesABatchWithoutWaiting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	output := open(t, OutputOptions{Path: path, Delay: time.Hour})
	write(t, output, "first\n")
	awaitContent(t, path, "first\n")
	line := strings.Repeat("x", 1023) + "\n"
	for range batch / len(line) { // the last one completes the batch
		write(t, output, line)
	}
	awaitContent(t, path, "first\n"+strings.Repeat(line, batch/len(line)))
}

func TestOutput_LosesNoLineWhenTheFileIsRenamed(t *testing.T) {
	const writers, each, renames = 4, 5000, 20
	dir := t.TempDir()
	path := filepath.Join(dir, "access.log")
	output := open(t, OutputOptions{Path: path, Delay: time.Millisecond, MaxBuffered: 64 << 20})
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := range each {
				_, err := fmt.Fprintf(output, "writer %d line %d\n", w, i)
				assert.NoError(t, err)
			}
		})
	}
	for i := range renames {
		require.NoError(t, os.Rename(path, fmt.Sprintf("%s.%d", path, i)))
		require.NoError(t, output.Reopen())
		require.FileExists(t, path)
	}
	group.Wait()
	require.NoError(t, output.Close())

	files, err := filepath.Glob(path + "*")
	require.NoError(t, err)
	require.Len(t, files, renames+1)
	seen := make(map[string]int)
	for _, file := range files {
		for line := range strings.Lines(content(t, file)) {
			seen[line]++
		}
	}
	require.Len(t, seen, writers*each, "no line is lost or torn")
	for line, times := range seen {
		require.Equal(t, 1, times, line)
	}
}

func TestOutput_WritesNothingToTheOldFileOnceItIsReopened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	output := open(t, OutputOptions{Path: path})
	write(t, output, "old\n")
	awaitContent(t, path, "old\n")
	require.NoError(t, os.Rename(path, path+".1"))
	require.NoError(t, output.Reopen())
	write(t, output, "new\n")
	awaitContent(t, path, "new\n")
	assert.Equal(t, "old\n", content(t, path+".1"))
}

func TestOutput_KeepsTheFileThatItHasWhereItCannotBeReopened(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	require.NoError(t, os.Mkdir(dir, 0o700))
	output := open(t, OutputOptions{Path: filepath.Join(dir, "access.log")})
	require.NoError(t, os.Rename(dir, dir+".old"))
	require.ErrorIs(t, output.Reopen(), os.ErrNotExist)
	write(t, output, "still\n")
	awaitContent(t, filepath.Join(dir+".old", "access.log"), "still\n")
}

func TestOutput_ThatIsNoFileIsNotReopened(t *testing.T) {
	var out journal
	output := open(t, OutputOptions{Writer: &out})
	require.NoError(t, output.Reopen())
	write(t, output, "one\n")
	require.NoError(t, output.Close())
	assert.Equal(t, "one\n", out.String())
}

func TestOutput_KeepsLinesWhileTheDiskIsFullAndSaysSo(t *testing.T) {
	var log journal
	path := filepath.Join(t.TempDir(), "access.log")
	require.NoError(t, os.Symlink("/dev/full", path))
	output := open(t, OutputOptions{Path: path, Delay: time.Millisecond, Log: log.logger()})
	write(t, output, "one\n")
	line := log.await(t, "level=WARN", "cannot be written")
	assert.Contains(t, line, "no space left on device")
	assert.Contains(t, line, path)
	write(t, output, "two\n")
	require.NoError(t, os.Remove(path))
	require.NoError(t, output.Reopen())
	log.await(t, "level=INFO", "is written again")
	write(t, output, "three\n")
	awaitContent(t, path, "one\ntwo\nthree\n")
	assert.Equal(t, 1, strings.Count(log.String(), "cannot be written"), "once, however often it failed")
	assert.Equal(t, 1, strings.Count(log.String(), "is written again"))
}

func TestOutput_SaysAtTheEndWhatCouldNotBeWritten(t *testing.T) {
	output := open(t, OutputOptions{Path: "/dev/full"})
	write(t, output, "one\n")
	require.ErrorIs(t, output.Close(), syscall.ENOSPC)
}

// halting is a target that takes so many bytes of each write and then fails, while it is told to.
type halting struct {
	journal
	fail chan int
}

func (h *halting) Write(p []byte) (int, error) {
	select {
	case n := <-h.fail:
		n = min(n, len(p))
		_, _ = h.journal.Write(p[:n])
		return n, io.ErrClosedPipe
	default:
		return h.journal.Write(p)
	}
}

func TestOutput_GoesOnInTheMiddleOfALineWhereAWriteEndedThere(t *testing.T) {
	var log journal
	target := &halting{fail: make(chan int, 2)}
	target.fail <- 5
	target.fail <- 2
	output := open(t, OutputOptions{Writer: target, Delay: time.Millisecond, Log: log.logger()})
	write(t, output, "one\ntwo\nthree\n")
	log.await(t, "is written again")
	assert.Equal(t, "one\ntwo\nthree\n", target.String())
}

func TestTarget_BeginsALineAnewInANewFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	target, err := openTarget(OutputOptions{Path: path})
	require.NoError(t, err)
	file := target.to
	half := &halting{fail: make(chan int, 1)}
	half.fail <- 5
	target.fresh, target.to = false, half
	lines := []byte("one\ntwo\nthree\n")
	done, err := target.write(lines, 0)
	require.ErrorIs(t, err, io.ErrClosedPipe)
	require.Equal(t, 5, done)
	target.to = file
	require.NoError(t, target.reopen())
	done, err = target.write(lines, done)
	require.NoError(t, err)
	assert.Equal(t, len(lines), done)
	assert.Equal(t, "two\nthree\n", content(t, path))
	require.NoError(t, target.close())
}

func TestTarget_TakesAWriterThatTakesNothingForOneThatFails(t *testing.T) {
	target, err := openTarget(OutputOptions{Writer: nothing{}})
	require.NoError(t, err)
	_, err = target.write([]byte("one\n"), 0)
	require.ErrorIs(t, err, io.ErrShortWrite)
}

type nothing struct{}

func (nothing) Write([]byte) (int, error) { return 0, nil }

// stuck is a target that takes nothing until it is opened.
type stuck struct {
	journal
	reached, open chan struct{}
	once          sync.Once
}

func (s *stuck) Write(p []byte) (int, error) {
	s.once.Do(func() { close(s.reached) })
	<-s.open
	return s.journal.Write(p)
}

func TestOutput_DropsWhatThereIsNoRoomForAndSaysHowMuch(t *testing.T) {
	var log journal
	target := &stuck{reached: make(chan struct{}), open: make(chan struct{})}
	output := open(t, OutputOptions{Writer: target, MaxBuffered: 12, Log: log.logger()})
	write(t, output, "one\n")
	<-target.reached // and hangs
	write(t, output, "two\n")
	write(t, output, "three\n")
	for _, line := range []string{"four\n", "five\n", "six\n"} {
		_, err := io.WriteString(output, line)
		require.ErrorIs(t, err, errDropped)
	}
	log.await(t, "level=WARN", "lines are dropped")
	close(target.open)
	log.await(t, "level=WARN", "no more access log lines are dropped", "dropped=3")
	write(t, output, "seven\n")
	require.NoError(t, output.Close())
	assert.Equal(t, "one\ntwo\nthree\nseven\n", target.String())
	assert.Equal(t, 1, strings.Count(log.String(), "access log lines are dropped:"))
}

func TestOutput_SaysWhatWasDroppedThoughItIsClosedMeanwhile(t *testing.T) {
	var log journal
	target := &stuck{reached: make(chan struct{}), open: make(chan struct{})}
	output := open(t, OutputOptions{Writer: target, MaxBuffered: 4, Log: log.logger()})
	write(t, output, "one\n")
	<-target.reached
	_, err := io.WriteString(output, "three\n")
	require.ErrorIs(t, err, errDropped)
	close(target.open)
	require.NoError(t, output.Close())
	assert.Contains(t, log.String(), "dropped=1")
}

func TestOutput_CloseDoesNotWaitForeverForATargetThatTakesNothing(t *testing.T) {
	target := &stuck{reached: make(chan struct{}), open: make(chan struct{})}
	defer close(target.open)
	output := open(t, OutputOptions{Writer: target})
	output.patience = time.Millisecond
	write(t, output, "one\n")
	<-target.reached
	require.ErrorContains(t, output.Close(), "took nothing for 1ms")
}

func TestAccessLog_ARequestDoesNotWaitForTheDisk(t *testing.T) {
	target := &stuck{reached: make(chan struct{}), open: make(chan struct{})}
	output := open(t, OutputOptions{Writer: target, MaxBuffered: 4096})
	server := httptest.NewServer(New(Options{Log: at(slog.LevelInfo), Format: JSON, Output: output})(http.HandlerFunc(hello)))
	defer server.Close()
	for range 100 { // several times what there is room for
		response, err := server.Client().Get(server.URL)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
	}
	<-target.reached
	close(target.open)
	require.NoError(t, output.Close())
	assert.NotEmpty(t, target.String())
}

func TestOutput_TearsNoLineApartInAPipeThatOthersWriteToToo(t *testing.T) {
	const each = 3000
	reader, pipe, err := os.Pipe()
	require.NoError(t, err)
	defer reader.Close()
	descriptor, err := syscall.Dup(int(pipe.Fd()))
	require.NoError(t, err)
	other := os.NewFile(uintptr(descriptor), "stderr") // as stdout and stderr of a process are, in a container

	output := open(t, OutputOptions{Writer: pipe, Delay: time.Millisecond, MaxBuffered: 64 << 20})
	var group sync.WaitGroup
	group.Go(func() {
		for range each {
			_, err := io.WriteString(output, strings.Repeat("a", 300)+"\n")
			assert.NoError(t, err)
		}
		assert.NoError(t, output.Close())
		assert.NoError(t, pipe.Close())
	})
	group.Go(func() {
		for range each {
			_, err := other.WriteString(strings.Repeat("b", 300) + "\n")
			assert.NoError(t, err)
		}
		assert.NoError(t, other.Close())
	})
	seen := make(map[string]int)
	for scanner := bufio.NewScanner(reader); scanner.Scan(); {
		seen[scanner.Text()]++
	}
	group.Wait()
	assert.Equal(t, map[string]int{strings.Repeat("a", 300): each, strings.Repeat("b", 300): each}, seen)
}

func TestTarget_WritesWholeLinesToAPipe(t *testing.T) {
	for name, c := range map[string]struct {
		lines []int // lengths
		want  int
	}{
		"all of few":            {[]int{100, 200}, 300},
		"as many as fit":        {[]int{2000, 2000, 2000}, 4000},
		"a line that is longer": {[]int{5000, 100}, 5000},
		"a line that just fits": {[]int{4096, 100}, 4096},
	} {
		t.Run(name, func(t *testing.T) {
			var lines []byte
			for _, length := range c.lines {
				lines = append(append(lines, bytes.Repeat([]byte("x"), length-1)...), '\n')
			}
			assert.Equal(t, c.want, (&target{limit: atomicWrite}).piece(lines))
			assert.Equal(t, len(lines), (&target{}).piece(lines), "a file takes all at once")
		})
	}
}

func TestOutput_AllocatesNothingForALine(t *testing.T) {
	output := open(t, OutputOptions{Writer: io.Discard})
	line := []byte(strings.Repeat("x", 299) + "\n")
	for range 2 * batch / len(line) { // the memory that it will have
		_, err := output.Write(line)
		require.NoError(t, err)
	}
	assert.Zero(t, testing.AllocsPerRun(10_000, func() { _, _ = output.Write(line) }))
}

func BenchmarkOutput(b *testing.B) {
	for name, options := range map[string]OutputOptions{
		"discard": {Writer: io.Discard},
		"file":    {Path: filepath.Join(b.TempDir(), "access.log")},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			output := open(b, options)
			line := []byte(strings.Repeat("x", 299) + "\n")
			for b.Loop() {
				_, _ = output.Write(line)
			}
			require.NoError(b, output.Close())
		})
	}
}
