package certs_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs"
)

// An endpoint is asked about names. It is a server's handler, and in bubbles, where no time passes while a socket is
// read, the transport itself.
type endpoint struct {
	mu      sync.Mutex
	answer  func(ctx context.Context, name string) int // the status; nil: 200
	asked   []string                                   // names
	queries []string
	at      []time.Time
	running int
	most    int // at once
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("domain")
	e.mu.Lock()
	e.asked, e.queries, e.at = append(e.asked, name), append(e.queries, r.URL.RawQuery), append(e.at, time.Now())
	e.running++
	e.most = max(e.most, e.running)
	answer := e.answer
	e.mu.Unlock()
	status := http.StatusOK
	if answer != nil {
		status = answer(r.Context(), name)
	}
	e.mu.Lock()
	e.running--
	e.mu.Unlock()
	if status == http.StatusFound {
		w.Header().Set("Location", "/login")
	}
	w.WriteHeader(status)
}

func (e *endpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

func (e *endpoint) on(answer func(ctx context.Context, name string) int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answer = answer
}

func (e *endpoint) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.asked)
}

// names gives what it was asked about.
func (e *endpoint) names() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.asked)
}

// always answers with a status.
func always(status int) func(context.Context, string) int {
	return func(context.Context, string) int { return status }
}

// listen makes the endpoint a server, and gives its URL.
func (e *endpoint) listen(t testing.TB) string {
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	return server.URL
}

// simulated are the options and the wildcard for a bubble.
func (p *place) simulated(e *endpoint) (certs.Options, certs.Wanted) {
	return certs.Options{AskTransport: e}, certs.Wanted{Host: "*.example.com", Ask: "http://ask.test/"}
}

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
	assert.Equal(t, 1, p.issuer.count("app.example.com"))
	assert.NotEmpty(t, p.record("app.example.com").Value)
	assert.Equal(t, 1, p.log.count("a name is wanted on demand"))
	assert.Zero(t, p.log.count("key="), "a secret, perhaps")

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
		assert.Empty(t, p.issuer.names())
		e.on(nil)
		p.served(k, "app.example.com")
		p.await(k, "app.example.com")
		assert.Positive(t, p.log.count("an endpoint cannot be asked"))
		assert.Equal(t, p.log.count("an endpoint cannot be asked"), p.log.count("can be asked about names on demand again"))
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
	assert.Empty(t, p.issuer.names())
}

func TestOnDemand_SurvivesAnEndpointThatIsAway(t *testing.T) {
	p := newPlace(t, 0)
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	k := p.keeperOf(certs.Options{Ask: server.URL + "/?key=secret"}, hosts("*.example.com", "known.org")...)
	p.served(k, "app.example.com")
	p.eventually(func() bool { return p.log.count("an endpoint cannot be asked") == 1 })
	assert.Equal(t, 1, p.log.count("refused"))
	assert.Zero(t, p.log.count("secret"))
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
		assert.Equal(t, 2, p.issuer.count("app.example.com"))
		assert.Zero(t, p.log.count("name=bad.example.com"), "nobody wants it")

		// Refused: it is served while it is valid, and not renewed.
		e.on(always(http.StatusForbidden))
		<-time.After(40 * time.Minute)
		_, trusted = p.served(k, "app.example.com")
		assert.True(t, trusted)
		assert.Equal(t, 2, p.issuer.count("app.example.com"))
		assert.Equal(t, 1, p.log.count("is not renewed: the endpoint refuses the name"))
		<-time.After(25 * time.Minute)
		_, trusted = p.served(k, "app.example.com")
		assert.False(t, trusted)
		assert.Equal(t, 1, p.log.count("did not allow to renew has expired"))

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
		assert.Equal(t, 1, p.issuer.count("app.example.com"))
		assert.GreaterOrEqual(t, e.count(), 4)
		assert.Less(t, e.count(), 10)
		assert.Equal(t, 1, p.log.count("an endpoint cannot be asked"))
		e.on(nil)
		<-time.After(55 * time.Minute)
		assert.Equal(t, 2, p.issuer.count("app.example.com"))
	})
}

