package pipeline

import "sync/atomic"

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

// A Backend is the address that a rule leads to. It is immutable.
type Backend struct {
	// Service and ID name the service instance, Node and Site say where it runs; Node and Site may be empty.
	Service, ID, Node, Site string
	// Scheme is what the backend speaks: [HTTP], [HTTPS] or [H2C].
	Scheme string
	// Address is host:port, as [net.Dial] takes it.
	Address string
	// Headers are set on each response that this backend gives.
	Headers []Header
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
