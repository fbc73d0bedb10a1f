package h2

import "slices"

// queue is the streams that wait for the same; the first came first. The connection's lock is held wherever it is used.
type queue []*stream

// wait has a stream wait until it is its turn, or something else has happened to it.
func (q *queue) wait(s *stream) {
	*q = append(*q, s)
	s.wake.Wait()
	if i := slices.Index(*q, s); i >= 0 {
		*q = slices.Delete(*q, i, i+1)
	}
}

// next wakes the first, who wakes the next one where there is enough for both.
func (q *queue) next() {
	if len(*q) > 0 {
		(*q)[0].wake.Broadcast()
		*q = slices.Delete(*q, 0, 1)
	}
}

// passOn wakes the first of those for which there is room now.
func (c *conn) passOn() {
	if c.outbox.length() < full {
		c.outbox.room.next()
	}
	if c.sendWindow > 0 {
		c.window.next()
	}
}
