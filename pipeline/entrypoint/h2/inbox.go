package h2

import (
	"errors"
	"io"
	"os"
	"time"
)

// inbox is what has been read from the client and not been looked at yet.
type inbox struct {
	buffer     *inBuffer // nil while nothing is there
	start, end int

	deadline time.Time // the one in force
	timed    bool      // it is that of a head
}

// inBuffer holds a frame that has the longest payload, and the beginning of the next.
type inBuffer [maxFrame + 1<<10]byte

func (b *inbox) length() int { return b.end - b.start }

// next gives the bytes that are there, n of them at least, which need has made sure of.
func (b *inbox) next(n int) []byte { return b.buffer[b.start : b.start+n] }

func (b *inbox) skip(n int) { b.start += n }

// free gives the buffer back.
func (b *inbox) free(c *conn) {
	if b.buffer != nil {
		c.server.pools.in.Put(b.buffer)
		b.buffer = nil
	}
	b.start, b.end = 0, 0
}

// need waits until n bytes are there, in one piece.
func (c *conn) need(n int) error {
	b := &c.in
	for b.length() < n {
		if b.buffer == nil {
			if err := c.awaitFirst(); err != nil {
				return err
			}
			continue
		}
		if b.start == b.end {
			b.start, b.end = 0, 0
		} else if b.start+n > len(b.buffer) {
			b.end = copy(b.buffer[:], b.buffer[b.start:b.end])
			b.start = 0
		}
		read, err := c.read(b.buffer[b.end:])
		if err != nil {
			return err
		}
		b.end += read
	}
	return nil
}

// awaitFirst waits for the first byte of a frame without holding a buffer.
func (c *conn) awaitFirst() error {
	var first [1]byte
	if _, err := c.read(first[:]); err != nil {
		return err
	}
	b := &c.in
	b.buffer = c.server.pools.in.Get().(*inBuffer)
	b.buffer[0], b.start, b.end = first[0], 0, 1
	return nil
}

// read reads what there is. While it waits, the time of a head that has begun runs, or that of a connection without
// streams.
func (c *conn) read(p []byte) (int, error) {
	if err := c.arm(); err != nil {
		return 0, err
	}
	for {
		n, err := c.client.Read(p)
		if n > 0 {
			return n, nil
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			if err = c.outOfTime(); err == nil {
				continue
			}
		}
		if err == nil {
			err = io.ErrNoProgress
		}
		return 0, err
	}
}

// arm sets the deadline for the next reading. To move a timer costs as much as a read, so that of a connection without
// streams is moved only where less than its time is left, and that of one with streams not at all.
func (c *conn) arm() error {
	b := &c.in
	inHead := !c.greeted || c.block.stream != 0 || b.length() > 0
	if inHead && b.timed {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.drained == done {
		return errDone
	}
	idle := c.server.options.IdleTimeout
	switch {
	case inHead:
		timeout := c.server.options.ReadHeaderTimeout
		if len(c.streams) == 0 {
			timeout = min(timeout, idle)
		}
		b.timed = true
		return c.setReadDeadline(time.Now().Add(timeout))
	case len(c.streams) > 0 && !b.timed:
		return nil
	case len(c.streams) > 0:
		b.timed = false
		return c.setReadDeadline(time.Now().Add(idle + idle/16))
	}
	b.timed = false
	if after := b.deadline.Sub(c.idle); after >= idle && after <= idle+idle/8 {
		return nil
	}
	return c.setReadDeadline(c.idle.Add(idle + idle/16))
}

// setReadDeadline must be called by the goroutine that reads, with the lock held.
func (c *conn) setReadDeadline(t time.Time) error {
	c.in.deadline = t
	return c.client.SetReadDeadline(t)
}

// outOfTime says why the connection ends when its deadline has passed; nil where it does not, and has another one.
func (c *conn) outOfTime() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	idle := c.server.options.IdleTimeout
	since := time.Since(c.idle)
	switch {
	case c.drained == done:
		return errDone
	case c.in.timed:
		return failure(noError, "a head that does not go on")
	case len(c.streams) > 0:
		return c.setReadDeadline(time.Now().Add(idle + idle/16))
	case since < idle:
		return c.setReadDeadline(time.Now().Add(idle - since))
	}
	return errIdle
}
