package certs

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tricot-proxy/tricot/certs/store"
)

const (
	// review is how often everything is looked at again though nothing is known to be due: [Options].RenewAt may have
	// changed its mind, and the time of day may have been set, of which timers know nothing.
	review = time.Hour
	// reminder is how often the log is told that a name's certificate has expired.
	reminder = 24 * time.Hour
)

// A loop is a [Keeper] at work: one goroutine that knows all names, and one for each order that is under way.
type loop struct {
	*Keeper
	// What Follow has told of certificates and failures; nil: nothing new.
	toldRecords, toldFailures atomic.Pointer[[]store.Record]
	changed                   chan struct{} // pokes the loop after a change of those

	names     map[string]*name
	wildcards []wildcard
	records   []store.Record    // certificates, sorted by key; nil: the store has not been read
	failures  []store.Record    // the same of failures
	passed    map[string]string // versions of records, by name, that are of no use for a name that nobody wants yet
	told      bool              // what is wanted
	reviewed  time.Time
	shownAt   time.Time // when the statuses were made

	orders  sync.WaitGroup
	running int
	results chan result // has room for all that run
}

// run does what is to be done each time something has happened or become due.
func (l *loop) run(ctx context.Context) {
	defer l.orders.Wait()
	l.reviewed = l.now()
	timer := time.NewTimer(review)
	defer timer.Stop()
	for {
		stale := false // what handshakes are served from
		select {
		case <-ctx.Done():
			return
		case <-l.wanting:
			l.want(*l.hosts.Load())
			stale = true
		case <-l.changed:
			stale = l.follow()
		case r := <-l.results:
			l.shown.count(r)
			l.finish(ctx, r)
		case a := <-l.asker.answers:
			stale = l.answer(a)
		case <-timer.C:
		}
		now := l.now()
		if since := now.Sub(l.reviewed); since >= review || since < 0 {
			l.reviewed = now
			for _, n := range l.names {
				l.plan(n)
			}
			l.sweep(ctx, now)
		}
		stale = l.expire(now) || stale
		if stale {
			l.publish()
		}
		l.question(now)
		l.order(ctx, now)
		timer.Reset(min(l.wait(now), l.show(now)))
	}
}

// known says whether the store has been read.
func (l *loop) known() bool { return l.records != nil && l.failures != nil }

// sweep clears away the failures of names that nobody wants any more.
func (l *loop) sweep(ctx context.Context, now time.Time) {
	if !l.told {
		return
	}
	var keys []string
	for _, r := range l.failures {
		name := nameOf(strings.TrimPrefix(r.Key, failurePrefix))
		if l.names[name] == nil && now.Sub(decodeFailure(r).NextTry) > abandoned {
			keys = append(keys, r.Key)
		}
	}
	if keys == nil {
		return
	}
	l.orders.Go(func() {
		for _, key := range keys {
			// Another instance may be faster, and what is not cleared away now is in an hour.
			_ = l.store.Delete(ctx, key)
		}
	})
}

// wait is the time until something is due.
func (l *loop) wait(now time.Time) time.Duration {
	wait := l.reviewed.Add(review).Sub(now)
	for _, n := range l.names {
		switch {
		case n.cert != nil:
			wait = min(wait, n.cert.Leaf.NotAfter.Sub(now))
		case !n.expired.IsZero():
			wait = min(wait, n.warned.Add(reminder).Sub(now))
		}
		if next := n.next(); l.known() && n.idle() && next.After(now) {
			wait = min(wait, next.Sub(now))
		}
	}
	return wait
}
