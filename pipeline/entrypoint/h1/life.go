package h1

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// life is the context of a request. It ends when the handler has returned, and before that when the client is found to
// have left, for which it looks only once somebody asks.
type life struct {
	exchange *exchange

	mu       sync.Mutex
	err      error         // not nil: it has ended
	done     chan struct{} // nil where nobody asked for it
	after    []*after
	asked    bool          // somebody wants to know whether the client leaves
	over     bool          // the watch must not begin any more
	stopping bool          // it is being interrupted
	watching chan struct{} // closed at its end; nil: it has not begun
}

// after is a function that waits for the end.
type after struct{ f func() }

func (l *life) Deadline() (time.Time, bool) { return time.Time{}, false }

func (l *life) Value(key any) any {
	switch key {
	case http.LocalAddrContextKey:
		return l.exchange.conn.client.LocalAddr()
	case http.ServerContextKey:
		if parent := l.exchange.conn.server.options.Parent; parent != nil {
			return parent
		}
	}
	return nil
}

func (l *life) Done() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done == nil {
		l.done = make(chan struct{})
		if l.err != nil {
			close(l.done)
		}
	}
	l.ask()
	return l.done
}

func (l *life) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ask()
	return l.err
}

// AfterFunc is what package context looks for in a context that is not its own, so that those which are derived from this
// one need no goroutine.
func (l *life) AfterFunc(f func()) (stop func() bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		go f()
		return func() bool { return false }
	}
	l.ask()
	a := &after{f}
	l.after = append(l.after, a)
	return func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		for i, other := range l.after {
			if other == a {
				l.after = append(l.after[:i], l.after[i+1:]...)
				return true
			}
		}
		return false
	}
}

// cancel ends it.
func (x *exchange) cancel() {
	l := &x.life
	l.mu.Lock()
	if l.err != nil {
		l.mu.Unlock()
		return
	}
	l.err = context.Canceled
	if l.done != nil {
		close(l.done)
	}
	waiting := l.after
	l.after = nil
	l.mu.Unlock()
	for _, a := range waiting {
		go a.f()
	}
}

// end ends it with the handler, and the watch with it. Afterwards nothing but the body reads from the connection.
func (x *exchange) end() {
	x.stopWatch()
	x.cancel()
}
