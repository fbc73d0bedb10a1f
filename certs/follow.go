package certs

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/tricot-proxy/tricot/certs/store"
)

// want makes the names those of the hosts, and those that are wanted on demand still.
func (l *loop) want(hosts []Wanted) {
	l.told = true
	before := l.wildcards
	var names []string
	names, l.wildcards = wanted(hosts, l.ask)
	for _, w := range l.wildcards {
		if w.ask == "" && !slices.Contains(before, w) {
			l.log.Info("no issuer signs for a wildcard, and no endpoint is set that allows its names on demand: "+
				"the self-signed certificate is served for those without a rule of their own", "wildcard", w.pattern)
		}
	}
	for _, is := range names {
		n := l.names[is]
		if n == nil {
			n = l.add(is)
		}
		n.demand = demand{asking: n.asking}
	}
	var kept []string
	for is, n := range l.names {
		if _, still := slices.BinarySearch(names, is); still || l.demands(n) {
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
	clear(l.passed)
	l.adopt()
}

// add makes a name a wanted one, with what the store has of it.
func (l *loop) add(is string) *name {
	n := &name{name: is}
	l.names[is] = n
	signer, reason := l.signer(is)
	n.unsigned = signer == nil
	switch {
	case signer == nil:
		l.log.Info("the issuer does not sign for a name: the self-signed certificate is served, or what the store has",
			"name", is, "issuer", l.issuer.Name(), "reason", reason)
	case signer != l.issuer:
		l.log.Info("the issuer does not sign for a name: another one does", "name", is, "issuer", l.issuer.Name(),
			"reason", refuses(l.issuer, is), "other", signer.Name())
	}
	l.read(n)
	l.learn(n)
	return n
}

// follow brings everything up to date with the store, and says whether handshakes are to be served differently.
func (l *loop) follow() bool {
	stale := false
	if told := l.toldRecords.Swap(nil); told != nil {
		stale = l.records == nil
		l.records = some(*told)
		for _, n := range l.names {
			stale = l.read(n) || stale
			if n.gone() {
				delete(l.names, n.name)
			}
		}
		stale = l.adopt() || stale
	}
	if told := l.toldFailures.Swap(nil); told != nil {
		l.failures = some(*told)
		for _, n := range l.names {
			l.learn(n)
		}
	}
	return stale
}

// some makes records differ from those that were never told.
func some(records []store.Record) []store.Record {
	if records == nil {
		return []store.Record{}
	}
	return records
}

// find gives the record under a key, the zero one where there is none.
func find(records []store.Record, key string) store.Record {
	at, there := slices.BinarySearchFunc(records, key, func(r store.Record, key string) int {
		return strings.Compare(r.Key, key)
	})
	if !there {
		return store.Record{}
	}
	return records[at]
}

// read brings a name up to date with its record, and says whether that is a new one.
func (l *loop) read(n *name) bool {
	record := find(l.records, key(n.name))
	if record.Version == n.version {
		return false
	}
	n.removed = record.Version == ""
	n.version, n.stored, n.sealed = record.Version, false, false
	if record.Version != "" {
		l.take(n, record)
	}
	l.plan(n)
	if l.now().Before(n.due) {
		l.recovered(n)
	}
	return true
}

// take makes a record's certificate that of a name, if it may be served.
func (l *loop) take(n *name, record store.Record) {
	cert, err := decode(n.name, record, l.now())
	switch {
	case err == nil:
		n.cert, n.stored, n.jitter = cert, true, jitter()
		n.allowed = time.Time{} // that was for this one
		return
	case errors.Is(err, store.ErrSealed):
		n.sealed, n.troubled = true, true
		l.log.Error("a certificate in the store cannot be opened: it is neither served nor replaced", "name", n.name, "err", err)
		return
	case n.unsigned:
		l.log.Warn("a certificate in the store cannot be served, and no issuer signs for the name", "name", n.name, "err", err)
	default:
		l.log.Warn("a certificate in the store cannot be served and will be replaced", "name", n.name, "err", err)
	}
	var past *expiredError
	if n.cert == nil && errors.As(err, &past) {
		n.expired, n.warned = past.at, l.now()
	}
}

// learn brings a name up to date with the failures of other instances, and of this one before it was started anew.
func (l *loop) learn(n *name) {
	record := find(l.failures, failureKey(n.name))
	if record.Version == n.failed.version {
		return
	}
	n.failed = decodeFailure(record)
	now := l.now()
	switch {
	case n.failed.holds(now, l.maxBackoff):
		if !n.ordering && !now.Before(n.due) {
			l.delayed(n)
		}
	case n.failed.NextTry.After(now):
		n.failed.NextTry = now // it counts, and holds up nothing
	}
}
