package exchange

import (
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestStallError_SaysWhatTheClientDidNotDo(t *testing.T) {
	cause := &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}
	var err error = &StallError{After: 5 * time.Minute, Err: cause}
	assert.EqualError(t, err, "the client sent nothing for 5m0s: read tcp: i/o timeout")
	assert.EqualError(t, &StallError{Writing: true, After: time.Second, Err: os.ErrDeadlineExceeded},
		"the client took nothing for 1s: i/o timeout")
	assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
	assert.ErrorIs(t, err, error(cause))
	timeout, ok := err.(net.Error)
	assert.True(t, ok && timeout.Timeout())
}
