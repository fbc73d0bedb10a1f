package entrypoint

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
)

// requests counts the handlers in flight. An upgraded connection counts for as long as its handler runs, whose
// connection the server has let go of.
type requests struct {
	gauge
	next http.Handler
	log  *slog.Logger
}

func (q *requests) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q.begin()
	defer q.ended(r)
	q.next.ServeHTTP(w, r)
}

func (q *requests) ended(r *http.Request) {
	cause := recover()
	q.end()
	if cause == nil {
		return
	}
	if cause != http.ErrAbortHandler {
		q.log.LogAttrs(context.Background(), slog.LevelError, "handler panicked", slog.String("panic", fmt.Sprint(cause)),
			slog.String("method", r.Method), slog.String("host", r.Host), slog.String("client", r.RemoteAddr),
			slog.String("stack", string(debug.Stack())))
	}
	// The response is cut short, and the server has nothing more to log.
	panic(http.ErrAbortHandler)
}
