// Package local is a certificate authority of one's own, for development: it signs for every name that is wanted, and
// browsers and curl accept what it signs once they are told to trust its root certificate.
//
// The authority is made once and kept in the store under "local/authority", so that all instances that share the store
// sign with the same one. Its root certificate, not its key, is also written to a file that its user can hand to a trust
// store. Root and leaves follow RFC 5280; keys are ECDSA P-256.
package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/tricot-proxy/tricot/certs"
	"github.com/tricot-proxy/tricot/certs/store"
)

// Key is where the store has the authority.
const Key = "local/authority"

// The lifetime of leaves. Browsers accept no more than the longest, 397 days.
const (
	DefaultLifetime = 90 * 24 * time.Hour
	MaxLifetime     = 397 * 24 * time.Hour
	minLifetime     = time.Minute
)

// Options are what [New] needs to know.
type Options struct {
	// Store keeps the authority. Mandatory.
	Store store.Store
	// RootFile is where the root certificate is written, in PEM, for everybody to read. Its directory is made where it is
	// not there. Empty: nowhere.
	RootFile string
	// Lifetime is that of the leaves, from a minute to [MaxLifetime]; 0: [DefaultLifetime].
	Lifetime time.Duration
	// Host is the name of the machine, which becomes a part of the root's name; empty: [os.Hostname].
	Host string
	// Now is the time of day. Nil: [time.Now].
	Now func() time.Time
	// Log is told where the root certificate is. Nil: nobody is.
	Log *slog.Logger
}

// An Issuer is a [certs.Issuer] that signs with the authority in the store.
type Issuer struct {
	o Options

	mu        sync.Mutex
	authority *authority
}

var _ certs.Issuer = (*Issuer)(nil)

// New makes an issuer, and leaves the store alone until [Issuer.Run] or the first Issue. An error is about
// the options.
func New(o Options) (*Issuer, error) {
	if o.Store == nil {
		return nil, errors.New("local authority: no store is given")
	}
	if o.Lifetime == 0 {
		o.Lifetime = DefaultLifetime
	}
	if o.Lifetime < minLifetime || o.Lifetime > MaxLifetime {
		return nil, fmt.Errorf("local authority: certificates of %v: it has to be from %v to %v", o.Lifetime, minLifetime, MaxLifetime)
	}
	if o.Host == "" {
		host, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("local authority: %w", err)
		}
		o.Host = host
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Issuer{o: o}, nil
}

// Run opens the authority, and goes on trying where the store is away, so that its user is told
// where the root is even when every certificate is there already. It returns nil when that is done or ctx has ended.
func (i *Issuer) Run(ctx context.Context) error {
	troubled := false
	_, err := backoff.Retry(ctx, func() (*authority, error) { return i.current(ctx) },
		backoff.WithMaxElapsedTime(0),
		backoff.WithNotify(func(err error, _ time.Duration) {
			if !troubled {
				troubled = true
				i.o.Log.Error("the local authority cannot be used for now", "cause", err)
			}
		}))
	if troubled && err == nil {
		i.o.Log.Info("the local authority can be used again")
	}
	return nil
}

// Name is "local".
func (i *Issuer) Name() string { return "local" }

// Root gives the root certificate in PEM, nil where the authority has not been opened yet.
func (i *Issuer) Root() []byte {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.authority == nil {
		return nil
	}
	return bytes.Clone(i.authority.certPEM)
}

// Issue is as [certs.Issuer] says. The chain is the leaf and the root. The first call opens the authority, where Run has
// not: it loads it from the store, or makes it where there is none or it expires before a leaf would. One that is there and
// cannot be read is an error: to replace it would take away a trust that somebody has given.
func (i *Issuer) Issue(ctx context.Context, name string) (certs.Pair, error) {
	a, err := i.current(ctx)
	if err != nil {
		return certs.Pair{}, fmt.Errorf("local authority: %w", err)
	}
	pair, err := a.sign(name, i.o.Now(), i.o.Lifetime)
	if err != nil {
		return certs.Pair{}, fmt.Errorf("local authority: sign for %q: %w", name, err)
	}
	return pair, nil
}

// current gives the authority. The store is asked where there is none in memory, or that one would expire before a leaf.
func (i *Issuer) current(ctx context.Context) (*authority, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.authority != nil && i.lasts(i.authority) {
		return i.authority, nil
	}
	a, err := i.obtain(ctx)
	if err != nil {
		return nil, err
	}
	if err := i.publish(a); err != nil {
		return nil, err
	}
	i.authority = a
	return a, nil
}

// lasts says whether a leaf that is signed now expires before its root.
func (i *Issuer) lasts(a *authority) bool {
	return i.o.Now().Add(i.o.Lifetime).Before(a.cert.NotAfter)
}

// obtain loads the authority or makes it. Of several instances that make one at once, the first to write is right.
func (i *Issuer) obtain(ctx context.Context) (*authority, error) {
	for {
		there, err := i.o.Store.Load(ctx, Key)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		if err == nil {
			a, err := decode(there.Value)
			if err != nil {
				return nil, fmt.Errorf("the authority in the store, under %s, cannot be used: %w "+
					"(delete it there to have a new one made)", Key, err)
			}
			if i.lasts(a) {
				return a, nil
			}
			i.o.Log.Warn("the local authority expires too soon and is replaced: the new root certificate has to be trusted anew",
				"name", a.cert.Subject.CommonName, "expires", a.cert.NotAfter)
		}
		a, err := create(i.o.Host, i.o.Now())
		if err != nil {
			return nil, err
		}
		value, err := a.encode()
		if err != nil {
			return nil, err
		}
		_, err = i.o.Store.Save(ctx, store.Record{Key: Key, Value: value, Version: there.Version})
		if err == nil {
			i.o.Log.Info("local authority made", "name", a.cert.Subject.CommonName, "expires", a.cert.NotAfter)
			return a, nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return nil, err
		}
	}
}

// publish writes the root certificate for its user.
func (i *Issuer) publish(a *authority) error {
	if i.o.RootFile == "" {
		return nil
	}
	path, err := filepath.Abs(i.o.RootFile)
	if err != nil {
		return fmt.Errorf("write root certificate: %w", err)
	}
	if err := writePublic(path, a.certPEM); err != nil {
		return fmt.Errorf("write root certificate: %w", err)
	}
	i.o.Log.Info("certificates are signed by the local authority: to have clients accept them, trust its root certificate",
		"path", path, "name", a.cert.Subject.CommonName)
	return nil
}
