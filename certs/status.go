package certs

import (
	"context"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tricot-proxy/tricot/certs/store"
)

const (
	// refresh is how often the statuses are made anew while names change, and refreshOfName what each name adds to that.
	refresh       = 250 * time.Millisecond
	refreshOfName = 20 * time.Microsecond
)

// shown is what others see of the loop. They wait for nothing.
type shown struct {
	statuses       atomic.Pointer[[]Status]
	revision       atomic.Uint64
	issued, failed atomic.Uint64
}

// Statuses gives what is known of every wanted name, sorted by name, as it was a moment ago: a quarter of a second, or
// more where there are many. The caller must not change it. It asks nobody, and is nil before Run.
func (k *Keeper) Statuses() []Status {
	if all := k.shown.statuses.Load(); all != nil {
		return *all
	}
	return nil
}

// Revision changes when Statuses does.
func (k *Keeper) Revision() uint64 { return k.shown.revision.Load() }

// Orders counts the orders of this instance for which the issuer was asked: those that gave a certificate, and those that
// failed.
func (k *Keeper) Orders() (issued, failed uint64) {
	return k.shown.issued.Load(), k.shown.failed.Load()
}

// count notes how an order went.
func (s *shown) count(r result) {
	switch {
	case !r.asked:
	case r.err == nil:
		s.issued.Add(1)
	default:
		s.failed.Add(1)
	}
}

// show makes the statuses anew where that is due, and says how long it may wait otherwise.
func (l *loop) show(now time.Time) (wait time.Duration) {
	pause := refresh + time.Duration(len(l.names))*refreshOfName
	if since := now.Sub(l.shownAt); since >= 0 && since < pause {
		return pause - since
	}
	l.shownAt = now
	all := make([]Status, 0, len(l.names))
	for _, n := range l.names {
		all = append(all, l.status(n))
	}
	slices.SortFunc(all, func(a, b Status) int { return strings.Compare(a.Name, b.Name) })
	if before := l.Statuses(); before == nil || !slices.Equal(before, all) {
		l.shown.statuses.Store(&all)
		l.shown.revision.Add(1)
	}
	return review
}

func (l *loop) status(n *name) Status {
	s := Status{Name: n.name}
	if n.unsigned {
		_, s.Unsigned = l.signer(n.name)
	}
	if n.cert != nil {
		s.of(n.cert.Leaf)
		s.Due = n.due.UTC()
		if !n.stored { // it serves while the record cannot
			s.Due = half(n.cert.Leaf).UTC()
		}
	} else if !n.expired.IsZero() {
		s.To = n.expired.UTC()
	}
	if f := n.failed; f.Attempts > 0 || f.LastError != "" {
		s.Attempts, s.LastError, s.NextTry = f.Attempts, oneLine(f.LastError), f.NextTry.UTC()
	}
	return s
}

// of fills in what a certificate says.
func (s *Status) of(leaf *x509.Certificate) {
	organization := strings.Join(leaf.Issuer.Organization, " ")
	s.Issuer = oneLine(strings.TrimSpace(organization + " " + leaf.Issuer.CommonName))
	s.From, s.To, s.Due = leaf.NotBefore.UTC(), leaf.NotAfter.UTC(), half(leaf).UTC()
}

// Look gives what a store has of one name, in canonical form. A name of which it has nothing gives a status with nothing but
// the name. The error is the store's.
func Look(ctx context.Context, s store.Store, name string, now time.Time) (Status, error) {
	status := Status{Name: name}
	switch r, err := s.Load(ctx, key(name)); {
	case err == nil:
		status.certificate(r, now)
	case errors.Is(err, store.ErrSealed) || errors.Is(err, store.ErrDamaged):
		status.Problem = oneLine(err.Error())
	case !errors.Is(err, store.ErrNotFound):
		return status, err
	}
	if r, err := s.Load(ctx, failureKey(name)); err == nil {
		if f := decodeFailure(r); f.Attempts > 0 || f.LastError != "" {
			status.Attempts, status.LastError, status.NextTry = f.Attempts, oneLine(f.LastError), f.NextTry
		}
	}
	return status, nil
}
