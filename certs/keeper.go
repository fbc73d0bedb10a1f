package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tricot-proxy/tricot/certs/store"
)

// What [Options] leaves out.
const (
	DefaultParallel   = 4
	DefaultMaxBackoff = time.Hour
)

// Options are what [New] needs to know.
type Options struct {
	// Store holds the certificates and the locks, Issuer makes what is missing. Both are mandatory.
	Store  store.Store
	Issuer Issuer
	// Log is told of certificates that come, and of trouble with a name once when it begins and once when it ends. Nil:
	// nobody is.
	Log *slog.Logger
	// Now is the time of day. Nil: [time.Now]. What is waited for, is waited for by package time.
	Now func() time.Time
	// Parallel is how many certificates may be ordered at once; 0: [DefaultParallel].
	Parallel int
	// MaxBackoff is the longest time between two tries at a certificate that could not be had; 0: [DefaultMaxBackoff].
	MaxBackoff time.Duration
	// StrictSNI refuses handshakes for names that no rule wants, and those without a name.
	StrictSNI bool
	// RenewAt may say that a certificate is due before half of its lifetime is gone; the zero time says nothing. It is
	// asked when a certificate is loaded, before one is ordered, and hourly, by several goroutines, and does not block.
	// Nil: half it is.
	RenewAt func(name string, leaf *x509.Certificate) time.Time
}

// A Keeper keeps a certificate for every wanted name. Its methods may be called by many goroutines at once.
type Keeper struct {
	store      store.Store
	issuer     Issuer
	log        *slog.Logger
	now        func() time.Time
	parallel   int
	maxBackoff time.Duration
	strictSNI  bool
	renewAt    func(string, *x509.Certificate) time.Time

	selfSigned *tls.Certificate
	serving    atomic.Pointer[table]

	hosts   atomic.Pointer[[]string] // as Want was last told; nil before
	wanting chan struct{}            // pokes Run after a change of hosts
	ready   chan struct{}
}

// New makes a keeper, with the self-signed certificate that it serves until it runs and has others.
func New(o Options) (*Keeper, error) {
	switch {
	case o.Store == nil:
		return nil, errors.New("keeper of certificates: no store is given")
	case o.Issuer == nil:
		return nil, errors.New("keeper of certificates: no issuer is given")
	case o.Parallel < 0:
		return nil, fmt.Errorf("keeper of certificates: %d orders in parallel", o.Parallel)
	case o.MaxBackoff < 0:
		return nil, fmt.Errorf("keeper of certificates: at most %v between two tries", o.MaxBackoff)
	}
	k := &Keeper{
		store: o.Store, issuer: o.Issuer, log: o.Log, now: o.Now, parallel: o.Parallel, maxBackoff: o.MaxBackoff,
		strictSNI: o.StrictSNI, renewAt: o.RenewAt, wanting: make(chan struct{}, 1), ready: make(chan struct{}),
	}
	if k.log == nil {
		k.log = slog.New(slog.DiscardHandler)
	}
	if k.now == nil {
		k.now = time.Now
	}
	if k.parallel == 0 {
		k.parallel = DefaultParallel
	}
	if k.maxBackoff == 0 {
		k.maxBackoff = DefaultMaxBackoff
	}
	var err error
	if k.selfSigned, err = selfSigned(k.now()); err != nil {
		return nil, err
	}
	k.serving.Store(&table{})
	return k, nil
}

// Want says which hosts the rules have, all of them, in canonical form and with wildcards; it is called after each change
// of the table. It returns at once: handshakes see the change a moment later. A name that is no longer among them keeps
// its certificate in the store, where it is neither renewed nor served.
func (k *Keeper) Want(hosts []string) {
	hosts = slices.Clone(hosts)
	k.hosts.Store(&hosts)
	poke(k.wanting)
}

// Ready is closed when the store has been read and [Keeper.Want] has been called, and what the store has for the wanted
// names is served. Who starts to listen after that shows no self-signed certificate for a name that has another.
func (k *Keeper) Ready() <-chan struct{} { return k.ready }

// Run keeps the certificates until ctx ends, and returns nil when everything that it began has ended. It returns an
// error only where the store cannot be followed at all. It is called once.
func (k *Keeper) Run(ctx context.Context) error {
	l := &loop{
		Keeper:  k,
		names:   map[string]*name{},
		changed: make(chan struct{}, 1),
		results: make(chan result, k.parallel),
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return k.store.Follow(ctx, prefix, func(records []store.Record) {
			l.told.Store(&records)
			poke(l.changed)
		})
	})
	group.Go(func() error {
		l.run(ctx)
		return nil
	})
	return group.Wait()
}

// poke wakes whoever waits for the channel, which has room for one.
func poke(channel chan<- struct{}) {
	select {
	case channel <- struct{}{}:
	default:
	}
}
