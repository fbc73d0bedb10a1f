package certs_test

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs"
	"github.com/tricot-proxy/tricot/certs/acme"
	"github.com/tricot-proxy/tricot/certs/certstest"
)

// picky is an issuer that refuses names of a single label, addresses and those below .test beforehand.
type picky struct{ *certstest.Issuer }

func (picky) Name() string { return "picky" }

func (picky) Refuses(name string) string {
	if !strings.Contains(name, ".") || strings.HasSuffix(name, ".test") || strings.Trim(name, "0123456789.") == "" {
		return "it is not in the public DNS"
	}
	return ""
}

var refused = []string{"localhost", "app.test", "127.0.0.1"}

func TestRefused_IsNeverAskedForAndSaidOnceAndSelfSigned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, 0)
		k := p.keeper(certs.Options{Issuer: picky{p.issuer}, Parallel: 1}, append(refused, "app.example.com")...)
		<-time.After(90 * time.Minute)
		_, trusted := p.served(k, "app.example.com")
		assert.True(t, trusted)
		assert.Equal(t, []string{"app.example.com"}, p.issuer.Names())
		for _, name := range refused {
			leaf, err := certstest.Handshake(k, name)
			require.NoError(t, err)
			if name != "127.0.0.1" { // which has no SNI
				assert.Equal(t, "Tricot self-signed", leaf.Subject.CommonName)
			}
			assert.Equal(t, 1, p.log.Count("name="+name+" "), name)
			_, there := p.failure(name)
			assert.False(t, there)
		}
		assert.Equal(t, 3, p.log.Count("does not sign for a name"))
		assert.Equal(t, 3, p.log.Count(`reason="it is not in the public DNS"`))

		k.Want(hosts(append(refused, "app.example.com", "other.example.com")...))
		p.await(k, "other.example.com")
		assert.Equal(t, 3, p.log.Count("does not sign for a name"), "once, whatever changes elsewhere")
	})
}

// public refuses what [acme.Issuer] does.
type public struct{ *certstest.Issuer }

func (public) Refuses(name string) string {
	_, reason := acme.Signable(name)
	return reason
}

func TestRefused_IsWhateverNoCASignsForWithOrWithoutALocalIssuer(t *testing.T) {
	for host, test := range map[string]struct{ sni, reason string }{
		"localhost":         {"localhost", "not in the public DNS"},
		"app.localhost":     {"app.localhost", "not in the public DNS"},
		"intranet":          {"intranet", "it has a single label"},
		"my_app.example.de": {"my_app.example.de", `it has a \"_\"`},
		"192.0.2.7":         {"", "it is an IP address"},
		"[2001:db8::1]":     {"", "it is an IP address"},
		"*.example.de":      {"app.example.de", "no issuer signs for a wildcard"},
		"*":                 {"app.example.org", "no issuer signs for a wildcard"},
	} {
		t.Run(host, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for _, local := range []bool{false, true} {
					p := newSimulatedPlace(t, 0)
					ca, o := &certstest.Issuer{Issuer: p.issuer.Issuer}, certs.Options{Store: seldom{p.store()}}
					o.Issuer = public{ca}
					if local {
						o.Fallback = p.issuer
					}
					k := p.keeper(o, host, "app.example.com")
					<-time.After(90 * time.Minute)
					assert.Equal(t, []string{"app.example.com"}, ca.Names())
					assert.Equal(t, 1, p.log.Count(test.reason), "said once")

					at := &tls.ClientHelloInfo{ServerName: test.sni}
					if test.sni == "" {
						at.Conn = connectionTo{IP: net.ParseIP(strings.Trim(host, "[]")), Port: 443}
					}
					cert, err := k.GetCertificate(at)
					require.NoError(t, err)
					if local && !strings.Contains(host, "*") {
						assert.NoError(t, cert.Leaf.VerifyHostname(host))
						assert.Equal(t, 1, p.issuer.Count(strings.Trim(host, "[]")))
					} else {
						assert.Equal(t, "Tricot self-signed", cert.Leaf.Subject.CommonName)
						assert.Empty(t, p.issuer.Names())
					}
					for range 3 { // whatever changes elsewhere
						k.Want(hosts(host, "app.example.com", "b.example.com"))
						<-time.After(time.Minute)
						k.Want(hosts(host, "app.example.com"))
						<-time.After(time.Minute)
					}
					assert.Equal(t, 1, p.log.Count(test.reason), "said once")
				}
			})
		})
	}
}

func TestRefused_IsSignedByTheFallback(t *testing.T) {
	p := newPlace(t, 0)
	fallback := &certstest.Issuer{Issuer: p.issuer.Issuer}
	var mu sync.Mutex
	var asked []string
	k := p.keeper(certs.Options{Issuer: picky{p.issuer}, Fallback: fallback, RenewAt: func(name string, _ *x509.Certificate) time.Time {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, name)
		return time.Time{}
	}}, append(refused, "app.example.com")...)
	for _, name := range []string{"localhost", "app.test", "app.example.com"} {
		p.await(k, name)
	}
	p.eventually(func() bool { return fallback.Count("127.0.0.1") == 1 })
	assert.Equal(t, []string{"app.example.com"}, p.issuer.Names())
	assert.Zero(t, fallback.Count("app.example.com"))
	assert.Equal(t, 1, p.log.Count(`name=localhost issuer=local`))
	assert.Equal(t, 3, p.log.Count("another one does"))
	mu.Lock()
	defer mu.Unlock()
	assert.Equal(t, []string{"app.example.com"}, slices.Compact(asked), "renewal information is the issuer's own")
}

func TestRefused_ByBothIssuersIsSelfSigned(t *testing.T) {
	p := newPlace(t, 0)
	k := p.keeper(certs.Options{Issuer: picky{p.issuer}, Fallback: picky{p.issuer}}, "localhost", "app.example.com")
	p.await(k, "app.example.com")
	_, trusted := p.served(k, "localhost")
	assert.False(t, trusted)
	assert.Zero(t, p.issuer.Count("localhost"))
}

func TestRefused_IsServedWithWhatTheStoreHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, time.Hour)
		p.put("localhost", p.fields("localhost"))
		k := p.keeper(certs.Options{Issuer: picky{p.issuer}}, "localhost")
		<-time.After(50 * time.Minute)
		_, trusted := p.served(k, "localhost")
		assert.True(t, trusted)
		<-time.After(10 * time.Minute)
		_, trusted = p.served(k, "localhost")
		assert.False(t, trusted, "it has expired")
		assert.Empty(t, p.issuer.Names())
		p.putRaw("localhost", []byte("nonsense"))
		p.eventually(func() bool { return p.log.Count("cannot be served, and no issuer signs") == 1 })
	})
}
