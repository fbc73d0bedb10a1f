package consul

import "time"

// A coalescer says when changes that come in bursts are to be published: when there have been none for a while, but at
// the latest some time after the first.
type coalescer struct {
	quiet, latest time.Duration
	// first and last are when the changes that wait came; zero where none does.
	first, last time.Time
}

func (c *coalescer) changed(now time.Time) {
	if c.first.IsZero() {
		c.first = now
	}
	c.last = now
}

// due says when to publish. It is false where nothing waits.
func (c *coalescer) due() (time.Time, bool) {
	if c.first.IsZero() {
		return time.Time{}, false
	}
	due := c.last.Add(c.quiet)
	if latest := c.first.Add(c.latest); latest.Before(due) {
		due = latest
	}
	return due, true
}

// published forgets the changes so far.
func (c *coalescer) published() { c.first, c.last = time.Time{}, time.Time{} }
