package exchange

import (
	"fmt"
	"time"
)

// A StallError says that a client let the time pass in which it has to take, or to send, at least one byte. It wraps
// [os.ErrDeadlineExceeded], and is a [net.Error] that timed out. An answer to a request whose content stalls is 408 (RFC
// 9110, section 15.5.9).
type StallError struct {
	// Writing says that the client took nothing; otherwise it sent nothing.
	Writing bool
	// After is how long it may do so.
	After time.Duration
	// Err is that of the connection.
	Err error
}

func (e *StallError) Error() string {
	if e.Writing {
		return fmt.Sprintf("the client took nothing for %s: %v", e.After, e.Err)
	}
	return fmt.Sprintf("the client sent nothing for %s: %v", e.After, e.Err)
}

// Unwrap gives the error of the connection.
func (e *StallError) Unwrap() error { return e.Err }

// Timeout is true.
func (e *StallError) Timeout() bool { return true }

// Temporary is true, as it is of all time-outs of package net.
func (e *StallError) Temporary() bool { return true }
