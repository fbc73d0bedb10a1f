package transport

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// An intake is a backend's of a request's body over HTTP/2. It ends the request when the backend takes nothing for too
// long: that net/http would wait for without end, since the backend decides how much it gets (RFC 9113, section 5.2).
//
// When net/http has got a piece of the body, it is the backend's turn until it asks for the next. A look at that four
// times in the limit is all that it costs; so it may last a quarter longer.
type intake struct {
	limit time.Duration
	end   context.CancelFunc // ends the request

	mu      sync.Mutex
	answer  io.Closer   // the content of the answer; nil before its head
	timer   *time.Timer // nil before the first piece
	since   time.Time   // it is the backend's turn; zero where it is not
	over    bool
	stalled bool
}

// wait says that the backend has taken all that it was given.
func (i *intake) wait() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.since = time.Time{}
}

// give says that the backend is to take a piece, or the end.
func (i *intake) give() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.since = time.Now()
	if i.timer == nil && !i.over {
		i.timer = time.AfterFunc(i.limit/4, i.look)
	}
}

// answered says that the head of the answer is there. Writing that waits does not look at the request's context any more,
// but it ends when the answer is closed.
func (i *intake) answered(answer io.Closer) {
	i.mu.Lock()
	i.answer = answer
	stalled := i.stalled
	i.mu.Unlock()
	if stalled {
		_ = answer.Close()
	}
}

func (i *intake) look() {
	i.mu.Lock()
	switch {
	case i.over:
	case !i.since.IsZero() && time.Since(i.since) >= i.limit:
		i.over, i.stalled = true, true
	default:
		i.timer.Reset(i.limit / 4)
	}
	stalled, answer := i.stalled, i.answer
	i.mu.Unlock()
	if !stalled {
		return
	}
	i.end()
	if answer != nil {
		_ = answer.Close()
	}
}

// close ends the watch, and what is left of the request.
func (i *intake) close() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.over = true
	if i.timer != nil {
		i.timer.Stop()
	}
	i.end()
}

// failure is why the request was ended; nil where it was not.
func (i *intake) failure() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.stalled {
		return nil
	}
	return fmt.Errorf("send the request's body: nothing has been taken for %s: %w", i.limit, os.ErrDeadlineExceeded)
}
