package accesslog

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"sync"
)

// target is where lines go: a file that can be opened anew, or a writer that cannot.
type target struct {
	name, path string

	mu    sync.Mutex // held while something is written
	to    io.Writer
	file  *os.File // to, where it is ours to close
	limit int      // bytes in one write; 0: none
	fresh bool     // what was written last went to another file
	ended bool     // closed
}

func openTarget(options OutputOptions) (*target, error) {
	if options.Path != "" {
		t := &target{name: options.Path, path: options.Path}
		return t, t.reopen()
	}
	t := &target{name: "the writer", to: options.Writer}
	if t.to == nil {
		t.to = os.Stdout
	}
	if file, ok := t.to.(*os.File); ok {
		t.name = file.Name()
		t.limit = limit(file)
	}
	return t, nil
}

func (t *target) reopen() error {
	if t.path == "" {
		return nil
	}
	file, err := os.OpenFile(t.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return fmt.Errorf("%s: open the file: %w", Name, err)
	}
	t.mu.Lock()
	if t.ended {
		t.mu.Unlock()
		return file.Close()
	}
	old := t.file
	t.to, t.file, t.limit, t.fresh = file, file, limit(file), true
	t.mu.Unlock()
	if old != nil {
		_ = old.Close() // all lines are in it, and the new one is in use
	}
	return nil
}

// limit keeps lines whole in what others write to as well: each write to a regular file is one piece, but not to a pipe or
// a terminal.
func limit(file *os.File) int {
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
		return 0
	}
	return atomicWrite
}

// write writes lines from the offset done on, and gives the new one; they are all written where that is their length.
func (t *target) write(lines []byte, done int) (int, error) {
	for done < len(lines) {
		t.mu.Lock()
		if t.fresh {
			t.fresh = false
			done = bytes.LastIndexByte(lines[:done], '\n') + 1 // the rest of a line would be no line there
		}
		piece := lines[done : done+t.piece(lines[done:])]
		n, err := t.to.Write(piece)
		t.mu.Unlock()
		done += n
		if n < len(piece) && err == nil {
			err = io.ErrShortWrite
		}
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// piece is how many bytes to write at once: whole lines, one at least.
func (t *target) piece(lines []byte) int {
	if t.limit == 0 || len(lines) <= t.limit {
		return len(lines)
	}
	if end := bytes.LastIndexByte(lines[:t.limit], '\n'); end >= 0 {
		return end + 1
	}
	return cmp.Or(bytes.IndexByte(lines, '\n')+1, len(lines))
}

func (t *target) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	if t.file == nil {
		return nil
	}
	if err := t.file.Close(); err != nil {
		return fmt.Errorf("%s: close the file: %w", Name, err)
	}
	return nil
}
