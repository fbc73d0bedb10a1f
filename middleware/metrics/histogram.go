package metrics

import (
	"sync/atomic"
	"time"
)

// bounds are the buckets' upper ones, from what Tricot itself takes to what clients give up after.
var bounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second,
	10 * time.Second, 30 * time.Second, 60 * time.Second,
}

// histogram counts durations. Its zero value has none.
type histogram struct {
	buckets [len(bounds) + 1]atomic.Uint64 // not cumulative; the last one is for what is beyond all bounds
	sum     atomic.Uint64                  // microseconds: nanoseconds would be too many within months
}

func (h *histogram) observe(d time.Duration) {
	d = max(d, 0) // the clock may have been set back
	i := 0
	for i < len(bounds) && d > bounds[i] {
		i++
	}
	h.buckets[i].Add(1)
	h.sum.Add(uint64(d.Round(time.Microsecond) / time.Microsecond))
}

// read gives the count, which is the sum of the buckets, the sum in seconds, and the buckets up to each bound,
// cumulative as Prometheus has them. While requests end they may be apart by those.
func (h *histogram) read(buckets *[len(bounds)]uint64) (count uint64, seconds float64) {
	seconds = float64(h.sum.Load()) / 1e6
	for i := range buckets {
		count += h.buckets[i].Load()
		buckets[i] = count
	}
	return count + h.buckets[len(bounds)].Load(), seconds
}
