package certs

import (
	"crypto/tls"
	"crypto/x509"
	"math/rand/v2"
	"time"
)

const (
	// settle is how long after an order, or a look that found none to be needed, a name is left alone unless Follow tells
	// of the new certificate, which it does long before.
	settle = 10 * time.Second
	// firstBackoff is the time to the second try at a certificate that could not be had. It doubles with each.
	firstBackoff = 5 * time.Second
	// firstBackoffOfName is the same where the name is at fault: CAs count the validations that fail, Let's Encrypt up to
	// five in an hour.
	firstBackoffOfName = time.Minute
	// unaskedBackoff is the longest time between two tries that do not come to asking the issuer, because of the store, or
	// because the issuer holds back.
	unaskedBackoff = 5 * time.Minute
	// spread is the part of a lifetime over which renewals are spread, so that a thousand names that came in the same
	// second are not renewed in the same second.
	spread = 0.05
)

// A name is what the loop knows of one wanted name.
type name struct {
	name    string
	version string // of the record that was read last, whether or not it could be served
	// cert is served; nil: the self-signed one is. It may be older than the record, where that cannot be served.
	cert    *tls.Certificate
	stored  bool      // the record holds cert
	sealed  bool      // the record is one that others have the key of
	jitter  float64   // cert's share of spread, from 0 to 1
	expired time.Time // when the certificate before none expired; zero: there was none
	warned  time.Time // of that

	due      time.Time // when a certificate is to be ordered; zero: at once
	retry    time.Time // nothing is ordered before, nor before failed.NextTry
	failed   failure   // as the store has it, or would have it if it could be saved
	tries    int       // orders that asked the issuer since there was a certificate that was not due
	unasked  int       // orders in a row that did not come to that
	troubled bool      // the log knows that there is trouble
	ordering bool
	unsigned bool // nobody signs for it

	demand // of a name that only a wildcard wants
}

// next is when a certificate is to be ordered.
func (n *name) next() time.Time {
	next := n.due
	if n.retry.After(next) {
		next = n.retry
	}
	if n.failed.NextTry.After(next) {
		next = n.failed.NextTry
	}
	return next
}

// idle says whether nothing is under way for a name and something may be.
func (n *name) idle() bool { return !n.ordering && !n.asking && !n.unsigned && !n.sealed }

// plan says when a certificate is due.
func (k *Keeper) plan(n *name) {
	n.due = time.Time{}
	if n.stored {
		n.due = k.due(n.name, n.cert.Leaf, n.jitter)
	}
}

// due says when a certificate is to be renewed: at half of its lifetime and a little, or earlier where renewAt says so.
func (k *Keeper) due(name string, leaf *x509.Certificate, jitter float64) time.Time {
	lifetime := leaf.NotAfter.Sub(leaf.NotBefore)
	at := half(leaf).Add(time.Duration(jitter * spread * float64(lifetime)))
	if k.renewAt != nil && refuses(k.issuer, name) == "" {
		if earlier := k.renewAt(name, leaf); !earlier.IsZero() && earlier.Before(at) {
			return earlier
		}
	}
	return at
}

// half is when half of a certificate's lifetime is gone.
func half(leaf *x509.Certificate) time.Time {
	return leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 2)
}

// backoff is the pause after a number of tries in a row: twice as long after each, up to most, less up to half of it by
// chance, so that names that failed together are not tried together.
func backoff(tries int, first, most time.Duration) time.Duration {
	pause := min(first, most)
	for ; tries > 1 && pause < most; tries-- {
		pause = min(2*pause, most)
	}
	return pause - time.Duration(jitter()*float64(pause/2))
}

func jitter() float64 { return rand.Float64() }
