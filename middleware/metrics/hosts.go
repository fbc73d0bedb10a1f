package metrics

import (
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// host is what is counted for the rules of one host.
type host struct {
	name     string
	requests counters
	total    histogram
	backend  histogram
	received atomic.Uint64 // bytes
	sent     atomic.Uint64
	retries  atomic.Uint64
	upgraded atomic.Uint64

	gone time.Time // since when no rule names it; zero: one does. Guarded by hosts.mu
}

// hosts finds a host's counts, without a lock for those that are known for a while. New ones are found under the lock until
// they have been asked for as often as there are of them; then all are put where no lock is needed. So many hosts that
// come up one after the other do not copy the map each time.
type hosts struct {
	known atomic.Pointer[map[string]*host] // immutable

	mu     sync.Mutex
	all    map[string]*host // known, and new ones
	missed int              // how often new ones were asked for
}

func (h *hosts) init() {
	h.all = make(map[string]*host)
	h.publish()
}

func (h *hosts) of(name string) *host {
	if found, ok := (*h.known.Load())[name]; ok {
		return found
	}
	if !utf8.ValidString(name) { // a stage of one's own made the route, and Prometheus takes no such label
		name = NoRoute
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	found, ok := h.all[name]
	if !ok {
		found = &host{name: strings.Clone(name)} // the rule's may be part of a larger text
		h.all[found.name] = found
	}
	if h.missed++; h.missed >= len(h.all) {
		h.publish()
	}
	return found
}

// publish must be called with the lock.
func (h *hosts) publish() {
	known := maps.Clone(h.all)
	h.known.Store(&known)
	h.missed = 0
}

// list gives all hosts by name.
func (h *hosts) list() []*host {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.SortedFunc(maps.Values(h.all), func(a, b *host) int { return strings.Compare(a.name, b.name) })
}

// retain notes which hosts are gone, and forgets those that are for long. Nil: those that are gone stay so.
func (h *hosts) retain(keep func(host string) bool, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	forgotten := false
	for name, host := range h.all {
		switch {
		case keep == nil:
		case name == NoRoute || keep(name):
			host.gone = time.Time{}
		case host.gone.IsZero():
			host.gone = now
		}
		if !host.gone.IsZero() && now.Sub(host.gone) >= forgetAfter {
			delete(h.all, name)
			forgotten = true
		}
	}
	if forgotten {
		h.publish()
	}
}

// Retain says which hosts have a rule; it is to be called with each new table. The counts of others are forgotten after an
// hour, unless they have one again by then. It calls keep with each host that has been counted, and must not be called
// from there.
func (c *Requests) Retain(keep func(host string) bool) { c.hosts.retain(keep, c.now()) }

// HostCounts are what has been counted for a host since the start. Two of them give a rate.
type HostCounts struct {
	Requests uint64
	// Errors are the requests with a status of 500 to 599.
	Errors uint64
	// Retries are the backends that were asked in vain.
	Retries uint64
	// Received and Sent are bytes of content, from clients and to them.
	Received, Sent uint64
	// Seconds is the sum of the durations of requests.
	Seconds float64
	// Buckets are how many requests took no longer than each of [Bounds]; those that took longer are in Requests only.
	Buckets [len(bounds)]uint64
}

// Bounds gives the upper bounds of the buckets of [HostCounts], in order.
func Bounds() []time.Duration { return slices.Clone(bounds[:]) }

// Hosts gives the counts of each host that has any, ordered by name; those of requests without a route under [NoRoute].
func (c *Requests) Hosts() iter.Seq2[string, HostCounts] {
	return func(yield func(string, HostCounts) bool) {
		for _, host := range c.hosts.list() {
			counts := HostCounts{
				Retries:  host.retries.Load(),
				Received: host.received.Load(),
				Sent:     host.sent.Load(),
			}
			_, counts.Seconds = host.total.read(&counts.Buckets)
			for series, counter := range host.requests.all() {
				n := counter.Load()
				counts.Requests += n
				if series.code >= 500 {
					counts.Errors += n
				}
			}
			if !yield(host.name, counts) {
				return
			}
		}
	}
}
