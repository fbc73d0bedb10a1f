package file

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/tricot-proxy/tricot/providers"
)

const (
	// unrest is for how long a file may keep changing before it is taken as it is.
	unrest = 500 * time.Millisecond
	// coarse is the coarsest step in which file systems count time (that of FAT).
	coarse = 2 * time.Second
	// maxSize of a services file in bytes.
	maxSize = 64 << 20
)

// watch finds out when the file has changed, and publishes what it says then.
type watch struct {
	path    string
	log     *slog.Logger
	publish func(providers.Snapshot)
	trouble *providers.TroubleBook

	seen      sight     // at the last look
	unsettled bool      // the last look found something else than the one before
	since     time.Time // of the first such look, or of the last time that the file was taken without waiting
	changed   time.Time // of the last such look, zero before the first

	good  *providers.Snapshot // the last one published, nil before the first
	wrong string              // the problem that was reported last, empty while there is none
}

// A sight is what one look finds: the file and its content, or the error that says why not.
type sight struct {
	info    fs.FileInfo
	content []byte
	err     error
}

func (w *watch) look(now time.Time) {
	if !w.unsettled && now.Sub(w.changed) > coarse && w.seen.unmoved(w.path) {
		return
	}
	var seen sight
	seen.info, seen.content, seen.err = read(w.path)
	if seen.same(w.seen) {
		if w.unsettled {
			w.unsettled = false
			w.take()
		}
		return
	}
	if !w.unsettled {
		w.unsettled, w.since = true, now
	}
	first := w.changed.IsZero()
	w.seen, w.changed = seen, now
	if first || now.Sub(w.since) >= unrest {
		w.since = now
		w.take()
	}
}

// take puts what was seen in force. Problems of a file that still changes are not reported: they may be those of a file
// half-written.
func (w *watch) take() {
	snapshot, err := w.seen.snapshot(w.path)
	if err != nil {
		if !w.unsettled {
			w.report(err)
		}
		return
	}
	if w.wrong != "" {
		w.wrong = ""
		w.trouble.Note(providers.Trouble{})
		w.log.Info("the services file is good again", "file", w.path)
	}
	if w.good == nil || !reflect.DeepEqual(*w.good, snapshot) {
		w.good = &snapshot
		w.publish(snapshot)
	}
}

func (w *watch) report(err error) {
	if err.Error() == w.wrong {
		return
	}
	began := time.Now()
	if w.wrong != "" { // it is wrong in another way
		began = w.trouble.Trouble().Since
	}
	w.wrong = err.Error()
	w.trouble.Note(providers.Trouble{Since: began, Reason: strings.ReplaceAll(w.wrong, "\n", "; ")})
	consequence := "the last good one stays in force"
	if w.good == nil {
		consequence = "there are no services from it until it is mended"
	}
	w.log.Error("the services file is wrong, "+consequence, "file", w.path, "error", strings.ReplaceAll(w.wrong, "\n", "; "))
}

func (s sight) snapshot(path string) (providers.Snapshot, error) {
	if s.err != nil {
		return providers.Snapshot{}, s.err
	}
	return parse(path, s.content)
}

func (s sight) same(as sight) bool {
	return sameError(s.err, as.err) && sameInfo(s.info, as.info) && bytes.Equal(s.content, as.content)
}

// unmoved says that there is no reason to read the file again. What could not be read may be readable by now, for
// reasons that the file itself does not show.
func (s sight) unmoved(path string) bool {
	if s.err != nil {
		return false
	}
	info, err := os.Stat(path)
	return err == nil && sameInfo(info, s.info)
}

func sameInfo(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

func sameError(a, b error) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return a.Error() == b.Error()
}

// read gives the file and its content. It opens nothing but regular files: a pipe would keep it waiting.
func read(path string) (fs.FileInfo, []byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read services file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return info, nil, fmt.Errorf("read services file: %s: expected a regular file", path)
	}
	tooLarge := fmt.Errorf("read services file: %s: expected at most %d bytes", path, maxSize)
	if info.Size() > maxSize {
		return info, nil, tooLarge
	}
	f, err := os.Open(path)
	if err != nil {
		return info, nil, fmt.Errorf("read services file: %w", err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return info, nil, fmt.Errorf("read services file: %w", err)
	}
	if len(content) > maxSize { // it has grown meanwhile
		return info, nil, tooLarge
	}
	return info, content, nil
}
