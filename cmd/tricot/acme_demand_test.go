package main_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tricot-proxy/tricot/certs/acme/acmetest"
)

// An askEndpoint is a real endpoint that is asked about names on demand.
type askEndpoint struct {
	url   string
	mu    sync.Mutex
	asked map[string]int
}

func startAsk(t *testing.T, answer func(name string) (status int)) *askEndpoint {
	t.Helper()
	e := &askEndpoint{asked: map[string]int{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Query().Get("domain")
		e.mu.Lock()
		e.asked[name]++
		e.mu.Unlock()
		w.WriteHeader(answer(name))
	}))
	t.Cleanup(server.Close)
	e.url = server.URL + "/allowed"
	return e
}

// questions gives how often each name was asked about.
func (e *askEndpoint) questions() map[string]int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.asked)
}

func TestACME_OnDemandTheEndpointOfTheTagOrOfTheSettingsDecides(t *testing.T) {
	t.Parallel()
	ca := acmetest.Start(t, acmetest.Options{})
	answer := func(name string) int {
		switch {
		case strings.HasPrefix(name, "allowed"):
			return http.StatusOK
		case strings.HasPrefix(name, "unwell"):
			return http.StatusServiceUnavailable
		}
		return http.StatusForbidden
	}
	ofTag, ofSettings := startAsk(t, answer), startAsk(t, answer)
	gone := "http://" + freeAddress(t) + "/allowed"
	web := naming(t, "web")
	p := startOnACME(t, ca, config{"acme.on_demand.ask": ofSettings.url, "acme.on_demand.per_minute": 100},
		web.service(t, "tagged", "tricot *.tagged.example.com", "tricot-on-demand-tls-ask "+ofTag.url),
		web.service(t, "plain", "tricot *.plain.example.com"),
		web.service(t, "away", "tricot *.away.example.com", "tricot-on-demand-tls-ask "+gone))

	names := []string{
		"allowed.tagged.example.com", "refused.tagged.example.com", "unwell.tagged.example.com",
		"allowed.plain.example.com", "refused.plain.example.com", "allowed.away.example.com",
		"other.example.com", // of no rule
	}
	for range 3 { // each answer is remembered
		for _, name := range names {
			_, err := p.shown(name)
			assert.NoError(t, err, name)
		}
	}
	p.awaitSigned(ca, "allowed.tagged.example.com", "allowed.plain.example.com")
	p.awaitLog("WARN", "an endpoint cannot be asked", gone)
	p.awaitLog("WARN", "an endpoint cannot be asked", ofTag.url, "HTTP 503")
	p.eventually(func() bool { return len(ofTag.questions()) == 3 && len(ofSettings.questions()) == 2 }, "not all are asked about")
	for _, name := range names {
		if name != "allowed.tagged.example.com" && name != "allowed.plain.example.com" {
			p.showsSelfSigned(name)
		}
	}
	assert.Equal(t, once("allowed.tagged.example.com", "refused.tagged.example.com", "unwell.tagged.example.com"),
		ofTag.questions())
	assert.Equal(t, once("allowed.plain.example.com", "refused.plain.example.com"), ofSettings.questions())
	assert.Equal(t, once("allowed.tagged.example.com", "allowed.plain.example.com"), ca.Orders())
	assert.Equal(t, "web", get(t, p.clientTrusting(t, http2, ca.Roots()), "https://allowed.tagged.example.com/").body)
}

func TestACME_OnDemandWithoutAnEndpointNothingIsOrdered(t *testing.T) {
	t.Parallel()
	ca := acmetest.Start(t, acmetest.Options{})
	p := startOnACME(t, ca, nil, naming(t, "web").service(t, "web", "tricot known.example.com", "tricot *.example.com"))
	for i := range 20 {
		p.showsSelfSigned(fmt.Sprintf("name-%d.example.com", i))
	}
	p.awaitSigned(ca, "known.example.com")
	assert.Equal(t, once("known.example.com"), ca.Orders())
}
