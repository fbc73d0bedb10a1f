package entrypoint

import (
	"net"
	"sync/atomic"
)

// The phases of a connection.
const (
	fresh   = iota // no request has begun, the handshake may still run
	used           // a request is being served, or HTTP/2 was agreed on
	idle           // a request has been answered, and none has begun since
	dropped        // closed for a shutdown while it was fresh or idle
)

// conn is an accepted connection below TLS. It gives back its place when it is closed, and knows whether a shutdown may do
// that.
type conn struct {
	*net.TCPConn
	listener *listener
	phase    atomic.Int32
	closed   atomic.Bool
	gathered gathered
	progress progress
}

// Begin, End and Last are how the HTTP/1.1 server tells what a shutdown has to wait for, and hears of one.
func (c *conn) Begin() bool {
	return c.phase.CompareAndSwap(fresh, used) || c.phase.CompareAndSwap(idle, used)
}

// End makes the connection idle first and then looks, so that a shutdown, which does both the other way round, leaves
// none behind.
func (c *conn) End() bool {
	c.phase.CompareAndSwap(used, idle)
	return !c.listener.draining.Load()
}

// Last is true while the entrypoint shuts down.
func (c *conn) Last() bool { return c.listener.draining.Load() }

// drop is for a shutdown. It is true where no request is being served on the connection, on which none will be.
func (c *conn) drop() bool {
	return c.phase.CompareAndSwap(fresh, dropped) || c.phase.CompareAndSwap(idle, dropped)
}

func (c *conn) Close() error {
	err := c.TCPConn.Close()
	if c.closed.CompareAndSwap(false, true) {
		c.listener.release(c)
	}
	return err
}
