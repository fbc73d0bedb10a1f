package transport

import (
	"context"
	"errors"
	"net"
	"os"
	"time"
)

// haste is how long a request may take before its client is watched and time-outs are set: most answers are there by
// then, and cost none of it. A deadline between haste and twice that serves successive requests.
// Under load an answer may well take tens of milliseconds, and a client that leaves may as well be noticed a little later.
const haste = 100 * time.Millisecond

// A connection leads to a backend and speaks HTTP/1.1. One request at a time has it; while it is idle it lies in a
// [shelf]. It belongs to one goroutine, but for cut, and what an [upload] does with it.
type connection struct {
	net.Conn         // what is read and written: that below, or TLS over it
	tcp      *socket // below, where deadlines are set
	secure   bool
	probe    *probe // nil where the system has no way to look without waiting

	shelf  *shelf
	born   time.Time
	rested time.Time // since when it is idle
	reused bool
	cut    func() // closes at once; any goroutine may call it, any number of times

	// For one request:

	ctx       context.Context // the request's
	unwatch   func() bool     // nil until the client is watched
	hasty     bool            // neither is the client watched, nor is any deadline set but that of haste
	responded bool            // something of an answer has arrived
	until     time.Time       // reading ends then; zero: never, or where pause is set
	pause     time.Duration   // reading ends when nothing has arrived for so long

	readDeadline time.Time // as it is set
}

// begin makes the connection ready for a request. Reading may last until the time given; writing ends when nothing has
// been taken for progress.
func (c *connection) begin(ctx context.Context, now, until time.Time, progress time.Duration) {
	c.ctx, c.until, c.pause, c.hasty, c.responded = ctx, until, 0, true, false
	c.tcp.limit = progress
	if left := c.readDeadline.Sub(now); left < haste || left > 2*haste || c.tcp.deadline != c.readDeadline {
		c.readDeadline = now.Add(2 * haste)
		c.tcp.deadline = c.readDeadline
		_ = c.tcp.SetDeadline(c.readDeadline)
	}
}

// settle ends the haste: from now on the connection is closed when the client leaves.
func (c *connection) settle() {
	if c.hasty {
		c.hasty = false
		c.unwatch = context.AfterFunc(c.ctx, c.cut)
	}
}

// release says whether the connection outlives the request: not where the client's leaving is just closing it.
func (c *connection) release() bool {
	unwatch := c.unwatch
	c.ctx, c.unwatch = nil, nil
	if c.hasty { // an upload that goes on looks at it, and there is none before the haste is over
		c.hasty = false
	}
	return unwatch == nil || unwatch()
}

// stream makes reading end when nothing has arrived for so long, and not before.
func (c *connection) stream(pause time.Duration) { c.until, c.pause = time.Time{}, pause }

// Read reads with the time-outs that the request has come to.
func (c *connection) Read(p []byte) (int, error) {
	if c.hasty {
		n, err := c.Conn.Read(p)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			c.responded = c.responded || n > 0
			return n, err
		}
		c.settle()
	}
	if c.pause > 0 {
		if now := time.Now(); c.readDeadline.Sub(now) < c.pause {
			c.setReadDeadline(now.Add(c.pause + c.pause/4)) // so that it need not be set for each piece
		}
	} else if c.readDeadline != c.until {
		c.setReadDeadline(c.until)
	}
	n, err := c.Conn.Read(p)
	c.responded = c.responded || n > 0
	return n, err
}

func (c *connection) setReadDeadline(t time.Time) {
	c.readDeadline = t
	_ = c.tcp.SetReadDeadline(t)
}

// Write goes on for as long as the backend takes something; what is embedded ends with the haste unless it is TLS.
func (c *connection) Write(p []byte) (int, error) {
	if c.secure {
		return c.Conn.Write(p) // to tcp, record by record
	}
	return c.tcp.Write(p)
}

// clean says whether nothing has arrived on an idle connection: neither its end, nor bytes that belong to no request.
func (c *connection) clean() bool {
	if c.probe == nil {
		return true
	}
	if !c.secure {
		return c.probe.quiet()
	}
	// What TLS has to say for itself, such as a session ticket, is taken here.
	var one [1]byte
	c.probe.looking = true
	n, err := c.Conn.Read(one[:])
	c.probe.looking = false
	return n == 0 && errors.Is(err, errQuiet)
}

// CloseWrite ends our half, where the connection has halves.
func (c *connection) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// A probe reads without waiting. Below TLS it stands for the connection itself.
type probe struct {
	net.Conn
	look    func(p []byte) (int, error) // errQuiet where there is nothing
	looking bool
	one     [1]byte
}

// errQuiet says that there is nothing to read now. TLS takes it for something that passes.
var errQuiet error = quiet{}

type quiet struct{}

func (quiet) Error() string   { return "nothing has arrived" }
func (quiet) Timeout() bool   { return true }
func (quiet) Temporary() bool { return true }

func (p *probe) Read(b []byte) (int, error) {
	if p.looking {
		return p.look(b)
	}
	return p.Conn.Read(b)
}

func (p *probe) quiet() bool {
	_, err := p.look(p.one[:])
	return err == errQuiet
}
