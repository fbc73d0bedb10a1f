package certs_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs"
	"github.com/tricot-proxy/tricot/certs/certstest"
)

func TestOnDemand_ServesAfterARestartWhatTheStoreHasAndAsksAgainBeforeItRenews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, time.Hour)
		e := &endpoint{}
		o, wildcard := p.simulated(e)
		k, stop := p.start(o, wildcard)
		p.served(k, "app.example.com")
		old := p.await(k, "app.example.com")
		stop()
		p.putRaw("bad.example.com", []byte("nonsense"))
		p.put("a_b.example.com", p.fields("a_b.example.com"))

		o, _ = p.simulated(e)
		k = p.keeperOf(o, wildcard)
		leaf, trusted := p.served(k, "app.example.com")
		assert.True(t, trusted, "from the moment on when it is ready")
		assert.Equal(t, old.SerialNumber, leaf.SerialNumber)
		assert.Equal(t, 1, e.count())
		<-time.After(35 * time.Minute)
		assert.Equal(t, []string{"app.example.com", "app.example.com"}, e.names(), "for the renewal, and nothing else")
		leaf, trusted = p.served(k, "app.example.com")
		assert.True(t, trusted)
		assert.NotEqual(t, old.SerialNumber, leaf.SerialNumber)
		assert.Equal(t, 2, p.issuer.Count("app.example.com"))
		assert.Zero(t, p.log.Count("name=bad.example.com"), "nobody wants it")

		// Refused: it is served while it is valid, and not renewed.
		e.on(always(http.StatusForbidden))
		<-time.After(40 * time.Minute)
		_, trusted = p.served(k, "app.example.com")
		assert.True(t, trusted)
		assert.Equal(t, 2, p.issuer.Count("app.example.com"))
		assert.Equal(t, 1, p.log.Count("is not renewed: the endpoint refuses the name"))
		<-time.After(25 * time.Minute)
		_, trusted = p.served(k, "app.example.com")
		assert.False(t, trusted)
		assert.Equal(t, 1, p.log.Count("did not allow to renew has expired"))

		// And allowed once more.
		e.on(nil)
		<-time.After(time.Hour)
		p.served(k, "app.example.com")
		p.await(k, "app.example.com")
	})
}

func TestOnDemand_RenewsAfterTheEndpointWasAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, 4*time.Hour)
		e := &endpoint{}
		k := p.keeperOf(p.simulated(e))
		p.served(k, "app.example.com")
		p.await(k, "app.example.com")
		e.on(always(http.StatusBadGateway))
		<-time.After(3 * time.Hour)
		assert.Equal(t, 1, p.issuer.Count("app.example.com"))
		assert.GreaterOrEqual(t, e.count(), 4)
		assert.Less(t, e.count(), 10)
		assert.Equal(t, 1, p.log.Count("an endpoint cannot be asked"))
		e.on(nil)
		<-time.After(55 * time.Minute)
		assert.Equal(t, 2, p.issuer.Count("app.example.com"))
	})
}

func TestOnDemand_TriesAgainByItselfAndAsksAnewAfterAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, 0)
		e := &endpoint{}
		p.issuer.On(no)
		k := p.keeperOf(p.simulated(e))
		p.served(k, "app.example.com")
		<-time.After(50 * time.Minute)
		assert.Equal(t, 1, e.count())
		assert.Greater(t, p.issuer.Count("app.example.com"), 6)
		_, there := p.failure("app.example.com")
		assert.True(t, there)
		e.on(always(http.StatusForbidden))
		<-time.After(100 * time.Minute)
		assert.Equal(t, 2, e.count(), "the customer has left: nothing is tried any more")
		tried := p.issuer.Count("app.example.com")
		<-time.After(100 * time.Minute)
		assert.Equal(t, 2, e.count())
		assert.Equal(t, tried, p.issuer.Count("app.example.com"))
	})
}

func TestOnDemand_EndsWithItsWildcard(t *testing.T) {
	p := newPlace(t, 0)
	e := &endpoint{}
	url := e.listen(t)
	k := p.keeperOf(certs.Options{StrictSNI: true}, certs.Wanted{Host: "*.example.com", Ask: url})
	p.served(k, "app.example.com")
	p.await(k, "app.example.com")
	k.Want([]certs.Wanted{{Host: "*.example.com"}})
	p.eventually(func() bool { _, trusted := p.served(k, "app.example.com"); return !trusted })
	k.Want(nil)
	p.eventually(func() bool { _, err := certstest.Handshake(k, "app.example.com"); return err != nil })
	k.Want([]certs.Wanted{{Host: "*.example.com", Ask: url}})
	p.eventually(func() bool { _, err := certstest.Handshake(k, "app.example.com"); return err == nil })
	p.await(k, "app.example.com")
	assert.Equal(t, 1, e.count(), "the store has it still")

	// A rule of its own needs no endpoint.
	k.Want(hosts("own.org", "app.example.com"))
	p.eventually(func() bool { _, err := certstest.Handshake(k, "own.org"); return err == nil })
	p.await(k, "own.org")
	p.await(k, "app.example.com")
	assert.Equal(t, 1, e.count())
}

func TestOnDemand_ForgetsANameWhoseRecordIsRemoved(t *testing.T) {
	p := newPlace(t, 0)
	e := &endpoint{}
	k := p.keeperOf(certs.Options{Ask: e.listen(t)}, hosts("*.example.com")...)
	p.served(k, "app.example.com")
	p.await(k, "app.example.com")
	require.NoError(t, p.store().Delete(t.Context(), "certs/app.example.com"))
	p.eventually(func() bool { _, trusted := p.served(k, "app.example.com"); return !trusted })
	assert.Equal(t, 1, p.issuer.Count("app.example.com"))
}
