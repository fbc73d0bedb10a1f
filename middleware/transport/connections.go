package transport

import (
	"context"
	"crypto/tls"
	"fmt"
	"hash/maphash"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// ConnectionOptions are the settings of [Connections]. A zero value stands for the default given with it.
type ConnectionOptions struct {
	// ConnectTimeout is for the connection to a backend, the TLS handshake included: 5 s.
	ConnectTimeout time.Duration
	// IdleTimeout is how long an unused connection is kept: 90 s.
	IdleTimeout time.Duration
	// MaxAge is how old a connection may become before it is used for no further request: 1 h.
	MaxAge time.Duration
	// MaxIdlePerBackend is how many unused connections are kept for each backend, and for each name that it is asked
	// for over TLS: 256.
	MaxIdlePerBackend int
	// MaxIdle is how many unused connections are kept in all: 4096.
	MaxIdle int
	// Dial connects to host:port. Nil: a [net.Dialer] does.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

func (o *ConnectionOptions) complete() error {
	for _, d := range []struct {
		name     string
		value    *time.Duration
		fallback time.Duration
	}{
		{"ConnectTimeout", &o.ConnectTimeout, 5 * time.Second},
		{"IdleTimeout", &o.IdleTimeout, 90 * time.Second},
		{"MaxAge", &o.MaxAge, time.Hour},
	} {
		if err := completeDuration(d.name, d.value, d.fallback); err != nil {
			return err
		}
	}
	for _, n := range []struct {
		name     string
		value    *int
		fallback int
	}{{"MaxIdlePerBackend", &o.MaxIdlePerBackend, 256}, {"MaxIdle", &o.MaxIdle, 4096}} {
		if *n.value < 0 {
			return fmt.Errorf("%s: %s is %d, and has to be positive, or 0 for the default", Name, n.name, *n.value)
		}
		if *n.value == 0 {
			*n.value = n.fallback
		}
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	return nil
}

func completeDuration(name string, value *time.Duration, fallback time.Duration) error {
	if *value < 0 {
		return fmt.Errorf("%s: %s is %s, and has to be positive, or 0 for the default", Name, name, *value)
	}
	if *value == 0 {
		*value = fallback
	}
	return nil
}

// Connections are those to all backends. They may be used by many goroutines and by several stages at once.
type Connections struct {
	options ConnectionOptions
	seed    maphash.Seed
	shards  [shards]shard
	open    atomic.Int64
	opened  atomic.Uint64
	idle    atomic.Int64 // of HTTP/1.1
	closed  atomic.Bool

	sharedIdle atomic.Int64 // of HTTP/2

	sessions tls.ClientSessionCache // by address and name

	mu      sync.Mutex
	sweeper *time.Timer // nil while there is nothing to sweep
	reused  uint64      // on shelves that are gone
}

// ConnectionCounts is what there is, and what there has been.
type ConnectionCounts struct {
	// Open counts connections, Idle those of HTTP/1.1 among them that no request has.
	Open, Idle int
	// Opened counts all since the start, Reused the requests over HTTP/1.1 that found one open.
	Opened, Reused uint64
}

// NewConnections gives connections that the caller closes. The error is for a negative option.
func NewConnections(options ConnectionOptions) (*Connections, error) {
	if err := options.complete(); err != nil {
		return nil, err
	}
	return &Connections{options: options, seed: maphash.MakeSeed(), sessions: tls.NewLRUClientSessionCache(maxSessions)}, nil
}

// Retain closes the unused connections to backends for which keep is false, and those in use when their request is over.
// It is for the moment when a table comes into force. scheme is [pipeline.HTTP], [pipeline.HTTPS] or [pipeline.H2C],
// address that of a [pipeline.Backend].
func (cs *Connections) Retain(keep func(scheme, address string) bool) {
	for i := range cs.shards {
		cs.retire(&cs.shards[i], func(s *shelf) bool { return !keep(s.key.scheme, s.key.address) })
	}
}

// Close closes all unused connections, and those in use when their request is over. Requests that begin later are
// served, each on a connection of its own.
func (cs *Connections) Close() {
	cs.closed.Store(true)
	for i := range cs.shards {
		cs.retire(&cs.shards[i], func(*shelf) bool { return true })
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.sweeper != nil {
		cs.sweeper.Stop()
		cs.sweeper = nil
	}
}

// Counts is for metrics.
func (cs *Connections) Counts() ConnectionCounts {
	counts := ConnectionCounts{
		Open: int(cs.open.Load()), Idle: int(cs.idle.Load()), Opened: cs.opened.Load(),
	}
	for i := range cs.shards {
		for _, s := range cs.shards[i].all() {
			s.mu.Lock()
			counts.Reused += s.reused
			s.mu.Unlock()
		}
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	counts.Reused += cs.reused
	return counts
}
