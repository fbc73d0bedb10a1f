package h1

import (
	"io"
	"net"
	"time"
)

// source is the reading side of a connection, below the reader's buffer.
type source conn

// Read gives what has been read ahead first. While a head is read, it gives the first byte of that no sooner than more has
// come, and begins to count its time when it has to wait for the rest.
func (s *source) Read(p []byte) (n int, err error) {
	c := (*conn)(s)
	if len(c.ahead) > 0 {
		n = copy(p, c.ahead)
		c.ahead = c.ahead[n:]
		more := c.oneByte && c.inHead && n < len(p)
		c.oneByte = false
		if !more {
			return n, nil
		}
	} else if c.inHead && c.headBegun && !c.headTimed {
		c.headTimed = true
		if err := c.setReadDeadline(time.Now().Add(c.server.options.ReadHeaderTimeout)); err != nil {
			return 0, err
		}
	}
	c.headBegun = true
	read, err := c.client.Read(p[n:])
	if n += read; n > 0 && err == io.EOF {
		err = nil // it comes again
	}
	if err != nil && !c.inHead {
		c.lost()
	}
	return n, err
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
		return c.extendIdle()
	default:
		if err := c.extendIdle(); err != nil {
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

// extendIdle moves the deadline for reading only where less than the time for idle connections is left: a timer costs as
// much as all else here.
func (c *conn) extendIdle() error {
	idle := c.server.options.IdleTimeout
	now := time.Now()
	if left := c.readDeadline.Sub(now); !c.readDeadline.IsZero() && left >= idle && left <= idle+idle/8 {
		return nil
	}
	return c.setReadDeadline(now.Add(idle + idle/16))
}

// setReadDeadline is for the connection's own goroutine while no handler runs, and for who holds the exchange's lock.
func (c *conn) setReadDeadline(t time.Time) error {
	c.readDeadline = t
	return c.client.SetReadDeadline(t)
}

// halfCloser is a connection of which one direction can be closed.
type halfCloser interface{ CloseWrite() error }

// closeInSteps closes the connection such that a client which still sends gets to see the answer before it is told that
// nobody reads that (RFC 9112, section 9.6).
func (c *conn) closeInSteps() {
	c.giveBuffers()
	if t, ok := c.client.(halfCloser); ok && c.tls != nil {
		_ = t.CloseWrite() // the alert that tells the end from a cut
	}
	_ = Linger(c.below, c.server.linger)
}

// Linger ends the sending side of a connection below TLS, and closes it when the other side has ended, or after a while.
func Linger(below net.Conn, timeout time.Duration) error {
	if half, ok := below.(halfCloser); ok && half.CloseWrite() == nil && below.SetReadDeadline(time.Now().Add(timeout)) == nil {
		_, _ = io.Copy(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{below})
	}
	return below.Close()
}
