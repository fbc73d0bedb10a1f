//go:build !unix

package h1

import (
	"errors"
	"net"
)

// poll is for systems whose connections tell when something is there.
type poll struct{}

func (poll) init(net.Conn) {}

func (poll) usable() bool { return false }

func (*conn) pollAhead() error { return errors.ErrUnsupported }
