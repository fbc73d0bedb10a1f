//go:build !unix

package transport

import "net"

// newPollTap gives nil: there is no way to wait without a buffer.
func newPollTap(net.Conn, borrowed) tap { return nil }
