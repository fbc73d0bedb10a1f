package pipeline

import (
	"sync/atomic"
	"time"
)

// A Route is what a request matched: a group of backends whose rules have the same host, path prefix and priority.
// It is immutable and shared by all requests that match it.
type Route struct {
	// Host is the rule's, in canonical form, such as "app.example.com" or "*.example.com". It comes from a rule, never
	// from a request, so it is fit to be a metric's label.
	Host string
	// Path is the rule's path prefix, as written; empty for all paths.
	Path     string
	Priority int
	// Tiers are the group's backends in order of preference: same node, same site, the rest. Each tier has at least one
	// backend. There are no tiers where no backend of any group that the request matches can serve now.
	Tiers []Tier
	// Table is what the route was found in.
	Table Table
}

// Next gives the best group after this one for a request to the same canonical host and raw path, nil where there is
// none with a backend that can serve.
func (r *Route) Next(host, path string) *Route {
	if r.Table == nil {
		return nil
	}
	return r.Table.Next(r, host, path)
}

// A Table finds routes. It may be used by many goroutines at once.
type Table interface {
	// Next gives the best route after the given one, for a canonical host and a raw path.
	Next(after *Route, host, path string) *Route
}

// A Tier is a set of backends among which nothing but their turn decides.
type Tier struct {
	Backends []*Backend
	// Turn counts the requests that the tier has been asked for. Successive tables share it, so that a change elsewhere
	// in the cluster does not start every tier at its first backend again.
	Turn *atomic.Uint64
}

// A Backend is the address that a rule leads to. It is immutable, but for what its Health points at.
type Backend struct {
	// Service and ID name the service instance, Node and Site say where it runs; Node and Site may be empty.
	Service, ID, Node, Site string
	// Scheme is what the backend speaks: [HTTP], [HTTPS] or [H2C].
	Scheme string
	// Address is host:port, as [net.Dial] takes it.
	Address string
	// Headers are set on each response that this backend gives.
	Headers []Header
	// Health is that of the scheme and address, shared by all backends that have both in common and by successive tables.
	// Nil: nothing is kept, and the backend is taken for healthy.
	Health *Health
}

// What a backend speaks.
const (
	HTTP  = "http"
	HTTPS = "https"
	H2C   = "h2c" // HTTP/2 without TLS, by prior knowledge (RFC 9113, section 3.3)
)

func (b *Backend) String() string { return b.Scheme + "://" + b.Address }

// A Header is one field with all its values. Name is in canonical form. Values has no spare capacity, so that it can be
// put into a [http.Header] as it is: whoever appends to it there gets a copy.
type Header struct {
	Name   string
	Values []string
}

// Health is what requests have shown of a backend. Its zero value is healthy. The stage that picks backends writes it;
// anybody may read it at any time.
type Health struct {
	condition atomic.Uint64
	// Ejections counts how often the backend was ejected: left out of what requests are spread over because it kept
	// failing. That it stays out for longer is not counted again.
	Ejections atomic.Uint64
}

// Condition gives the one in force. That of a nil Health is healthy.
func (h *Health) Condition() Condition {
	if h == nil {
		return 0
	}
	return Condition(h.condition.Load())
}

// Change puts a condition in force in place of another, and is false where that is not in force any more.
func (h *Health) Change(from, to Condition) bool {
	return h.condition.CompareAndSwap(uint64(from), uint64(to))
}

// A Condition is what decides whether a backend is picked: its failures in a row, and until when it is ejected. It is one
// word, so that it is read and replaced as a whole; two are equal (==) where all of it is. Zero is healthy.
type Condition uint64

// The lower bits count failures, the upper ones milliseconds of Unix time.
const (
	failureBits = 16
	maxFailures = 1<<failureBits - 1
)

// NewCondition gives the condition of a backend that failed so many times in a row, of which 65535 are counted, and is
// ejected until a time, in milliseconds; the zero time: not ejected.
func NewCondition(failures int, until time.Time) Condition {
	c := Condition(min(failures, maxFailures))
	if !until.IsZero() {
		c |= Condition(until.UnixMilli()) << failureBits
	}
	return c
}

// Failures is how many requests in a row the backend failed; while it is ejected, only those count that tried whether it
// works again.
func (c Condition) Failures() int { return int(c & maxFailures) }

// Ejected says whether the backend is left out. It is until a request has shown that it works again.
func (c Condition) Ejected() bool { return c>>failureBits != 0 }

// EjectedUntil is when a request tries next whether the backend works again, the zero time where it is not ejected. Where
// that is past, the next request will.
func (c Condition) EjectedUntil() time.Time {
	if !c.Ejected() {
		return time.Time{}
	}
	return time.UnixMilli(int64(c >> failureBits))
}
