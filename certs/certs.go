// Package certs keeps a certificate for every name that a rule wants, and picks the one for each TLS handshake.
package certs

import "context"

// An Issuer makes certificates.
type Issuer interface {
	// Name is what logs call it, such as "local".
	Name() string
	// Issue gives a certificate for one name. It may take minutes, and ends with ctx.
	Issue(ctx context.Context, name string) (Pair, error)
}

// A Pair is a certificate chain, leaf first, with the leaf's private key, both in PEM (RFC 7468; the key as PKCS #8).
type Pair struct {
	Chain, Key []byte
}
