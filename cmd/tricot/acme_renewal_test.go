package main_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/tricot-proxy/tricot/certs/acme/acmetest"
)

func TestACME_ShortLivedCertificatesAreRenewedAtHalfOfTheirLifeWithoutAFailedHandshake(t *testing.T) {
	t.Parallel()
	const lifetime = 24 * time.Second
	ca := acmetest.Start(t, acmetest.Options{Profiles: map[string]time.Duration{"short": lifetime}})
	names := []string{"a.example.com", "b.example.com", "c.example.com"}
	p := startOnACME(t, ca, nil, naming(t, "web").service(t, "web",
		"tricot a.example.com", "tricot b.example.com", "tricot c.example.com"))
	p.awaitSigned(ca, names...)

	roots := ca.Roots()
	var clients sync.WaitGroup
	for _, name := range names {
		clients.Go(func() {
			first, err := p.handshake(name, roots)
			if !assert.NoError(t, err, name) {
				return
			}
			pause := time.NewTicker(10 * time.Millisecond)
			defer pause.Stop()
			for {
				now, err := p.handshake(name, roots)
				if !assert.NoError(t, err, name) {
					return
				}
				if now.SerialNumber.Cmp(first.SerialNumber) != 0 {
					// The order itself takes a second or two.
					assert.WithinRange(t, now.NotBefore, first.NotBefore.Add(lifetime/2), first.NotAfter, name)
					return
				}
				<-pause.C
			}
		})
	}
	clients.Wait()
	assert.Equal(t, map[string]int{"a.example.com": 2, "b.example.com": 2, "c.example.com": 2}, ca.Orders())
	assert.Len(t, ca.Replaced(), 3, "an order says which certificate it replaces")
	assert.Empty(t, p.logLines("WARN"))
	assert.Empty(t, p.logLines("ERROR"))
}
