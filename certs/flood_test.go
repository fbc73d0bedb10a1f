package certs_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs"
)

func TestOnDemand_AFloodOfNamesReachesNeitherTheEndpointNorTheIssuerBeyondTheBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, 0)
		e := &endpoint{answer: func(ctx context.Context, _ string) int {
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
			return http.StatusOK
		}}
		o, wildcard := p.simulated(e)
		k := p.keeperOf(o, wildcard, certs.Wanted{Host: "known.org"})
		p.issuer.On(func(_ context.Context, name string) error {
			if name == "known.org" {
				return nil
			}
			return errors.New("the CA says no")
		})
		<-time.After(time.Minute)
		begin := time.Now()
		const minutes = 3
		for i := range 10_000 {
			cert, err := k.GetCertificate(hello(fmt.Sprintf("n%d.example.com", i)))
			require.NoError(t, err)
			require.NotNil(t, cert)
			if i%(10_000/minutes/60) == 0 {
				<-time.After(time.Second)
			}
		}
		lasted := int(time.Since(begin)/time.Minute) + 1
		assert.LessOrEqual(t, e.count(), lasted*certs.DefaultNewNames)
		assert.GreaterOrEqual(t, e.count(), (lasted-1)*certs.DefaultNewNames, "the names that have their turn are asked about")
		e.mu.Lock()
		at, most := slices.Clone(e.at), e.most
		e.mu.Unlock()
		assert.LessOrEqual(t, most, 4)
		for i := certs.DefaultNewNames; i < len(at); i++ {
			assert.GreaterOrEqual(t, at[i].Sub(at[i-certs.DefaultNewNames]), time.Minute, "in any minute")
		}
		assert.Equal(t, 1, p.log.Count("more new names are asked for"))
		p.await(k, "known.org")

		// The flood is over, and somebody new comes.
		<-time.After(8 * time.Minute)
		asked := e.count()
		assert.LessOrEqual(t, asked, (lasted+8)*certs.DefaultNewNames)
		p.issuer.On(nil)
		p.served(k, "new.example.com")
		p.await(k, "new.example.com")
		assert.Equal(t, asked+1, e.count())
		assert.Equal(t, 1, p.log.Count("no longer too many"))
		assert.LessOrEqual(t, p.log.Count("\n"), 4*asked+20, "nor does it fill the log")
	})
}

func TestOnDemand_AFloodIsBoundedWhateverTheEndpointSays(t *testing.T) {
	for name, test := range map[string]struct {
		endpoint http.RoundTripper
		ordered  bool
	}{
		"it refuses": {&endpoint{answer: always(http.StatusForbidden)}, false},
		"it allows":  {&endpoint{}, true},
		"it is away": {&away{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newSimulatedPlace(t, 0)
				_, wildcard := p.simulated(nil)
				const perMinute = 7
				k := p.keeperOf(certs.Options{AskTransport: test.endpoint, NewNames: perMinute}, wildcard)
				begin := time.Now()
				for i := range 10_000 { // in a second, each twice
					for range 2 {
						cert, err := k.GetCertificate(hello(fmt.Sprintf("n%d.example.com", i)))
						require.NoError(t, err)
						require.NotNil(t, cert)
					}
					if i%100 == 0 {
						<-time.After(10 * time.Millisecond)
					}
				}
				require.Equal(t, time.Second, time.Since(begin))
				asked := func() []string { return test.endpoint.(interface{ names() []string }).names() }
				synctest.Wait()
				assert.Len(t, asked(), perMinute)
				<-time.After(59*time.Minute + 30*time.Second)
				// Those who were let wait have their turn, and nobody else comes.
				assert.Greater(t, len(asked()), perMinute)
				assert.LessOrEqual(t, len(asked()), 64+64+perMinute, "what waits is bounded")
				assert.Len(t, slices.Compact(slices.Sorted(slices.Values(asked()))), len(asked()), "each once")
				if test.ordered {
					assert.ElementsMatch(t, asked(), p.issuer.Names())
				} else {
					assert.Empty(t, p.issuer.Names())
				}
			})
		})
	}
}

// away is an endpoint that cannot be reached.
type away struct{ endpoint }

func (a *away) RoundTrip(r *http.Request) (*http.Response, error) {
	_, _ = a.endpoint.RoundTrip(r)
	return nil, errors.New("no route to host")
}

func TestGetCertificate_AllocatesNothingWhateverIsAskedFor(t *testing.T) {
	p := newPlace(t, 0)
	e := &endpoint{answer: always(http.StatusForbidden)}
	k, stop := p.start(certs.Options{Ask: e.listen(t)}, hosts("app.example.com", "*.example.com", "*.*.example.com", "*.example.org")...)
	p.await(k, "app.example.com")
	p.served(k, "refused.example.com")
	p.eventually(func() bool { return e.count() == 1 })
	stop() // what is served stays, and nobody else allocates anything while it is measured
	for _, name := range []string{"app.example.com", "refused.example.com", "foreign.test", "no_name.example.com", ""} {
		hello := hello(name)
		assert.Zero(t, testing.AllocsPerRun(100, func() { _, _ = k.GetCertificate(hello) }), name)
	}
}

// The handshakes for known names while 10,000 in a second come, to the same wildcards, for names that nobody has heard of.
func BenchmarkGetCertificate_UnderFlood(b *testing.B) {
	p := newPlace(b, 0)
	names := p.fill(b, 1000)
	e := &endpoint{answer: always(http.StatusForbidden)}
	k := p.keeperOf(certs.Options{Ask: e.listen(b)}, hosts(append(names, "*.example.com", "*.example.org")...)...)
	known := hello(names[500])
	run := func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = k.GetCertificate(known)
		}
	}
	b.Run("quiet", run)
	b.Run("flood", func(b *testing.B) {
		var flood sync.WaitGroup
		defer flood.Wait()
		ctx, end := context.WithCancel(b.Context())
		defer end()
		flood.Go(func() {
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for i := 0; ; {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				for range 10 {
					_, _ = k.GetCertificate(hello(fmt.Sprintf("x%d.example.org", i)))
					i++
				}
			}
		})
		run(b)
	})
}
