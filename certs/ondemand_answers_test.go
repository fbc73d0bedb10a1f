package certs_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOnDemand_GetsNothingWithoutTheStatus200(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, 0)
		var statuses []int
		e := &endpoint{}
		o, wildcard := p.simulated(e)
		o.NewNames = 100
		k := p.keeperOf(o, wildcard)
		for _, unwell := range []bool{false, true} {
			statuses = []int{201, 204, 302, 400, 401, 403, 404, 410, 421}
			if unwell {
				statuses = []int{408, 425, 429, 500, 502, 503}
			}
			for _, status := range statuses {
				name := fmt.Sprintf("n%d.example.com", status)
				e.on(always(status))
				begin := e.count()
				p.served(k, name)
				<-time.After(time.Second)
				p.served(k, name)
				<-time.After(time.Second)
				assert.Equal(t, begin+1, e.count(), "%d is remembered", status)
				<-time.After(time.Minute)
				p.served(k, name)
				<-time.After(time.Second)
				assert.Equal(t, unwell, e.count() == begin+2, "%d after a minute", status)
			}
		}
		assert.Empty(t, p.issuer.Names())
		e.on(nil)
		p.served(k, "app.example.com")
		p.await(k, "app.example.com")
		assert.Positive(t, p.log.Count("an endpoint cannot be asked"))
		assert.Equal(t, p.log.Count("an endpoint cannot be asked"), p.log.Count("can be asked about names on demand again"))
	})
}

func TestOnDemand_RemembersARefusalForAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, 0)
		e := &endpoint{answer: always(http.StatusForbidden)}
		k := p.keeperOf(p.simulated(e))
		for minute := range 60 {
			p.served(k, "app.example.com")
			<-time.After(time.Second)
			require.Equal(t, 1, e.count(), "after %d minutes", minute)
			<-time.After(59 * time.Second)
		}
		e.on(nil)
		<-time.After(time.Second)
		p.served(k, "app.example.com")
		p.await(k, "app.example.com")
		assert.Equal(t, 2, e.count())
	})
}
