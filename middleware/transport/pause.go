package transport

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// What there is of an answer reaches the client while its backend has no more to give, however little it is: an answer
// may have a length and take its time all the same. What comes without a pause is sent by the buffer.

// readPiece reads content of an answer over HTTP/1.1, behind the head or a piece that has been written. Before it waits,
// it flushes that. So where something is there this is a read like any other, and a pause costs a flush and one read more,
// which finds nothing.
func (x *exchange) readPiece(p []byte) (n int, err error, byClient bool) {
	if n, err = x.connection.readNow(p); !errors.Is(err, errQuiet) {
		return n, err, false
	}
	if err := x.flush(); err != nil {
		return 0, err, true
	}
	n, err = x.connection.Read(p)
	return n, err, false
}

// readNow reads what has arrived. The error is errQuiet where that is nothing, or where the system has no way to tell.
func (c *connection) readNow(p []byte) (int, error) {
	switch {
	case c.probe == nil:
		return 0, errQuiet
	case !c.secure:
		return c.probe.look(p)
	}
	c.probe.looking = true
	n, err := c.Conn.Read(p)
	c.probe.looking = false
	return n, err
}

// lull is how long a backend that speaks HTTP/2 may say nothing before that is a pause. Of net/http one cannot learn
// whether a read will wait.
const lull = 2 * time.Millisecond

// pauses reads content of an answer over HTTP/2. A read that waits for longer than lull flushes, and one that waits for
// longer than the limit closes the answer.
type pauses struct {
	from  io.ReadCloser
	limit time.Duration
	live  bool         // whoever writes flushes each piece
	flush func() error // called from another goroutine, while the handler's reads
	timer *time.Timer  // of a read

	mu        sync.Mutex // held while the client is written to beside the handler's goroutine
	reading   bool
	since     time.Time
	unflushed bool // since the read began
	stalled   bool
	client    error // why the flush failed
	rescue    rescue
}

// read says whose side failed.
func (p *pauses) read(b []byte) (n int, err error, byClient bool) {
	p.begin()
	n, err = p.from.Read(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reading = false
	p.timer.Stop()
	p.rescue.rethrow()
	switch {
	case p.client != nil:
		return 0, p.client, true
	case err != nil && p.stalled:
		err = fmt.Errorf("read the answer: nothing has come for %s: %w", p.limit, os.ErrDeadlineExceeded)
	}
	return n, err, false
}

func (p *pauses) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reading, p.since, p.unflushed = true, time.Now(), !p.live
	wait := p.limit
	if p.unflushed {
		wait = min(lull, p.limit)
	}
	if p.timer == nil {
		p.timer = time.AfterFunc(wait, p.look)
	} else {
		p.timer.Reset(wait)
	}
}

// look is called when a read waits. It may come late, when the next one does.
func (p *pauses) look() {
	if p.over() {
		_ = p.from.Close() // which ends the read
	}
}

// over says whether the answer goes on no longer; else it flushes what there is, and looks again later.
func (p *pauses) over() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.reading:
		return false
	case p.unflushed:
		p.unflushed = false
		if p.client = p.tell(); p.client != nil {
			return true
		}
		p.since = time.Now() // the client may take its time
	case time.Since(p.since) >= p.limit:
		p.stalled = true
		return true
	}
	p.timer.Reset(p.limit - time.Since(p.since))
	return false
}

func (p *pauses) tell() (err error) {
	defer p.rescue.catch(&err)
	return p.flush()
}
