// Package certs keeps a certificate for every name that a rule wants, and picks the one for each TLS handshake.
//
// A [Keeper] is told the wanted names, follows the store, and asks an [Issuer] for each name that has no certificate or
// whose certificate is due, under the name's lock, so that a cluster asks once. What it serves is what the store holds:
// every instance sees a new certificate in the same way, within a second of its write. A handshake takes no lock and
// makes no I/O. [Challenges] answers the questions that an ACME server asks over HTTP while it makes a certificate.
//
// What is where in the store is section 7 of the design: certs/NAME holds a certificate with its private key, as JSON
// with the fields hostname, date, valid_days, key_pem and fullchain_pem; challenge/TOKEN holds a key authorization. A
// ":" in the NAME of an IPv6 address is written "~".
package certs

import "context"

// An Issuer makes certificates. It may be used by many goroutines at once.
type Issuer interface {
	// Name is what logs call it, such as "local".
	Name() string
	// Issue gives a certificate for one name: a host name or an IP address, never a wildcard. It may take minutes, and
	// ends with ctx.
	Issue(ctx context.Context, name string) (Pair, error)
}

// A Pair is a certificate chain, leaf first, with the leaf's private key, both in PEM (RFC 7468; the key as PKCS #8).
type Pair struct {
	Chain, Key []byte
}
