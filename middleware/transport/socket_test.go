package transport

import (
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// sipping is a connection that takes one byte before each deadline, as often as it is told, and then no more.
type sipping struct {
	net.Conn
	sips, taken int
	deadlines   int
}

func (c *sipping) Write(p []byte) (int, error) {
	if c.taken == c.sips {
		return 0, os.ErrDeadlineExceeded
	}
	c.taken++
	if len(p) == 1 {
		return 1, nil
	}
	return 1, os.ErrDeadlineExceeded
}

func (c *sipping) SetWriteDeadline(time.Time) error { c.deadlines++; return nil }

func TestSocket_WritesForAsLongAsSomethingIsTaken(t *testing.T) {
	below := &sipping{sips: 100}
	slow := 0
	s := &socket{Conn: below, open: new(atomic.Int64), limit: time.Hour, slow: func() { slow++ }}
	n, err := s.Write(make([]byte, 100))
	assert.NoError(t, err)
	assert.Equal(t, 100, n)
	assert.Equal(t, 1, slow)
}

func TestSocket_EndsAWriteOfWhichNothingMoreIsTaken(t *testing.T) {
	s := &socket{Conn: &sipping{sips: 10}, open: new(atomic.Int64), limit: time.Millisecond}
	n, err := s.Write(make([]byte, 100))
	assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
	assert.ErrorContains(t, err, "nothing has been taken for 1ms")
	assert.Equal(t, 10, n)
}

func TestSocket_MovesNoDeadlineOfAWriteThatIsTaken(t *testing.T) {
	below := &sipping{sips: 1}
	s := &socket{Conn: below, open: new(atomic.Int64), limit: time.Hour}
	_, err := s.Write([]byte("x"))
	assert.NoError(t, err)
	assert.Zero(t, below.deadlines)
}
