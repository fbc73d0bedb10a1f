package h1

import (
	"errors"
	"os"
	"time"

	shared "github.com/tricot-proxy/tricot/pipeline/entrypoint/exchange"
)

// boundContent gives the client time to send more of the content, which is waited for now.
func (l *life) boundContent() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.limited {
		return nil
	}
	return l.exchange.conn.extend(l.exchange.conn.server.options.ProgressTimeout)
}

// setReadDeadline sets a deadline in place of the one for content. The zero time brings that back.
func (l *life) setReadDeadline(t time.Time) error {
	x := l.exchange
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limited = !t.IsZero()
	x.conn.readDeadline = longAgo() // somewhere
	if !l.limited && !x.body.ended.Load() {
		return x.conn.extend(x.conn.server.options.ProgressTimeout)
	}
	return x.conn.client.SetReadDeadline(t)
}

// mayBeSilent says whether a client may go on to send nothing although the time for that has passed, and gives it as much
// again: one that has got the beginning of an answer may listen to it for as long as that goes on.
func (l *life) mayBeSilent(err error) bool {
	x := l.exchange
	if !errors.Is(err, os.ErrDeadlineExceeded) || !x.response.begun.Load() {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.limited && !x.conn.hijacked.Load() && x.conn.extend(x.conn.server.options.ProgressTimeout) == nil
}

// contentFailed says why the content cannot be read to its end. That ends the context of the request, unless the client
// is there and may have an answer.
func (l *life) contentFailed(err error) error {
	c := l.exchange.conn
	l.mu.Lock()
	stalled := !l.limited && !c.hijacked.Load() && errors.Is(err, os.ErrDeadlineExceeded)
	l.mu.Unlock()
	if stalled {
		return &shared.StallError{After: c.server.options.ProgressTimeout, Err: err}
	}
	l.Cancel()
	return err
}
