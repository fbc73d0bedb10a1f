package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tricot-proxy/tricot/certs/store"
)

// review is how often everything is looked at again though nothing is known to be due: [Options].RenewAt may have changed
// its mind, and the time of day may have been set, of which timers know nothing.
const review = time.Hour

// A loop is a [Keeper] at work: one goroutine that knows all names, and one for each order that is under way.
type loop struct {
	*Keeper
	told    atomic.Pointer[[]store.Record] // what Follow told last; nil before
	changed chan struct{}                  // pokes the loop after a change of told

	names     map[string]*name
	wildcards []string
	records   []store.Record // sorted by key
	known     bool           // the store has been read
	reviewed  time.Time

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
			stale = !l.known
			l.records, l.known = *l.told.Load(), true
			stale = l.compare() || stale
		case r := <-l.results:
			l.finish(ctx, r)
		case <-timer.C:
		}
		now := l.now()
		if since := now.Sub(l.reviewed); since >= review || since < 0 {
			l.reviewed = now
			for _, n := range l.names {
				n.plan(l.renewAt)
			}
		}
		stale = l.expire(now) || stale
		if stale {
			l.publish()
		}
		l.order(ctx, now)
		timer.Reset(l.wait(now))
	}
}

// want makes the names those of the hosts.
func (l *loop) want(hosts []string) {
	names, wildcards := wanted(hosts)
	l.wildcards = wildcards
	for _, is := range names {
		if l.names[is] == nil {
			n := &name{name: is}
			l.names[is] = n
			l.read(n)
		}
	}
	var kept []string
	for is, n := range l.names {
		if _, still := slices.BinarySearch(names, is); still {
			continue
		}
		delete(l.names, is)
		if n.cert != nil {
			kept = append(kept, is)
		}
	}
	if kept != nil {
		slices.Sort(kept)
		l.log.Info("certificates are no longer wanted: they stay in the store, neither renewed nor served",
			"count", len(kept), "names", strings.Join(kept[:min(len(kept), 20)], " "))
	}
}

// compare reads the names whose records have changed, and says whether there were any.
func (l *loop) compare() bool {
	changed := false
	for _, n := range l.names {
		changed = l.read(n) || changed
	}
	return changed
}

// read brings a name up to date with its record, and says whether that is a new one.
func (l *loop) read(n *name) bool {
	var record store.Record
	at, there := slices.BinarySearchFunc(l.records, key(n.name), func(r store.Record, key string) int {
		return strings.Compare(r.Key, key)
	})
	if there {
		record = l.records[at]
	}
	if record.Version == n.version {
		return false
	}
	n.version, n.stored = record.Version, false
	if there {
		cert, err := decode(n.name, record.Value, l.now())
		if err == nil {
			n.cert, n.stored, n.jitter = cert, true, jitter()
		} else {
			l.log.Warn("a certificate in the store cannot be served and will be replaced", "name", n.name, "err", err)
		}
	}
	n.plan(l.renewAt)
	if l.now().Before(n.due) {
		l.recovered(n)
	}
	return true
}

// expire takes certificates out of service that are no longer valid, and says whether there were any.
func (l *loop) expire(now time.Time) bool {
	expired := false
	for _, n := range l.names {
		if n.cert == nil || now.Before(n.cert.Leaf.NotAfter) {
			continue
		}
		l.log.Warn("a certificate has expired: the self-signed one is served until there is another", "name", n.name,
			"expired", n.cert.Leaf.NotAfter)
		n.cert, n.stored = nil, false
		n.plan(l.renewAt)
		expired = true
	}
	return expired
}

// publish gives handshakes a new table.
func (l *loop) publish() {
	t := &table{
		exact:     make(map[string]*tls.Certificate, len(l.names)),
		addresses: map[netip.Addr]*tls.Certificate{},
		wildcards: l.wildcards,
	}
	for _, n := range l.names {
		cert := n.cert
		if cert == nil {
			cert = l.selfSigned
		}
		t.exact[n.name] = cert
		if addr := address(n.name); addr.IsValid() {
			t.addresses[addr] = cert
		}
	}
	l.serving.Store(t)
	if l.known && l.hosts.Load() != nil {
		select {
		case <-l.ready:
		default:
			close(l.ready)
		}
	}
}

// order starts orders for the names that have been due for longest, as many as may run.
func (l *loop) order(ctx context.Context, now time.Time) {
	for l.known && l.running < l.parallel {
		var first *name
		for _, n := range l.names { // in any order: two instances do not begin with the same name
			if !n.ordering && !now.Before(n.next()) && (first == nil || n.next().Before(first.next())) {
				first = n
			}
		}
		if first == nil {
			return
		}
		first.ordering = true
		l.running++
		wanted := first.name
		l.orders.Go(func() { l.results <- l.obtain(ctx, wanted) })
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
	if errors.Is(r.err, errBusy) {
		n.retry = now.Add(settle)
		l.log.Debug("another instance is ordering a certificate", "name", n.name)
		return
	}
	// A success counts as a try too, until Follow brings a certificate that is not due: whatever an issuer makes, it is not
	// asked again and again without a pause.
	n.tries++
	pause := backoff(n.tries, l.maxBackoff)
	switch {
	case r.err == nil:
		n.retry = now.Add(max(pause, settle))
	case now.Before(n.due): // another writer was there in time
		l.log.Debug("an order failed for which there is no more need", "name", n.name, "err", r.err)
	case !n.troubled:
		n.troubled = true
		n.retry = now.Add(pause)
		l.log.Error("no certificate can be had for a name; this is tried again until there is one", "name", n.name,
			"issuer", l.issuer.Name(), "err", r.err, "next_try_in", pause.Round(time.Second))
	default:
		n.retry = now.Add(pause)
		l.log.Debug("still no certificate for a name", "name", n.name, "err", r.err, "tries", n.tries,
			"next_try_in", pause.Round(time.Second))
	}
}

// recovered notes that a name has a certificate that is not due.
func (l *loop) recovered(n *name) {
	if n.troubled {
		l.log.Info("a name has its certificate after all", "name", n.name)
	}
	n.troubled, n.tries = false, 0
}

// wait is the time until something is due.
func (l *loop) wait(now time.Time) time.Duration {
	wait := review
	for _, n := range l.names {
		if n.cert != nil {
			wait = min(wait, n.cert.Leaf.NotAfter.Sub(now))
		}
		if next := n.next(); l.known && !n.ordering && next.After(now) {
			wait = min(wait, next.Sub(now))
		}
	}
	return wait
}
