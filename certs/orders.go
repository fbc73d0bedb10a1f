package certs

import (
	"context"
	"errors"
	"time"
)

// order starts orders for the names that have been due for longest, as many as may run.
func (l *loop) order(ctx context.Context, now time.Time) {
	for l.known() && l.running < l.parallel {
		var first *name
		for _, n := range l.names { // in any order: two instances do not begin with the same name
			if n.idle() && n.allowedAt(now) && !now.Before(n.next()) && (first == nil || n.next().Before(first.next())) {
				first = n
			}
		}
		if first == nil {
			return
		}
		first.ordering = true
		l.running++
		o := order{name: first.name, attempts: first.tries}
		l.orders.Go(func() { l.results <- l.obtain(ctx, o) })
	}
}

// finish notes how an order went.
func (l *loop) finish(ctx context.Context, r result) {
	l.running--
	n := l.names[r.name]
	if n == nil || ctx.Err() != nil {
		return
	}
	n.ordering = false
	now := l.now()
	if r.failure != nil {
		n.failed = *r.failure
	}
	switch {
	case errors.Is(r.err, errBusy):
		n.retry = now.Add(settle)
		l.log.Debug("another instance is ordering a certificate", "name", n.name)
		return
	case errors.Is(r.err, errDelayed):
		l.delayed(n)
		return
	case r.err == nil && now.Before(n.due): // Follow was faster
		l.recovered(n)
		return
	case r.err == nil:
		// A success counts as a try too, until Follow brings a certificate that is not due: whatever an issuer makes, it is
		// not asked again and again without a pause.
		n.tries++
		n.failed = failure{version: n.failed.version}
		n.retry = now.Add(max(backoff(n.tries, firstBackoff, l.maxBackoff), settle))
		return
	case r.asked:
		n.tries++
		n.unasked = 0
	default:
		n.unasked++
		n.retry = now.Add(backoff(n.unasked, firstBackoff, min(unaskedBackoff, l.maxBackoff)))
	}
	if now.Before(n.due) { // another writer was there in time
		l.log.Debug("an order failed for which there is no more need", "name", n.name, "err", r.err)
		return
	}
	next := n.next().Sub(now).Round(time.Second)
	if !n.troubled {
		n.troubled = true
		l.log.Error("no certificate can be had for a name; this is tried again until there is one", "name", n.name,
			"issuer", l.issuerOf(n.name), "err", r.err, "next_try_in", next)
		return
	}
	l.log.Debug("still no certificate for a name", "name", n.name, "err", r.err, "attempts", n.failed.Attempts,
		"next_try_in", next)
}

// delayed notes that a name waits after the failure of another instance, or of this one before it was started anew.
func (l *loop) delayed(n *name) {
	if n.troubled {
		return
	}
	n.troubled = true
	l.log.Warn("no certificate could be had for a name; this is tried again until there is one", "name", n.name,
		"last_err", n.failed.LastError, "attempts", n.failed.Attempts, "next_try", n.failed.NextTry)
}

// issuerOf names the issuer that signs for a name.
func (k *Keeper) issuerOf(name string) string {
	if signer, _ := k.signer(name); signer != nil {
		return signer.Name()
	}
	return ""
}

// recovered notes that a name has a certificate that is not due.
func (l *loop) recovered(n *name) {
	if n.troubled {
		l.log.Info("a name has its certificate after all", "name", n.name)
	}
	n.troubled, n.tries, n.unasked, n.retry = false, 0, 0, time.Time{}
	n.failed = failure{version: n.failed.version}
}
