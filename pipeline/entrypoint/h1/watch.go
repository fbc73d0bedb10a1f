package h1

import (
	"errors"
	"os"
	"sync"
	"time"

	shared "github.com/tricot-proxy/tricot/pipeline/entrypoint/exchange"
)

// life is the context of a request, with the watch: that reads one byte from the connection while a handler runs, to see the
// client leave. It begins when somebody asks and the request's content has been read to its end.
type life struct {
	shared.Context
	exchange *exchange

	mu       sync.Mutex    // taken after the Context's
	asked    bool          // somebody wants to know whether the client leaves
	over     bool          // the watch must not begin any more
	stopping bool          // it is being interrupted
	watching chan struct{} // closed at its end; nil: it has not begun
	limited  bool          // somebody has set a deadline for reading, which holds in place of the one for content
}

func (l *life) init(x *exchange) {
	l.exchange = x
	l.Local, l.Server, l.Watcher = x.conn.client.LocalAddr(), x.conn.server.options.Parent, l
}

// longAgo is a deadline that has passed.
func longAgo() time.Time { return time.Unix(1, 0) }

// Asked begins the watch, or has it begun when the content ends.
func (l *life) Asked() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = true
	l.watch()
}

// contentEnded lets a watch begin that was asked for before.
func (l *life) contentEnded() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watch()
}

func (l *life) watch() {
	x := l.exchange
	c := x.conn
	if !l.asked || l.over || l.watching != nil || !x.body.ended.Load() || len(c.ahead) > 0 {
		return
	}
	if !c.readDeadline.IsZero() && c.setReadDeadline(time.Time{}) != nil { // closed: there is nothing to wait for
		go l.Cancel() // which takes the Context's lock
		return
	}
	l.watching = make(chan struct{})
	go x.watch(l.watching)
}

func (x *exchange) watch(ended chan<- struct{}) {
	defer close(ended)
	n, err := x.conn.client.Read(x.conn.seen[:])
	if n > 0 { // the next request: it waits, and who has sent it is not gone
		x.conn.ahead = x.conn.seen[:n]
		return
	}
	x.life.mu.Lock()
	interrupted := x.life.stopping && errors.Is(err, os.ErrDeadlineExceeded)
	x.life.mu.Unlock()
	if !interrupted {
		x.life.Cancel()
	}
}

// stopWatch returns when no watch runs, and none can begin. Then the connection has no deadline for reading, where there
// was one.
func (x *exchange) stopWatch() {
	l := &x.life
	l.mu.Lock()
	l.over = true
	ended := l.watching
	l.stopping = true
	l.mu.Unlock()
	if ended == nil {
		return
	}
	select {
	case <-ended:
	default:
		_ = x.conn.client.SetReadDeadline(longAgo())
		<-ended
		_ = x.conn.client.SetReadDeadline(time.Time{})
	}
}

// end ends the context with the handler, and the watch with it. Afterwards nothing but the body reads from the connection.
func (x *exchange) end() {
	x.stopWatch()
	x.life.Cancel()
}
