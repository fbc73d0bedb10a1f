package entrypoint

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/tricot-proxy/tricot/pipeline/entrypoint/exchange"
)

// progress bounds how long a client may take nothing of what is written to it: a deadline that moves on with what it takes.
// It is below TLS, so that it holds for every protocol, and where a write waits no byte is too small to count. A deadline
// that somebody else sets holds in its place, for as long as it is set.
type progress struct {
	mu    sync.Mutex    // held while a deadline is set
	until time.Duration // ours, from the beginning of the listener on; 0 where it has passed or is not set
	other bool          // there is one of somebody else
}

// extend moves the deadline only where less than the time that a client has is left: a timer costs more than all else
// here. The lock must be held.
func (c *conn) extend() error {
	limit := c.listener.progressTimeout
	now := time.Since(c.listener.began) // half of what time.Now costs
	if c.progress.other || c.progress.until-now >= limit {
		return nil
	}
	c.progress.until = now + limit + limit/16
	return c.TCPConn.SetWriteDeadline(c.listener.began.Add(c.progress.until))
}

// lastTry is how long the last try of a write may take that would have to wait: the system wakes who waits only when much of
// its buffer is free, but lets one write as soon as there is some room.
const lastTry = 10 * time.Millisecond

// bound sets the deadline for a write; last says that it is the last try.
func (c *conn) bound(last bool) error {
	c.progress.mu.Lock()
	defer c.progress.mu.Unlock()
	if !last || c.progress.other {
		return c.extend()
	}
	c.progress.until = time.Since(c.listener.began) + c.listener.lastTry
	return c.TCPConn.SetWriteDeadline(c.listener.began.Add(c.progress.until))
}

// passed says whether a write ended because the time was up that a client has.
func (c *conn) passed(err error) bool {
	if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	c.progress.mu.Lock()
	defer c.progress.mu.Unlock()
	c.progress.until = 0
	return !c.progress.other
}

// write writes all of p, for as long as the client takes something of it each time.
func (c *conn) write(p []byte) (int, error) {
	n, err := c.persist(func() (int64, error) {
		taken, err := c.TCPConn.Write(p)
		p = p[taken:]
		return int64(taken), err
	})
	return int(n), err
}

// WriteBuffers writes all pieces with one system call where that is possible, and takes what is written from them. It is
// for plain connections, on which nothing is held back.
func (c *conn) WriteBuffers(pieces *net.Buffers) (int64, error) {
	return c.persist(func() (int64, error) { return pieces.WriteTo(c.TCPConn) })
}

// persist calls write, which goes on where it stopped, again each time that the client took something within its time.
func (c *conn) persist(write func() (int64, error)) (n int64, err error) {
	for last := false; ; {
		if err := c.bound(last); err != nil {
			return n, err
		}
		taken, err := write()
		n += taken
		switch {
		case !c.passed(err):
			return n, err
		case last && taken == 0:
			return n, c.stalled(err)
		}
		last = taken == 0
	}
}

func (c *conn) stalled(err error) error {
	return &exchange.StallError{Writing: true, After: c.listener.progressTimeout, Err: err}
}

// ReadFrom copies by way of Write: what the system copies by itself may wait for the other side for longer than the client
// may take nothing.
func (c *conn) ReadFrom(r io.Reader) (int64, error) { return io.Copy(struct{ io.Writer }{c}, r) }

// SetWriteDeadline sets one in place of that which moves on. The zero time brings that back.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.progress.mu.Lock()
	defer c.progress.mu.Unlock()
	c.progress.other = !t.IsZero()
	if !c.progress.other {
		return c.extend()
	}
	c.progress.until = 0
	return c.TCPConn.SetWriteDeadline(t)
}

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (c *conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}
