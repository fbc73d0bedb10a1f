package transport

import (
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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

// trickle is a connection that takes one byte before each deadline, and lets others write meanwhile.
type trickle struct {
	net.Conn
	mu    sync.Mutex
	taken []byte
}

func (c *trickle) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.taken = append(c.taken, p[0])
	c.mu.Unlock()
	runtime.Gosched()
	if len(p) == 1 {
		return 1, nil
	}
	return 1, os.ErrDeadlineExceeded
}

func (c *trickle) SetWriteDeadline(time.Time) error { return nil }

func TestSocket_KeepsWhatIsNotTakenInTimeAndSendsItInOrder(t *testing.T) {
	below := &trickle{}
	slow := 0
	s := &socket{Conn: below, open: new(atomic.Int64), limit: time.Hour, slow: func() { slow++ }, defers: true}
	for _, piece := range []string{"first ", "second ", "third "} {
		n, err := s.Write([]byte(piece))
		require.NoError(t, err)
		assert.Equal(t, len(piece), n)
	}
	assert.Equal(t, "f", string(below.taken))
	assert.Equal(t, 1, slow)
	s.defers = false
	require.NoError(t, s.writeDeferred())
	assert.Equal(t, "first second third ", string(below.taken))
	require.NoError(t, s.writeDeferred())
	_, err := s.Write([]byte("fourth"))
	require.NoError(t, err)
	assert.Equal(t, "first second third fourth", string(below.taken))
}

func TestSocket_LetsNothingBetweenWhatItHasKept(t *testing.T) {
	const size = 1000
	below := &trickle{}
	s := &socket{Conn: below, open: new(atomic.Int64), limit: time.Hour, defers: true}
	_, err := s.Write([]byte(strings.Repeat("a", size)))
	require.NoError(t, err)
	s.defers = false
	var all sync.WaitGroup
	all.Go(func() { assert.NoError(t, s.writeDeferred()) })
	all.Go(func() {
		_, err := s.Write([]byte(strings.Repeat("b", size)))
		assert.NoError(t, err)
	})
	all.Wait()
	assert.NoError(t, s.writeDeferred()) // where the second came first, it was kept as well
	assert.Equal(t, strings.Repeat("a", size)+strings.Repeat("b", size), string(below.taken))
}

func TestSocket_EndsWhereNothingMoreIsTakenOfWhatItHasKept(t *testing.T) {
	s := &socket{Conn: &sipping{sips: 10}, open: new(atomic.Int64), limit: time.Millisecond, defers: true}
	_, err := s.Write(make([]byte, 100))
	require.NoError(t, err)
	err = s.writeDeferred()
	assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
	assert.ErrorContains(t, err, "nothing has been taken for 1ms")
}
