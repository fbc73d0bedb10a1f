package h2

import (
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

// contentBlock holds content that has come and was not read yet: that of a frame at its longest.
type contentBlock [maxFrame]byte

// body is the content of a request. The goroutine that reads from the client adds to it, and the handler takes it.
type body struct {
	stream *stream

	mu         sync.Mutex
	wake       sync.Cond // told of all that Read may wait for
	blocks     []*contentBlock
	head, tail int // where what is there begins in the first block, and ends in the last
	err        error
	trailer    []line
	closed     bool  // nothing more is wanted
	expired    error // not nil: the time for reading is over
	read       int64 // bytes that the stream's window has not been given back yet
	reading    patience
}

// add puts content behind what is there; false where nobody wants it.
func (b *body) add(p []byte) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || b.err != nil {
		return false
	}
	for len(p) > 0 {
		if len(b.blocks) == 0 || b.tail == maxFrame {
			b.blocks = append(b.blocks, b.stream.conn.server.pools.blocks.Get().(*contentBlock))
			b.tail = 0
		}
		n := copy(b.blocks[len(b.blocks)-1][b.tail:], p)
		b.tail += n
		p = p[n:]
	}
	b.wake.Signal()
	return true
}

// end says that no more content comes: with io.EOF where that was all. What is there can be read before it.
func (b *body) end(err error, trailer []line) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err, b.trailer = err, trailer
	}
	b.wake.Broadcast()
}

// Read reads content and, at its end, the trailers into the request. Before the first time it asks a client that waits for
// that.
func (b *body) Read(p []byte) (int, error) {
	s := b.stream
	if s.response.mayContinue.Load() {
		s.response.sendContinue()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.reading.pause()
	for {
		switch {
		case b.closed:
			return 0, http.ErrBodyReadAfterClose
		case b.expired != nil:
			return 0, b.expired
		case len(b.blocks) > 0:
			n := b.take(p)
			b.giveBack(n)
			return n, nil
		case b.err != nil:
			b.copyTrailer()
			return 0, b.err
		case len(p) == 0:
			return 0, nil
		}
		b.reading.begin(s.conn.server.options.ProgressTimeout, b)
		b.wake.Wait()
	}
}

// take moves content into p. The lock must be held, and there must be some.
func (b *body) take(p []byte) int {
	taken := 0
	for len(p) > 0 && len(b.blocks) > 0 {
		end := maxFrame
		if len(b.blocks) == 1 {
			end = b.tail
		}
		n := copy(p, b.blocks[0][b.head:end])
		p = p[n:]
		taken += n
		if b.head += n; b.head == end {
			b.dropFirst()
		}
	}
	return taken
}

func (b *body) dropFirst() {
	b.stream.conn.server.pools.blocks.Put(b.blocks[0])
	copy(b.blocks, b.blocks[1:])
	last := len(b.blocks) - 1
	b.blocks[last] = nil
	b.blocks = b.blocks[:last]
	b.head = 0
}

// giveBack lets the client send as much again, once it is worth a frame. The lock is released meanwhile: that of the
// connection is not to be taken within it.
func (b *body) giveBack(n int) {
	c := b.stream.conn
	due := b.owe(n)
	b.mu.Unlock()
	defer b.mu.Lock()
	if due > 0 {
		c.returnStreamWindow(b.stream, due)
	}
	c.consumed.Add(int64(n))
	c.returnWindow()
}

// owe counts what is to be given back to the stream's window, and says how much of it is worth a frame now. The lock must
// be held.
func (b *body) owe(n int) int64 {
	if b.read += int64(n); b.read < uploadPerStream/4 || b.err != nil {
		return 0
	}
	due := b.read
	b.read = 0
	return due
}

// copyTrailer hands the trailers over, once.
func (b *body) copyTrailer() {
	if b.err != io.EOF || b.trailer == nil {
		return
	}
	r := &b.stream.request
	trailer := makeHeader(b.trailer)
	b.trailer = nil
	if r.Trailer == nil {
		r.Trailer = trailer
		return
	}
	for name, values := range trailer { // the map may be shared with a copy of the request
		r.Trailer[name] = values
	}
}

// Close lets no more be read, and throws away what is there and what comes.
func (b *body) Close() error {
	b.stop()
	return nil
}

func (b *body) stop() {
	b.mu.Lock()
	unread := 0
	if len(b.blocks) > 0 {
		unread = (len(b.blocks)-1)*maxFrame + b.tail - b.head
	}
	for len(b.blocks) > 0 {
		b.dropFirst()
	}
	b.closed = true
	b.reading.stop()
	b.wake.Broadcast()
	b.mu.Unlock()
	if unread > 0 {
		c := b.stream.conn
		c.consumed.Add(int64(unread))
		c.returnWindow() // it may be all that the client waits for
	}
}

// expire is for the time that passes. A client that has got the beginning of an answer may be silent for as long as that goes
// on, such as one that listens to a stream.
func (b *body) expire() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stream.response.begun.Load() {
		b.reading.again()
	}
	if err := b.reading.over(b); err != nil {
		b.expired = err
		b.wake.Broadcast()
	}
}

// setDeadline is the handler's.
func (b *body) setDeadline(t time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	if b.reading.setDeadline(t, b) {
		b.expired = os.ErrDeadlineExceeded
		b.wake.Broadcast()
	}
}

// returnStream gives a part of a stream's window back that had no content in it; s may be nil.
func (c *conn) returnStream(s *stream, n int) {
	if s == nil {
		return
	}
	s.body.mu.Lock()
	due := s.body.owe(n)
	s.body.mu.Unlock()
	if due > 0 {
		c.returnStreamWindow(s, due)
	}
}

// returnWindow tells the client of what was taken from the connection's window, once it is worth a frame.
func (c *conn) returnWindow() {
	if c.consumed.Load() < uploadPerConnection/4 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.consumed.Swap(0)
	if n == 0 {
		return
	}
	c.receiveWindow += n
	out := c.outbox.frames()
	*out = appendWindowUpdate(*out, 0, uint32(n))
	c.outbox.flushSoon()
}

func (c *conn) returnStreamWindow(s *stream, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.remoteClosed || c.streams[s.id] != s {
		return
	}
	s.receiveWindow += n
	out := c.outbox.frames()
	*out = appendWindowUpdate(*out, s.id, uint32(n))
	c.outbox.flushSoon()
}
