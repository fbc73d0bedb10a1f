// Package certs keeps a certificate for every name that a rule wants, and picks the one for each TLS handshake.
//
// A [Keeper] is told the wanted names, follows the store, and asks an [Issuer] for each name that has no certificate or
// whose certificate is due, under the name's lock, so that a cluster asks once. What it serves is what the store holds:
// every instance sees a new certificate in the same way, within a second of its write. A handshake takes no lock and
// makes no I/O. [Challenges] answers the questions that an ACME server asks over HTTP while it makes a certificate.
//
// A name that only a wildcard wants gets a certificate on demand: where the wildcard has the URL of an endpoint that
// allows names, the first handshake for the name has the endpoint asked, and is itself served with the self-signed
// certificate. [Wanted] says more.
//
// What is where in the store is section 7 of the design: certs/NAME holds a certificate with its private key, as JSON
// with the fields hostname, date, valid_days, key_pem and fullchain_pem; challenge/TOKEN holds a key authorization;
// failures/NAME holds, for as long as a certificate could not be had, the fields attempts, last_error and next_try (RFC
// 3339), by which all instances go. A ":" in the NAME of an IPv6 address is written "~".
package certs

import "context"

// An Issuer makes certificates. It may be used by many goroutines at once.
type Issuer interface {
	// Name is what logs call it, such as "local".
	Name() string
	// Issue gives a certificate for one name: a host name or an IP address, never a wildcard. It may take minutes, and
	// ends with ctx.
	//
	// The text of an error has no secrets: logs and the store get it. An error, or one that it wraps, may have a method
	// RetryAt() time.Time, before which the name is not tried again (zero: any time will do), a method NameRefused() bool,
	// which says that the name is at fault, so that the first tries are further apart, and a method Held() bool, which says
	// that nothing was asked for this name because nothing is asked for any: so that it counts as no attempt.
	Issue(ctx context.Context, name string) (Pair, error)
}

// A Refuser is an [Issuer] that knows of some names beforehand that it never signs for them.
type Refuser interface {
	// Refuses gives the reason, such as "it is an IP address"; empty: the name may be asked for. The answer for a name is
	// always the same, and comes at once.
	Refuses(name string) (reason string)
}

// A Pair is a certificate chain, leaf first, with the leaf's private key, both in PEM (RFC 7468; the key as PKCS #8).
type Pair struct {
	Chain, Key []byte
}
