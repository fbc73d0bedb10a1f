//go:build unix

package transport

import (
	"io"
	"net"
	"syscall"
)

// newProbe gives nil for a connection that is none of the system's.
func newProbe(conn net.Conn) *probe {
	system, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := system.SyscallConn()
	if err != nil {
		return nil
	}
	var into []byte
	var n int
	var readErr error
	read := func(fd uintptr) { n, readErr = syscall.Read(int(fd), into) } // Go's sockets never wait here
	return &probe{Conn: conn, look: func(p []byte) (int, error) {
		into = p
		err := raw.Control(read)
		into = nil
		switch {
		case err != nil:
			return 0, err
		case readErr == syscall.EAGAIN || readErr == syscall.EINTR:
			return 0, errQuiet
		case readErr != nil:
			return 0, readErr
		case n == 0:
			return 0, io.EOF
		}
		return n, nil
	}}
}
