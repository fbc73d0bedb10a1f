package certs_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs"
)

func TestOnDemand_GetsACertificateForANameThatTheEndpointAllows(t *testing.T) {
	p := newPlace(t, 0)
	e := &endpoint{}
	url := e.listen(t)
	k := p.keeperOf(certs.Options{},
		certs.Wanted{Host: "exact.org"}, certs.Wanted{Host: "*.example.com", Ask: url + "/ask?key=a%20b;c&"}, certs.Wanted{Host: "*.other.com"})
	leaf, trusted := p.served(k, "App.example.com")
	assert.False(t, trusted)
	assert.Equal(t, "Tricot self-signed", leaf.Subject.CommonName, "the first handshake does not wait")
	p.await(k, "app.example.com")
	assert.Equal(t, []string{"app.example.com"}, e.names())
	e.mu.Lock()
	assert.Equal(t, []string{"key=a%20b;c&domain=app.example.com"}, e.queries)
	e.mu.Unlock()
	assert.Equal(t, 1, p.issuer.Count("app.example.com"))
	assert.NotEmpty(t, p.record("app.example.com").Value)
	assert.Equal(t, 1, p.log.Count("a name is wanted on demand"))
	assert.Zero(t, p.log.Count("key="), "a secret, perhaps")

	// Another instance serves it without asking.
	other := p.keeperOf(certs.Options{}, certs.Wanted{Host: "*.example.com", Ask: url})
	_, trusted = p.served(other, "app.example.com")
	assert.True(t, trusted)
	assert.Equal(t, 1, e.count())

	// A wildcard without an endpoint, and a name that nobody wants.
	for _, name := range []string{"app.other.com", "app.org"} {
		_, trusted = p.served(k, name)
		assert.False(t, trusted)
	}
	p.served(k, "b.example.com")
	p.await(k, "b.example.com")
	assert.Equal(t, []string{"app.example.com", "b.example.com"}, e.names())
}

func TestOnDemand_AsksAtTheDefaultWhereAWildcardHasNoEndpoint(t *testing.T) {
	p := newPlace(t, 0)
	own, other := &endpoint{}, &endpoint{}
	k := p.keeperOf(certs.Options{Ask: other.listen(t)}, certs.Wanted{Host: "*.example.com", Ask: own.listen(t)}, certs.Wanted{Host: "*"})
	for _, name := range []string{"app.example.com", "app.org"} {
		p.served(k, name)
		p.await(k, name)
	}
	assert.Equal(t, []string{"app.example.com"}, own.names())
	assert.Equal(t, []string{"app.org"}, other.names())
}

func TestNew_RefusesADefaultEndpointThatCannotBeAsked(t *testing.T) {
	p := newPlace(t, 0)
	for _, url := range []string{"/ask", "ask.test", "ftp://ask.test/", "http://", "http://user:secret@ask.test/", "http://a/#b", "http://secret\x7f/"} {
		_, err := certs.New(certs.Options{Store: p.store(), Issuer: p.issuer, Ask: url})
		require.ErrorContains(t, err, "the URL to ask", url)
		assert.NotContains(t, err.Error(), "secret")
	}
	_, err := certs.New(certs.Options{Store: p.store(), Issuer: p.issuer, NewNames: -1})
	assert.ErrorContains(t, err, "-1 new names")
}

func TestOnDemand_FollowsNoRedirect(t *testing.T) {
	p := newPlace(t, 0)
	e := &endpoint{answer: func(_ context.Context, name string) int {
		if name == "" { // the page to log in
			return http.StatusOK
		}
		return http.StatusFound
	}}
	k := p.keeperOf(certs.Options{Ask: e.listen(t)}, hosts("*.example.com")...)
	p.served(k, "app.example.com")
	p.eventually(func() bool { return e.count() == 1 })
	p.served(k, "b.example.com")
	p.eventually(func() bool { return e.count() == 2 })
	assert.Equal(t, []string{"app.example.com", "b.example.com"}, e.names())
	assert.Empty(t, p.issuer.Names())
}

func TestOnDemand_SurvivesAnEndpointThatIsAway(t *testing.T) {
	p := newPlace(t, 0)
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	k := p.keeperOf(certs.Options{Ask: server.URL + "/?key=secret"}, hosts("*.example.com", "known.org")...)
	p.served(k, "app.example.com")
	p.eventually(func() bool { return p.log.Count("an endpoint cannot be asked") == 1 })
	assert.Equal(t, 1, p.log.Count("refused"))
	assert.Zero(t, p.log.Count("secret"))
	p.await(k, "known.org")
}

func TestOnDemand_WaitsForNoEndpointForLongerThanItsPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, 0)
		e := &endpoint{answer: func(ctx context.Context, name string) int {
			if name != "quick.example.com" {
				<-ctx.Done()
			}
			return http.StatusOK
		}}
		o, wildcard := p.simulated(e)
		k := p.keeperOf(o, wildcard, certs.Wanted{Host: "known.org"})
		p.await(k, "known.org")
		begin := time.Now()
		for i := range 4 {
			leaf, _ := p.served(k, fmt.Sprintf("slow%d.example.com", i))
			assert.Equal(t, "Tricot self-signed", leaf.Subject.CommonName)
		}
		p.served(k, "quick.example.com")
		assert.Zero(t, time.Since(begin), "no handshake has waited")
		k.Want(append(hosts("known.org", "other.org"), wildcard))
		p.await(k, "other.org")
		assert.Less(t, time.Since(begin), 4*time.Second, "nor has another order")
		<-time.After(3 * time.Second)
		p.await(k, "quick.example.com")
		e.mu.Lock()
		defer e.mu.Unlock()
		assert.Equal(t, 4, e.most)
	})
}

func TestOnDemand_AsksAboutNothingThatCannotBeAPublicName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, 0)
		e := &endpoint{}
		o, _ := p.simulated(e)
		o.Issuer = picky{p.issuer}
		k := p.keeperOf(o, certs.Wanted{Host: "*", Ask: "http://ask.test/"}, certs.Wanted{Host: "known.org"})
		for _, name := range []string{"localhost", "a_b.example.com", "-a.example.com", "a..b", "1.2.3.4", "example.1", "", "app.test", "known.org"} {
			_, err := k.GetCertificate(hello(name))
			require.NoError(t, err)
		}
		<-time.After(2 * time.Minute)
		assert.Empty(t, e.names())
		_, err := k.GetCertificate(hello("app.example.com"))
		require.NoError(t, err)
		<-time.After(time.Minute)
		assert.Equal(t, []string{"app.example.com"}, e.names())
	})
}

func TestOnDemand_OrdersNothingThatTheIssuerRefusesButByTheFallback(t *testing.T) {
	p := newPlace(t, 0)
	e := &endpoint{}
	k := p.keeperOf(certs.Options{Ask: e.listen(t), Issuer: picky{p.issuer}, Fallback: p.issuer.Issuer}, hosts("*.test")...)
	p.served(k, "app.test")
	p.await(k, "app.test")
	assert.Empty(t, p.issuer.Names())
}
