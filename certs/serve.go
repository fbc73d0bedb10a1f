package certs

import (
	"crypto/tls"
	"net/netip"
	"time"
)

// expire takes certificates out of service that are no longer valid, says so each day for as long as there is no other,
// and says whether there were any.
func (l *loop) expire(now time.Time) bool {
	expired := false
	for _, n := range l.names {
		switch {
		case n.cert != nil && !now.Before(n.cert.Leaf.NotAfter):
			n.expired = n.cert.Leaf.NotAfter
			n.cert, n.stored = nil, false
			l.plan(n)
			expired = true
			if n.denied {
				delete(l.names, n.name)
				l.log.Info("a certificate that the endpoint did not allow to renew has expired", "name", n.name)
				continue
			}
		case n.cert != nil:
			n.expired = time.Time{}
			continue
		case n.expired.IsZero() || now.Sub(n.warned) < reminder:
			continue
		}
		n.warned = now
		more := []any{"name", n.name, "expired", n.expired}
		if n.failed.LastError != "" {
			more = append(more, "last_err", n.failed.LastError, "next_try", n.failed.NextTry)
		}
		l.log.Warn("a certificate has expired: the self-signed one is served until there is another", more...)
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
	if l.records != nil && l.told {
		select {
		case <-l.ready:
		default:
			close(l.ready)
		}
	}
}
