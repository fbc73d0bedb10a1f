package exchange

import (
	"io"
	"net"
	"time"
)

// halfCloser is a connection of which one direction can be closed.
type halfCloser interface{ CloseWrite() error }

// CloseInSteps closes a connection such that a client which still sends gets to see the last answer before it is told that
// nobody reads that (RFC 9112, section 9.6): it ends the sending side, reads on until the client has ended its own, or for
// as long as timeout, and closes. below is what lies below the client's TLS, which says good bye first; without TLS it is
// the client's connection itself. No other goroutine may use the connection. The error is that of closing it.
func CloseInSteps(client, below net.Conn, timeout time.Duration) error {
	if secure, ok := client.(halfCloser); ok && client != below {
		_ = secure.CloseWrite() // the alert that tells the end from a cut
	}
	if half, ok := below.(halfCloser); ok && half.CloseWrite() == nil && below.SetReadDeadline(time.Now().Add(timeout)) == nil {
		_, _ = io.Copy(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{below})
	}
	return below.Close()
}
