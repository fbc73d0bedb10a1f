package entrypoint

import (
	"net"
	"sync/atomic"
	"time"
)

// The phases of a connection.
const (
	fresh   = iota // no request has begun, the handshake may still run
	used           // a request has begun, or HTTP/2 was agreed on
	dropped        // closed for a shutdown while it was fresh
)

// conn is an accepted connection below TLS. It gives back its place when it is closed, and bounds the handshake.
//
// net/http takes the deadline of a handshake from ReadHeaderTimeout, which must be positive for what follows: before the
// handshake it sets both deadlines, after it it clears both. In between conn keeps its own.
type conn struct {
	*net.TCPConn
	listener    *listener
	phase       atomic.Int32
	handshaking atomic.Bool
	closed      atomic.Bool
}

func (c *conn) beginHandshake(timeout time.Duration) {
	c.handshaking.Store(true)
	_ = c.TCPConn.SetDeadline(time.Now().Add(timeout))
}

func (c *conn) SetReadDeadline(t time.Time) error {
	if !c.handshaking.Load() {
		return c.TCPConn.SetReadDeadline(t)
	}
	if !t.IsZero() {
		return nil
	}
	c.handshaking.Store(false)
	return c.TCPConn.SetDeadline(time.Time{})
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	if c.handshaking.Load() {
		return nil
	}
	return c.TCPConn.SetWriteDeadline(t)
}

func (c *conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

func (c *conn) Close() error {
	err := c.TCPConn.Close()
	if c.closed.CompareAndSwap(false, true) {
		c.listener.release(c)
	}
	return err
}
