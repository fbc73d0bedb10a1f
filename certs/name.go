package certs

import (
	"crypto/tls"
	"crypto/x509"
	"math/rand/v2"
	"time"
)

const (
	// settle is how long after an order, or a look that found none to be needed, a name is left alone. Follow has told
	// of the new certificate long before.
	settle = 10 * time.Second
	// firstBackoff is the time to the second try at a certificate that could not be had. It doubles with each.
	firstBackoff = 5 * time.Second
	// spread is the part of a lifetime over which renewals are spread, so that a thousand names that came in the same
	// second are not renewed in the same second.
	spread = 0.05
)

// A name is what the loop knows of one wanted name.
type name struct {
	name    string
	version string // of the record that was read last, whether or not it could be served
	// cert is served; nil: the self-signed one is. It may be older than the record, where that cannot be served.
	cert   *tls.Certificate
	stored bool    // the record holds cert
	jitter float64 // cert's share of spread, from 0 to 1

	due      time.Time // when a certificate is to be ordered; zero: at once
	retry    time.Time // nothing is ordered before
	tries    int       // orders since there was a certificate that was not due
	troubled bool      // the log knows that there is trouble
	ordering bool
}

// plan says when a certificate is due.
func (n *name) plan(renewAt func(string, *x509.Certificate) time.Time) {
	n.due = time.Time{}
	if n.stored {
		n.due = due(n.name, n.cert.Leaf, n.jitter, renewAt)
	}
}

// next is when a certificate is to be ordered.
func (n *name) next() time.Time {
	if n.retry.After(n.due) {
		return n.retry
	}
	return n.due
}

// due says when a certificate is to be renewed: at half of its lifetime and a little, or earlier where renewAt says so.
func due(name string, leaf *x509.Certificate, jitter float64,
	renewAt func(string, *x509.Certificate) time.Time) time.Time {
	lifetime := leaf.NotAfter.Sub(leaf.NotBefore)
	at := leaf.NotBefore.Add(lifetime/2 + time.Duration(jitter*spread*float64(lifetime)))
	if renewAt != nil {
		if earlier := renewAt(name, leaf); !earlier.IsZero() && earlier.Before(at) {
			return earlier
		}
	}
	return at
}

// backoff is the pause after a number of tries in a row: twice as long after each, up to most, less up to half of it by
// chance, so that names that failed together are not tried together.
func backoff(tries int, most time.Duration) time.Duration {
	pause := min(firstBackoff, most)
	for ; tries > 1 && pause < most; tries-- {
		pause = min(2*pause, most)
	}
	return pause - time.Duration(jitter()*float64(pause/2))
}

func jitter() float64 { return rand.Float64() }
