package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/tricot-proxy/tricot/certs/store"
)

// A Status is what the store has of a name. Times are UTC, and zero where they are not known.
type Status struct {
	Name string `json:"name"`
	// Issuer is who signed the certificate, by the certificate itself, such as "Let's Encrypt R11".
	Issuer string `json:"issuer,omitempty"`
	// The certificate is valid from From until To. Due is when half of that is gone: instances renew it then or a little
	// later, or earlier where the CA's renewal information says so.
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
	Due  time.Time `json:"renewal_due,omitzero"`
	// Problem says why the certificate cannot be served; empty: it can, or there is none.
	Problem string `json:"problem,omitempty"`
	// Unsigned says why no issuer signs for the name; empty: one does, or that is not known, as it is not to [List].
	Unsigned string `json:"unsigned,omitempty"`
	// Attempts is the number of orders that failed since there was a certificate that was not due, LastError what the last
	// of them failed with, in one line, and NextTry when there may be another one. With no attempts, LastError says why the
	// issuer has not been asked.
	Attempts  int       `json:"attempts,omitempty"`
	LastError string    `json:"last_error,omitempty"`
	NextTry   time.Time `json:"next_try,omitzero"`
}

// List gives what a store has of all names, wanted or not, sorted by name. It returns when it has read the store, or ctx's
// error when that ends first.
func List(ctx context.Context, s store.Store, now time.Time) ([]Status, error) {
	byName := map[string]*Status{}
	status := func(key, prefix string) *Status {
		name := nameOf(strings.TrimPrefix(key, prefix))
		if byName[name] == nil {
			byName[name] = &Status{Name: name}
		}
		return byName[name]
	}
	records, err := store.List(ctx, s, prefix)
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		status(r.Key, prefix).certificate(r, now)
	}
	if records, err = store.List(ctx, s, failurePrefix); err != nil {
		return nil, err
	}
	for _, r := range records {
		if f := decodeFailure(r); f.Attempts > 0 || f.LastError != "" {
			is := status(r.Key, failurePrefix)
			is.Attempts, is.LastError, is.NextTry = f.Attempts, oneLine(f.LastError), f.NextTry
		}
	}
	list := make([]Status, 0, len(byName))
	for _, is := range byName {
		list = append(list, *is)
	}
	slices.SortFunc(list, func(a, b Status) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// certificate fills in what a record says.
func (s *Status) certificate(there store.Record, now time.Time) {
	cert, err := decode(s.Name, there, now)
	var leaf *x509.Certificate
	if err == nil {
		leaf = cert.Leaf
	} else {
		s.Problem = oneLine(err.Error())
		if leaf = leafOf(there.Value); leaf == nil {
			return
		}
	}
	s.of(leaf)
}

// leafOf is the leaf of a record that cannot be served, as far as it can be read; nil: it cannot.
func leafOf(value []byte) *x509.Certificate {
	var r record
	if json.Unmarshal(value, &r) != nil {
		return nil
	}
	cert, err := tls.X509KeyPair([]byte(r.FullchainPEM), []byte(r.KeyPEM))
	if err != nil {
		return nil
	}
	return cert.Leaf
}
