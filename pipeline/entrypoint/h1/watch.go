package h1

import (
	"errors"
	"os"
	"time"
)

// The watch reads one byte from the connection while a handler runs, to see the client leave. It begins when somebody asks
// and the request's content has been read to its end.

// longAgo is a deadline that has passed.
func longAgo() time.Time { return time.Unix(1, 0) }

// ask begins the watch, or has it begun when the content ends. The lock must be held.
func (l *life) ask() {
	if !l.asked && l.err == nil {
		l.asked = true
		l.watch()
	}
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
	if !l.asked || l.over || l.err != nil || l.watching != nil || !x.body.ended.Load() || len(c.ahead) > 0 {
		return
	}
	if !c.readDeadline.IsZero() && c.setReadDeadline(time.Time{}) != nil { // closed: there is nothing to wait for
		go x.cancel() // which takes the lock
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
		x.cancel()
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
