//go:build unix

package transport

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// pollTap reads from one of the system's connections, into a buffer that it takes for each try.
type pollTap struct {
	raw  syscall.RawConn
	read func(fd uintptr) bool // try, as a value that is made once
	n    int
	err  error
	borrowed
}

// newPollTap gives nil for a connection that is none of the system's.
func newPollTap(conn net.Conn, b borrowed) tap {
	system, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := system.SyscallConn()
	if err != nil {
		return nil
	}
	t := &pollTap{raw: raw, borrowed: b}
	t.read = t.try
	return t
}

func (t *pollTap) next() ([]byte, error) {
	err := t.raw.Read(t.read)
	switch {
	case err != nil:
	case t.err != nil:
		err = os.NewSyscallError("read", t.err)
	case t.n == 0:
		err = io.EOF
	default:
		return t.buf[:t.n], nil
	}
	t.release()
	return nil, err
}

// try is false where nothing is there yet.
func (t *pollTap) try(fd uintptr) bool {
	t.take()
	for {
		t.n, t.err = syscall.Read(int(fd), t.buf[:])
		switch {
		case errors.Is(t.err, syscall.EINTR):
			continue
		case errors.Is(t.err, syscall.EAGAIN):
			t.release()
			return false
		}
		return true
	}
}
