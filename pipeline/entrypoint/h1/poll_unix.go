//go:build unix

package h1

import (
	"errors"
	"io"
	"net"
	"syscall"
)

// poll reads from a plain connection such that a buffer is needed only when something is there.
type poll struct {
	raw syscall.RawConn
	try func(fd uintptr) bool // tryAhead, as a value that is made once
	n   int
	err error
}

func (p *poll) init(client net.Conn) {
	if s, ok := client.(syscall.Conn); ok {
		p.raw, _ = s.SyscallConn()
	}
}

func (p *poll) usable() bool { return p.raw != nil }

// pollAhead waits for the first bytes and reads them. They come to lie in the buffer for the answer, which is not needed
// before they have gone into the reader's.
func (c *conn) pollAhead() error {
	if c.poll.try == nil {
		c.poll.try = c.tryAhead
	}
	if err := c.poll.raw.Read(c.poll.try); err != nil {
		return err
	}
	if c.poll.err != nil {
		return c.poll.err
	}
	if c.poll.n == 0 {
		return io.EOF
	}
	c.ahead = c.buffers.out[:c.poll.n]
	return nil
}

// tryAhead is false where nothing is there yet.
func (c *conn) tryAhead(fd uintptr) bool {
	c.takeBuffers()
	for {
		c.poll.n, c.poll.err = syscall.Read(int(fd), c.buffers.out[:readBuffer])
		switch {
		case errors.Is(c.poll.err, syscall.EINTR):
			continue
		case errors.Is(c.poll.err, syscall.EAGAIN):
			c.giveBuffers()
			return false
		}
		return true
	}
}
