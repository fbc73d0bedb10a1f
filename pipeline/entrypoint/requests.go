package entrypoint

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync/atomic"
)

// requests counts the handlers in flight. An upgraded connection counts for as long as its handler runs, which net/http's
// own shutdown does not wait for.
type requests struct {
	next  http.Handler
	log   *slog.Logger
	count atomic.Int64
	// waited says that somebody waits for done, which then has a token each time the count reaches 0.
	waited atomic.Bool
	done   chan struct{}
}

func (q *requests) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q.count.Add(1)
	defer q.ended(r)
	q.next.ServeHTTP(w, r)
}

func (q *requests) ended(r *http.Request) {
	cause := recover()
	if q.count.Add(-1) == 0 && q.waited.Load() {
		select {
		case q.done <- struct{}{}:
		default:
		}
	}
	if cause == nil {
		return
	}
	if cause != http.ErrAbortHandler {
		q.log.LogAttrs(context.Background(), slog.LevelError, "handler panicked", slog.String("panic", fmt.Sprint(cause)),
			slog.String("method", r.Method), slog.String("host", r.Host), slog.String("client", r.RemoteAddr),
			slog.String("stack", string(debug.Stack())))
	}
	// The response is cut short, and net/http has nothing more to log.
	panic(http.ErrAbortHandler)
}

func (q *requests) inFlight() int { return int(q.count.Load()) }

// wait returns when no handler is in flight, or with ctx's error.
func (q *requests) wait(ctx context.Context) error {
	q.waited.Store(true)
	for q.count.Load() > 0 {
		select {
		case <-q.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
