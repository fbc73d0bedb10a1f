package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tricot-proxy/tricot/certs/store"
)

// A Keeper keeps a certificate for every wanted name. Its methods may be called by many goroutines at once.
type Keeper struct {
	store      store.Store
	issuer     Issuer
	fallback   Issuer
	log        *slog.Logger
	now        func() time.Time
	parallel   int
	maxBackoff time.Duration
	strictSNI  bool
	renewAt    func(string, *x509.Certificate) time.Time
	ask        string // for wildcards without a URL of their own

	shown      shown
	selfSigned *tls.Certificate
	serving    atomic.Pointer[table]
	asker      *asker

	hosts   atomic.Pointer[[]Wanted] // as Want was last told; nil before
	wanting chan struct{}            // pokes Run after a change of hosts
	ready   chan struct{}
}

// A Wanted is the host of one or more rules, in canonical form.
//
// The names of a wildcard get certificates on demand where there is a URL to ask, of its own or [Options].Ask: the
// endpoint gets a GET with the name as the parameter "domain" in the query, and allows it by the status 200. A redirect
// is not followed. A refusal (any status but 5xx, 408, 425 and 429) holds for an hour, trouble with the endpoint for a
// minute; then a handshake may have it asked again. A name that was allowed is wanted for as long as the wildcard is.
// After a restart, and in other instances, it is known by its certificate in the store, which is renewed only where the
// endpoint allows it anew. Names that cannot be public host names, such as "a_b.example.com", are never asked about.
type Wanted struct {
	// Host may be a wildcard, in which each "*" stands for any run of characters.
	Host string
	// Ask is the absolute URL, http or https, that is asked about the names of a wildcard; empty: that of [Options]. It
	// means nothing for other hosts. Of a wildcard that is there several times, the first URL counts; for a name of several
	// wildcards, the URL of the longest that has one.
	Ask string
}

// New makes a keeper, with the self-signed certificate that it serves until it runs and has others.
func New(o Options) (*Keeper, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("keeper of certificates: %w", err)
	}
	o.complete()
	k := &Keeper{
		store: o.Store, issuer: o.Issuer, fallback: o.Fallback, log: o.Log, now: o.Now, parallel: o.Parallel,
		maxBackoff: o.MaxBackoff, strictSNI: o.StrictSNI, renewAt: o.RenewAt, ask: o.Ask,
		wanting: make(chan struct{}, 1), ready: make(chan struct{}),
	}
	k.asker = newAsker(k, o.NewNames, o.AskTransport)
	var err error
	if k.selfSigned, err = selfSigned(k.now()); err != nil {
		return nil, err
	}
	k.serving.Store(&table{})
	return k, nil
}

// Want says which hosts the rules have, all of them; it is called after each change of the table. It returns at once:
// handshakes see the change a moment later. A name that is no longer among them keeps its certificate in the store, where
// it is neither renewed nor served.
func (k *Keeper) Want(hosts []Wanted) {
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
		passed:  map[string]string{},
		changed: make(chan struct{}, 1),
		results: make(chan result, k.parallel),
	}
	group, ctx := errgroup.WithContext(ctx)
	follow := func(prefix string, told *atomic.Pointer[[]store.Record]) {
		group.Go(func() error {
			return k.store.Follow(ctx, prefix, func(records []store.Record) {
				told.Store(&records)
				poke(l.changed)
			})
		})
	}
	follow(prefix, &l.toldRecords)
	follow(failurePrefix, &l.toldFailures)
	group.Go(func() error {
		l.run(ctx)
		return nil
	})
	group.Go(func() error {
		k.asker.run(ctx)
		return nil
	})
	return group.Wait()
}

// signer gives the issuer for a name, or nil and the reason why there is none.
func (k *Keeper) signer(name string) (signer Issuer, reason string) {
	if reason = refuses(k.issuer, name); reason == "" {
		return k.issuer, ""
	}
	if k.fallback != nil && refuses(k.fallback, name) == "" {
		return k.fallback, ""
	}
	return nil, reason
}

// refuses gives the reason why an issuer does not sign for a name; empty: it may.
func refuses(i Issuer, name string) string {
	if r, ok := i.(Refuser); ok {
		return r.Refuses(name)
	}
	return ""
}

// poke wakes whoever waits for the channel, which has room for one.
func poke(channel chan<- struct{}) {
	select {
	case channel <- struct{}{}:
	default:
	}
}
