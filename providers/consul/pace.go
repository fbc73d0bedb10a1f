package consul

import "time"

// The pace of one query: how many there may be at once after a rest, and the mean time between two in the long run. A
// query that waits as it should is far below; a catalog that changes all the time is read no more often than this.
const (
	paceBurst = 25
	paceEvery = 40 * time.Millisecond
)

// A pace keeps a query from following the one before too closely. The zero value is a query that has rested.
type pace struct {
	// due is when the next query would be due if they were evenly spread.
	due time.Time
}

// delay gives how long the next query has to wait, and counts it as done then.
func (p *pace) delay(now time.Time) time.Duration {
	if p.due.Before(now) {
		p.due = now
	}
	delay := max(0, p.due.Sub(now)-(paceBurst-1)*paceEvery)
	p.due = p.due.Add(paceEvery)
	return delay
}
