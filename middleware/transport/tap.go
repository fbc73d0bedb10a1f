package transport

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// A tap is what a direction of a tunnel comes from. While nothing comes it holds no buffer, for a tunnel may be idle for
// days.
type tap interface {
	// next waits for something and gives all of it that is there, up to a buffer's length. It is good until release, which
	// comes before the next next. With an error come the last bytes, or none.
	next() ([]byte, error)
	// release may be called where there is nothing to release.
	release()
}

// newTap gives the tap of a connection on which no deadline for reading is set, nor will be by anybody else.
func newTap(conn net.Conn, buffers *sync.Pool) tap {
	b := borrowed{pool: buffers}
	if secure, ok := conn.(*tls.Conn); ok {
		return &secureTap{conn: secure, borrowed: b}
	}
	if t := newPollTap(conn, b); t != nil {
		return t
	}
	return &plainTap{from: conn}
}

// borrowed is a buffer that lies in a pool while it is not needed.
type borrowed struct {
	pool *sync.Pool // of *bulk
	buf  *bulk      // nil: it does
}

func (b *borrowed) take() { b.buf = b.pool.Get().(*bulk) }

func (b *borrowed) release() {
	if b.buf != nil {
		b.pool.Put(b.buf)
		b.buf = nil
	}
}

// secureTap waits for one byte. The rest of its record is there with it, and read with a deadline that has passed, which
// keeps TLS from waiting for another one.
type secureTap struct {
	conn  *tls.Conn
	first [1]byte
	borrowed
}

func (t *secureTap) next() ([]byte, error) {
	n, err := t.conn.Read(t.first[:])
	if n == 0 {
		return nil, err
	}
	t.take()
	t.buf[0] = t.first[0]
	if err != nil {
		return t.buf[:n], err
	}
	_ = t.conn.SetReadDeadline(longAgo())
	more, err := t.conn.Read(t.buf[n:])
	if errors.Is(err, os.ErrDeadlineExceeded) { // which TLS gets over when it reads
		err = nil
	}
	_ = t.conn.SetReadDeadline(time.Time{})
	return t.buf[:n+more], err
}

// longAgo is a deadline that has passed.
func longAgo() time.Time { return time.Unix(1, 0) }

// sipBuffer is for connections that cannot be waited for without a buffer.
const sipBuffer = 1 << 10

type plainTap struct {
	from io.Reader
	buf  [sipBuffer]byte
}

func (t *plainTap) next() ([]byte, error) {
	n, err := t.from.Read(t.buf[:])
	return t.buf[:n], err
}

func (t *plainTap) release() {}