func TestOnDemand_TriesAgainByItselfAndAsksAnewAfterAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, 0)
		e := &endpoint{}
		p.issuer.on(no)
		k := p.keeperOf(p.simulated(e))
		p.served(k, "app.example.com")
		<-time.After(50 * time.Minute)
		assert.Equal(t, 1, e.count())
		assert.Greater(t, p.issuer.count("app.example.com"), 6)
		_, there := p.failure("app.example.com")
		assert.True(t, there)
		e.on(always(http.StatusForbidden))
		<-time.After(100 * time.Minute)
		assert.Equal(t, 2, e.count(), "the customer has left: nothing is tried any more")
		tried := p.issuer.count("app.example.com")
		<-time.After(100 * time.Minute)
		assert.Equal(t, 2, e.count())
		assert.Equal(t, tried, p.issuer.count("app.example.com"))
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
	p.eventually(func() bool { _, err := handshake(k, "app.example.com"); return err != nil })
	k.Want([]certs.Wanted{{Host: "*.example.com", Ask: url}})
	p.eventually(func() bool { _, err := handshake(k, "app.example.com"); return err == nil })
	p.await(k, "app.example.com")
	assert.Equal(t, 1, e.count(), "the store has it still")

	// A rule of its own needs no endpoint.
	k.Want(hosts("own.org", "app.example.com"))
	p.eventually(func() bool { _, err := handshake(k, "own.org"); return err == nil })
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
	assert.Equal(t, 1, p.issuer.count("app.example.com"))
}

func TestOnDemand_OrdersNothingThatTheIssuerRefusesButByTheFallback(t *testing.T) {
	p := newPlace(t, 0)
	e := &endpoint{}
	k := p.keeperOf(certs.Options{Ask: e.listen(t), Issuer: picky{p.issuer}, Fallback: p.issuer.Issuer}, hosts("*.test")...)
	p.served(k, "app.test")
	p.await(k, "app.test")
	assert.Empty(t, p.issuer.names())
}

func TestGetCertificate_AllocatesNothingWhateverIsAskedFor(t *testing.T) {
	p := newPlace(t, 0)
	e := &endpoint{answer: always(http.StatusForbidden)}
	k := p.keeperOf(certs.Options{Ask: e.listen(t)}, hosts("app.example.com", "*.example.com", "*.*.example.com", "*.example.org")...)
	p.await(k, "app.example.com")
	p.served(k, "refused.example.com")
	p.eventually(func() bool { return e.count() == 1 })
	for _, name := range []string{"app.example.com", "refused.example.com", "foreign.test", "no_name.example.com", ""} {
		hello := hello(name)
		assert.Zero(t, testing.AllocsPerRun(100, func() { _, _ = k.GetCertificate(hello) }), name)
	}
}

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
		p.issuer.on(func(_ context.Context, name string) error {
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
		assert.Equal(t, 1, p.log.count("more new names are asked for"))
		p.await(k, "known.org")

		// The flood is over, and somebody new comes.
		<-time.After(8 * time.Minute)
		asked := e.count()
		assert.LessOrEqual(t, asked, (lasted+8)*certs.DefaultNewNames)
		p.issuer.on(nil)
		p.served(k, "new.example.com")
		p.await(k, "new.example.com")
		assert.Equal(t, asked+1, e.count())
		assert.Equal(t, 1, p.log.count("no longer too many"))
		assert.LessOrEqual(t, p.log.count("\n"), 4*asked+20, "nor does it fill the log")
	})
}

// The handshakes for known names, while others flood the same wildcard with names that nobody has heard of.
func BenchmarkGetCertificate_InAFlood(b *testing.B) {
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
	b.Run("flooding", func(b *testing.B) {
		i := 0
		b.ReportAllocs()
		flood := make([]*tls.ClientHelloInfo, 10_000)
		for i := range flood {
			flood[i] = hello(fmt.Sprintf("x%d.example.org", i))
		}
		for b.Loop() {
			_, _ = k.GetCertificate(flood[i%len(flood)])
			i++
		}
	})
	b.Run("flooded", func(b *testing.B) {
		var flood sync.WaitGroup
		defer flood.Wait()
		end := make(chan struct{})
		defer close(end)
		flood.Go(func() { // ten thousand handshakes in a second, which is more than a machine can finish
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for i := 0; ; {
				select {
				case <-end:
					return
				case <-tick.C:
				}
				for range 10 {
					_, _ = k.GetCertificate(hello(fmt.Sprintf("y%d.example.org", i)))
					i++
				}
			}
		})
		run(b)
	})
	assert.LessOrEqual(b, e.count(), 10*certs.DefaultNewNames)
}
