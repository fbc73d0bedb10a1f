package transport

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A socket is a connection below TLS. It counts its end, and bounds how long writing may stand still.
//
// That is done here and not above, since here is known what has been taken of a write that is not over, and since TLS can
// write no more once a write has timed out.
type socket struct {
	net.Conn
	open  *atomic.Int64
	ended atomic.Bool

	limit    time.Duration // writing ends when nothing has been taken for so long; 0: never
	deadline time.Time     // of writing, as it is set
	slow     func()        // called when a write takes longer than the deadline that it found; nil: nobody cares

	// What a write that defers has not got rid of by its deadline is kept, and counts as written. So the goroutine that
	// writes is free for the answer, and another one sees to the rest; TLS knows nothing of it, and can go on.
	defers   bool
	mu       sync.Mutex // held while something is written, for TLS writes when it reads, too
	deferred []byte
}

// Write goes on for as long as the other side takes something now and then. It may last a quarter longer than it should,
// and no deadline is moved before one has passed.
func (s *socket) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.deferred) > 0 { // which comes first
		s.deferred = append(s.deferred, p...)
		return len(p), nil
	}
	n, err := s.Conn.Write(p)
	if s.limit == 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		return n, err
	}
	if s.slow != nil {
		s.slow()
	}
	if s.defers {
		s.deferred = append(s.deferred, p[n:]...)
		return len(p), nil
	}
	return s.persist(p, n)
}

// writeDeferred writes what has been kept.
func (s *socket) writeDeferred() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.deferred
	s.deferred = nil
	if len(p) == 0 {
		return nil
	}
	_, err := s.persist(p, 0)
	return err
}

// persist goes on with a write of p of which n bytes have been taken.
func (s *socket) persist(p []byte, n int) (int, error) {
	err := os.ErrDeadlineExceeded
	for taken := time.Now(); ; {
		now := time.Now()
		if now.Sub(taken) >= s.limit {
			return n, fmt.Errorf("nothing has been taken for %s: %w", s.limit, err)
		}
		s.setWriteDeadline(now.Add(s.limit / 4))
		var more int
		more, err = s.Conn.Write(p[n:])
		n += more
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		if more > 0 {
			taken = time.Now()
		}
	}
}

func (s *socket) setWriteDeadline(t time.Time) {
	s.deadline = t
	_ = s.Conn.SetWriteDeadline(t)
}

func (s *socket) Close() error {
	if s.ended.CompareAndSwap(false, true) {
		s.open.Add(-1)
	}
	return s.Conn.Close()
}
