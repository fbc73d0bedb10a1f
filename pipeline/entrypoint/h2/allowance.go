package h2

import "time"

// A client may have so many streams reset at once, and so many more in each second. Those are nghttp2's defaults, and so
// Node's and Envoy's. A page that is left cancels some hundred at most, and a player that seeks a few each second.
const (
	resetBurst = 1000
	resetRate  = 33 // in a second
)

// allowance is how many streams a client may still have reset before their answer is complete: a bucket of tokens, kept as
// the time at which it is full again. The zero value is full.
//
// A stream that was reset counts no longer among those that may be open, so a client that does nothing else could have
// requests begun, and ended again, as fast as it can write them (CVE-2023-44487). It comes to the same where the client breaks
// a rule on each stream and the server has to reset it (CVE-2025-8671).
type allowance struct{ full time.Time }

// take takes one, and is false where there is none.
func (a *allowance) take(now time.Time) bool {
	const each = time.Second / resetRate
	if a.full.Before(now) {
		a.full = now
	}
	if a.full.Sub(now) > (resetBurst-1)*each {
		return false
	}
	a.full = a.full.Add(each)
	return true
}

// charge counts a stream that was reset, by the client or for what it did. The error is the connection's. The lock must be
// held.
//
// Not charged are the streams that end after their answer is complete, those that a handler has failed to answer, and those
// that there was no room for, which nothing was begun for; they have a bound of their own.
func (c *conn) charge() error {
	if !c.allowed.take(c.server.now()) {
		return failure(enhanceYourCalm, "streams that are reset again and again")
	}
	return nil
}
