package admin

import "time"

// A Source is the running Tricot as the site shows it. Its methods may be called by many goroutines at once, and answer
// from memory: none waits for Consul, the store or a certificate authority. What they give may not be changed.
type Source interface {
	// Unready says why requests cannot be served now; empty: they can.
	Unready() string
	Status() Status
	// Revision changes when anything of Services, Routes, Certificates or Problems may have.
	Revision() uint64
	Services() []Service
	// Routes are by host, those of a host in the order in which they are considered.
	Routes() []Route
	// Certificates are by name.
	Certificates() []Certificate
	// Problems have the worst first.
	Problems() []Problem
	Settings() []Setting
	// Traffic counts what the hosts of rules had since the start, by host. Those that had nothing may be missing.
	Traffic() []Traffic
	// Explain gives the whole decision on a request to a URL such as "https://app.example.com/path", to be shown as JSON.
	// The error is for a URL that is none.
	Explain(url string) (any, error)
}

// Status is this instance.
type Status struct {
	Version string    `json:"version"`
	Node    string    `json:"node,omitempty"`
	Site    string    `json:"site,omitempty"`
	Started time.Time `json:"started"`
	// Unready is why requests cannot be served now; empty: they can.
	Unready string `json:"unready,omitempty"`
	// Providers are the sources of services.
	Providers []Provider `json:"providers"`
	Hosts     int        `json:"hosts"`
	Rules     int        `json:"rules"`
}

// Provider is a source of services.
type Provider struct {
	Name string `json:"name"`
	// Problem is why it cannot be read now, Since when that began; empty and zero: it can.
	Problem string    `json:"problem,omitempty"`
	Since   time.Time `json:"since,omitzero"`
}

// Service is one service instance.
type Service struct {
	Service string   `json:"service"`
	ID      string   `json:"id"`
	Node    string   `json:"node,omitempty"`
	Site    string   `json:"site,omitempty"`
	Address string   `json:"address"`
	Port    int      `json:"port"`
	Healthy bool     `json:"healthy"`
	Tags    []string `json:"tags"`
}

// Route is a host, a path prefix and a priority, with all that may serve them.
type Route struct {
	Host     string    `json:"host"`
	Path     string    `json:"path"`
	Priority int       `json:"priority"`
	Backends []Backend `json:"backends"`
}

// The states of a backend.
const (
	Serving   = "serving"   // takes requests now
	Standby   = "standby"   // would, if those of a better tier could not
	Unhealthy = "unhealthy" // its checks do not pass
	Ejected   = "ejected"   // it kept failing, and is left out for a while
)

// Backend is the address that a rule leads to.
type Backend struct {
	Service string `json:"service"`
	ID      string `json:"id"`
	Node    string `json:"node,omitempty"`
	Site    string `json:"site,omitempty"`
	// URL is scheme://host:port.
	URL string `json:"url"`
	// Balance is "node", "site" or "global": what the instance's tags ask for.
	Balance string `json:"balance"`
	State   string `json:"state"`
	// Ejected is until when it is left out; zero where it is not.
	Ejected time.Time `json:"ejected_until,omitzero"`
	// Headers are set on its responses, as "Name: value".
	Headers []string `json:"headers,omitempty"`
}

// The states of a certificate.
const (
	Valid      = "valid"
	Due        = "due"        // to be renewed
	Expired    = "expired"    // a self-signed one serves
	Missing    = "missing"    // there is none yet; a self-signed one serves
	SelfSigned = "selfsigned" // no certificate authority signs this name
)

// Certificate is what a wanted name has.
type Certificate struct {
	Name   string    `json:"name"`
	State  string    `json:"state"`
	Issuer string    `json:"issuer,omitempty"`
	From   time.Time `json:"from,omitzero"`
	To     time.Time `json:"to,omitzero"`
	// Renewal is when it is due.
	Renewal time.Time `json:"renewal_due,omitzero"`
	// Problem is why it cannot be renewed or served, the last error of the authority; empty: nothing is wrong.
	Problem string `json:"problem,omitempty"`
	// NextTry is when the authority is asked again.
	NextTry time.Time `json:"next_try,omitzero"`
}

// Problem is something that a person should look at.
type Problem struct {
	// Kind is "tag", "provider", "certificate", "backend" or "setting".
	Kind string `json:"kind"`
	// Subject is the thing: a service, a provider, a name.
	Subject string `json:"subject"`
	Reason  string `json:"reason"`
}

// Setting is one in force.
type Setting struct {
	Key string `json:"key"`
	// Value is as it would be written, "***" for a secret that is set.
	Value  string `json:"value"`
	Source string `json:"source"`
}

// Traffic counts what a host had since the start.
type Traffic struct {
	Host     string
	Requests uint64
	// Errors are those answered with a status of 500 or more.
	Errors uint64
	// Latency counts the requests by how long they took, from arrival to end: those of each bucket alone, not cumulated;
	// the last one is for what took longer than the last of LatencyBounds.
	Latency []uint64
	// LatencyBounds are the buckets' upper bounds in seconds, the same for all hosts.
	LatencyBounds []float64
}
