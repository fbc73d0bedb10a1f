package certs

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/tricot-proxy/tricot/certs/store"
)

// What [Options] leaves out.
const (
	DefaultParallel   = 4
	DefaultMaxBackoff = 24 * time.Hour
	DefaultNewNames   = 10
)

// Options are what [New] needs to know.
type Options struct {
	// Store holds the certificates, the failures and the locks, Issuer makes what is missing. Both are mandatory.
	Store  store.Store
	Issuer Issuer
	// Fallback signs for the names that Issuer refuses, if it is a [Refuser]. Nil: such a name is served with the
	// self-signed certificate, or what the store has for it, and nothing is ordered.
	Fallback Issuer
	// Log is told of certificates that come, and of trouble with a name once when it begins and once when it ends. Nil:
	// nobody is.
	Log *slog.Logger
	// Now is the time of day. Nil: [time.Now]. What is waited for, is waited for by package time.
	Now func() time.Time
	// Parallel is how many certificates may be ordered at once; 0: [DefaultParallel].
	Parallel int
	// MaxBackoff is the longest time between two tries at a certificate that could not be had, unless the issuer's error
	// wants a longer one; 0: [DefaultMaxBackoff].
	MaxBackoff time.Duration
	// StrictSNI refuses handshakes for names that no rule wants, and those without a name.
	StrictSNI bool
	// RenewAt may say that a certificate is due before half of its lifetime is gone; the zero time says nothing. It is
	// asked when a certificate is loaded, before one is ordered, and hourly, by several goroutines, and does not block. It
	// is not asked about names that Issuer refuses. Nil: half it is.
	RenewAt func(name string, leaf *x509.Certificate) time.Time

	// Ask is the URL that is asked about names of the wildcards that have none of their own, as [Wanted] says. Empty: these
	// get no certificates on demand.
	Ask string
	// NewNames is how many names that it has no certificate for this instance may ask about in a minute, whatever the
	// answers; 0: [DefaultNewNames].
	NewNames int
	// AskTransport makes the requests to the endpoints that are asked. Nil: a transport of the keeper's own.
	AskTransport http.RoundTripper
}

// check refuses what makes no sense.
func (o *Options) check() error {
	switch {
	case o.Store == nil:
		return errors.New("no store is given")
	case o.Issuer == nil:
		return errors.New("no issuer is given")
	case o.Parallel < 0:
		return fmt.Errorf("%d orders in parallel", o.Parallel)
	case o.MaxBackoff < 0:
		return fmt.Errorf("at most %v between two tries", o.MaxBackoff)
	case o.NewNames < 0:
		return fmt.Errorf("%d new names in a minute", o.NewNames)
	}
	if o.Ask != "" {
		if _, err := (question{name: "name.invalid", url: o.Ask}).address(); err != nil {
			return fmt.Errorf("the URL to ask about names on demand: %w", err)
		}
	}
	return nil
}

// complete fills in what is left out.
func (o *Options) complete() {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Parallel == 0 {
		o.Parallel = DefaultParallel
	}
	if o.MaxBackoff == 0 {
		o.MaxBackoff = DefaultMaxBackoff
	}
	if o.NewNames == 0 {
		o.NewNames = DefaultNewNames
	}
}
