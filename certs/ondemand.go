package certs

import (
	"strings"
	"time"
)

const (
	// allowance is how long the endpoint's word holds for orders: between the tries of longer trouble it is asked anew.
	allowance = time.Hour
	// maxAskBackoff is the longest time between two questions about a renewal to an endpoint that does not answer.
	maxAskBackoff = time.Hour
	// maxPending is how many names on demand are kept that have no certificate. Of more, the one goes whose next try is
	// furthest away: a handshake brings it back, and its failures are in the store.
	maxPending = 1000
)

// A demand is what the loop knows of a name that only a wildcard wants. Of another it is zero, but for asking.
type demand struct {
	ask     string    // the URL
	allowed time.Time // when the endpoint did
	denied  bool      // its last answer was a refusal
	asking  bool      // the asker has it
	silence int       // questions in a row without an answer
	removed bool      // there was a record, and it is gone
}

// allowedAt says whether a certificate may be ordered.
func (d *demand) allowedAt(now time.Time) bool {
	since := now.Sub(d.allowed)
	return d.ask == "" || (since >= 0 && since < allowance)
}

// gone says whether somebody has taken a name's certificate out of the store: it is not known any more, and a handshake
// brings it back.
func (d *demand) gone() bool { return d.ask != "" && d.removed }

// demands says whether a name is wanted on demand, after a change of the wildcards.
func (l *loop) demands(n *name) bool {
	if !public(n.name) {
		return false
	}
	was := n.ask
	if url, _ := search(l.wildcards, n.name); url != was {
		n.demand = demand{ask: url, asking: n.asking}
	}
	return n.ask != "" && (n.cert != nil || was != "")
}

// question has the endpoints asked about the names whose certificates are due, as many as there is room for.
func (l *loop) question(now time.Time) {
	for _, n := range l.names {
		if !l.known() || !n.idle() || now.Before(n.next()) || n.allowedAt(now) {
			continue
		}
		if n.asking = l.asker.renew(question{name: n.name, url: n.ask}); !n.asking {
			return // an answer is on its way, and the rest has its turn then
		}
	}
}

// adopt makes the names wanted that have a good certificate in the store and a wildcard by which they may have one, and
// says whether there were any.
func (l *loop) adopt() bool {
	if len(l.wildcards) == 0 || l.wildcards[0].ask == "" { // those with a URL come first
		return false
	}
	adopted := false
	for _, record := range l.records {
		is := nameOf(strings.TrimPrefix(record.Key, prefix))
		if l.names[is] != nil || l.passed[is] == record.Version || !public(is) {
			continue
		}
		url, _ := search(l.wildcards, is)
		if url == "" {
			continue
		}
		if _, err := decode(is, record, l.now()); err != nil {
			l.passed[is] = record.Version
			continue
		}
		l.add(is).ask = url
		adopted = true
	}
	return adopted
}

// answer notes what an endpoint says of a name, and says whether handshakes are to be served differently.
func (l *loop) answer(a answer) bool {
	n, now := l.names[a.name], l.now()
	if n == nil {
		if url, _ := search(l.wildcards, a.name); !a.allowed || url != a.url {
			return false
		}
		l.makeRoom()
		n = l.add(a.name)
		n.ask, n.allowed = a.url, now
		l.log.Info("a name is wanted on demand", "name", n.name, "url", a.endpoint())
		return true
	}
	if a.renewal {
		n.asking = false
	}
	if n.ask == "" || n.ask != a.url { // a rule has it by now, or the wildcard another URL
		return false
	}
	switch {
	case a.err != nil:
		n.silence++
		n.retry = now.Add(backoff(n.silence, unwellFor, maxAskBackoff))
	case a.allowed:
		n.silence, n.allowed, n.denied = 0, now, false
	case n.cert == nil:
		delete(l.names, n.name)
		return true
	default:
		if !n.denied {
			l.log.Info("a certificate on demand is not renewed: the endpoint refuses the name", "name", n.name, "url", a.endpoint())
		}
		n.silence, n.denied = 0, true
		n.retry = now.Add(refusedFor)
	}
	return false
}

// makeRoom sees to it that there is room for one more name without a certificate.
func (l *loop) makeRoom() {
	pending := 0
	var last *name
	for _, n := range l.names {
		if n.ask == "" || n.cert != nil || !n.idle() {
			continue
		}
		pending++
		if last == nil || n.next().After(last.next()) {
			last = n
		}
	}
	if pending >= maxPending {
		delete(l.names, last.name)
	}
}
