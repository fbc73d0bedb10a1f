package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"syscall"
	"time"
)

// flock waits until it has locked the file at path, which it makes where there is none, or ctx ends. It tries at growing
// intervals up to most: a wait in the kernel could not be ended by ctx.
func flock(ctx context.Context, path string, most time.Duration) (*os.File, error) {
	for wait := time.Millisecond; ; wait = min(2*wait, most) {
		file, err := tryFlock(path)
		if file != nil || err != nil {
			return file, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait/2 + rand.N(wait)):
		}
	}
}

// tryFlock is flock without the wait: it gives nil where another has the lock.
func tryFlock(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	for err = syscall.EINTR; err == syscall.EINTR; {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err == nil && !isAt(file, path) { // its holder removed it between our opening and locking it
		err = syscall.EWOULDBLOCK
	}
	if err == nil {
		return file, nil
	}
	unflock(file)
	if err == syscall.EWOULDBLOCK {
		return nil, nil
	}
	return nil, fmt.Errorf("lock %s: %w", path, err)
}

// unflock does not leave it to Close: a child process that is being started has a copy of the descriptor for a moment,
// which would keep the lock.
func unflock(file *os.File) {
	_ = syscall.Flock(int(file.Fd()), syscall.LOCK_UN)
	_ = file.Close()
}

// isAt says whether a file is still what its path leads to.
func isAt(file *os.File, path string) bool {
	ours, err := file.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(path)
	return err == nil && os.SameFile(ours, there)
}

// removeLocked removes a file that is locked, unless another has taken its place.
func removeLocked(file *os.File, path string) error {
	if !isAt(file, path) {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
