package h1

import (
	"io"
	"time"

	shared "github.com/tricot-proxy/tricot/pipeline/entrypoint/exchange"
)

// source is the reading side of a connection, below the reader's buffer.
type source conn

// Read gives what has been read ahead first. While a head is read, it gives the first byte of that no sooner than more has
// come, and begins to count its time when it has to wait for the rest.
func (s *source) Read(p []byte) (n int, err error) {
	c := (*conn)(s)
	if len(c.ahead) > 0 {
		n = copy(p, c.ahead)
		if c.ahead = c.ahead[n:]; len(c.ahead) == 0 {
			c.ahead = nil // or it would keep the buffer that it lay in
		}
		more := c.oneByte && c.inHead && n < len(p)
		c.oneByte = false
		if !more {
			return n, nil
		}
	} else if err := c.boundRead(); err != nil {
		return 0, err
	}
	c.headBegun = true
	read, err := c.client.Read(p[n:])
	for read == 0 && err != nil && !c.inHead && c.exchange.life.mayBeSilent(err) {
		read, err = c.client.Read(p)
	}
	if n += read; n > 0 && err == io.EOF {
		err = nil // it comes again
	}
	if err != nil && !c.inHead {
		err = c.exchange.life.contentFailed(err)
	}
	return n, err
}

// boundRead sets the time for what a read waits for.
func (c *conn) boundRead() error {
	switch {
	case !c.inHead && !c.hijacked.Load():
		return c.exchange.life.boundContent()
	case c.inHead && c.headBegun && !c.headTimed:
		c.headTimed = true
		return c.setReadDeadline(time.Now().Add(c.server.options.ReadHeaderTimeout))
	}
	return nil
}

// await waits for the first byte of the next request without holding a buffer.
func (c *conn) await() error {
	c.headBegun, c.headTimed = false, false
	switch {
	case c.requests == 0: // the time for the first head runs already
		c.headTimed = true
		if err := c.setReadDeadline(time.Now().Add(c.server.options.ReadHeaderTimeout)); err != nil {
			return err
		}
	case c.buffers != nil && c.buffers.reader.Buffered() > 0:
		c.headBegun = true
		return nil
	case len(c.ahead) > 0:
		c.oneByte = true
		c.takeBuffers()
		return c.extend(c.server.options.IdleTimeout)
	default:
		if err := c.extend(c.server.options.IdleTimeout); err != nil {
			return err
		}
	}
	if c.poll.usable() {
		return c.pollAhead()
	}
	c.giveBuffers()
	n, err := c.client.Read(c.first[:])
	if n == 0 {
		return err
	}
	c.ahead, c.oneByte = c.first[:n], true
	c.takeBuffers()
	return nil
}

// extend moves the deadline for reading only where it leaves less than the limit, or much more: a timer costs as much as
// all else here.
func (c *conn) extend(limit time.Duration) error {
	now := time.Now()
	if left := c.readDeadline.Sub(now); left >= limit && left <= limit+limit/8 {
		return nil
	}
	return c.setReadDeadline(now.Add(limit + limit/16))
}

// setReadDeadline is for the connection's own goroutine while no handler runs, and for who holds the life's lock.
func (c *conn) setReadDeadline(t time.Time) error {
	c.readDeadline = t
	return c.client.SetReadDeadline(t)
}

// closeInSteps closes the connection after an answer that the client may have to look for while it still sends.
func (c *conn) closeInSteps() {
	c.giveBuffers()
	_ = shared.CloseInSteps(c.client, c.below, c.server.linger)
}
