package entrypoint

import (
	"log/slog"
	"sync"
	"time"
)

const (
	firstPause = 5 * time.Millisecond
	// longestPause is below quietAfterTrouble, so that errors which go on are one trouble.
	longestPause      = 500 * time.Millisecond
	quietAfterTrouble = time.Second
)

// trouble is a run of accept errors. It is logged when it begins, and when there was none for a while.
type trouble struct {
	log   *slog.Logger
	quiet time.Duration // without an error, until the trouble is over

	mu     sync.Mutex
	errors int // of this trouble; 0: all is well
	pause  time.Duration
	over   *time.Timer
}

// begin takes note of an error and says how long to wait before the next try.
func (t *trouble) begin(err error) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.errors++
	if t.errors == 1 {
		t.pause = firstPause
		t.log.Error("accepting connections fails", "error", err)
		t.over = time.AfterFunc(t.quiet, t.end)
		return t.pause
	}
	t.pause = min(2*t.pause, longestPause)
	t.over.Reset(t.quiet)
	return t.pause
}

func (t *trouble) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.errors > 0 {
		t.log.Warn("accepting connections works again", "errors", t.errors)
		t.errors = 0
	}
}

func (t *trouble) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over != nil {
		t.over.Stop()
	}
}
