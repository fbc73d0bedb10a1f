package main_test

import (
	"crypto/x509"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/acme/acmetest"
	"github.com/tricot-proxy/tricot/certs/store"
	"github.com/tricot-proxy/tricot/certs/store/dir"
	"github.com/tricot-proxy/tricot/providers/consul/consultest"
)

// shortLife is a lifetime of which half leaves an order enough time.
const shortLife = 24 * time.Second

func TestACME_ThreeTricotsRenewShortLivedCertificatesAtHalfOfTheirLifeAndNoHandshakeFails(t *testing.T) {
	t.Parallel()
	// Where a machine is slow certificates live longer, so that an order takes a small part of their lives as elsewhere.
	profiles := map[string]time.Duration{"long": 90 * 24 * time.Hour}
	for life := shortLife; life <= 16*shortLife; life *= 2 {
		profiles[life.String()] = life
	}
	ca, agent := acmetest.Start(t, acmetest.Options{Profiles: profiles}), consultest.Dev(t, consultest.Options{})
	// Pebble suggests any time of such a short life.
	ca.Fail(acmetest.Fault{Endpoint: acmetest.RenewalInfo, Status: http.StatusNotFound})
	var names, tags []string
	for i := range 10 {
		name := fmt.Sprintf("name-%d.example.com", i)
		names, tags = append(names, name), append(tags, "tricot "+name)
	}
	web := naming(t, "web").service(t, "web", tags...)
	prepare := func(prefix, profile string) *proxy {
		return newProxy(t, onACME(ca, config{
			"certs.store": "consul", "consul.host": agent.HTTP, "consul.snapshot_path": "none", "consul.kv_prefix": prefix,
			"acme.profile": profile, "certs.parallel": len(names), "middleware.access_log.enabled": false,
		}), web)
	}
	trial := prepare("trial/", "long")
	validateAt(ca, trial)
	trial.launch()
	trial.awaitListening()
	begin := time.Now()
	trial.awaitSigned(ca, names...)
	life := shortLife
	for life < 16*shortLife && life < 8*time.Since(begin) {
		life *= 2
	}
	require.Equal(t, 0, trial.stop())

	before := ca.Orders()
	all := []*proxy{prepare("tricot/", life.String()), prepare("tricot/", life.String()), prepare("tricot/", life.String())}
	validateAt(ca, all...)
	for _, p := range all {
		p.launch()
	}
	for _, p := range all {
		p.awaitListening()
		p.awaitSigned(ca, names...)
	}
	seen := &sightings{by: map[string]map[string]*x509.Certificate{}}
	stop := make(chan struct{})
	var clients sync.WaitGroup
	end := sync.OnceFunc(func() {
		close(stop)
		clients.Wait()
	})
	defer end()
	for _, p := range all {
		client := p.clientTrusting(t, http1, ca.Roots())
		client.Transport.(*http.Transport).DisableKeepAlives = true // each request with a handshake of its own
		clients.Go(func() {
			pause := time.NewTicker(10 * time.Millisecond)
			defer pause.Stop()
			for i := 0; ; i++ {
				name := names[i%len(names)]
				if !assert.NoError(t, seen.visit(client, name), name) {
					return
				}
				select {
				case <-pause.C:
				case <-stop:
					return
				}
			}
		})
	}
	lives := 1 + max(1, int(4-life/shortLife)) // the first, and up to three renewals
	eventually(t, time.Duration(lives)*life, func() bool {
		return !slices.ContainsFunc(names, func(name string) bool { return len(seen.of(name)) < lives }) || t.Failed()
	}, "not all certificates are renewed")
	end()

	orders, renewed := 0, ca.Orders()
	for _, name := range names {
		orders += renewed[name] - before[name]
		certificates := seen.of(name)
		for i := 1; i < len(certificates); i++ {
			last := certificates[i-1]
			half := last.NotBefore.Add(last.NotAfter.Sub(last.NotBefore) / 2)
			assert.WithinRange(t, certificates[i].NotBefore, half.Add(-time.Second), last.NotAfter, name) // it has no fractions
		}
	}
	t.Logf("%d requests with a lifetime of %v: %d certificates for %d names by %d orders", seen.visits, life, seen.count(),
		len(names), orders)
	assert.LessOrEqual(t, orders, seen.count()+len(names), "one order for each certificate; of each name one may be on its way")
	for _, p := range all {
		assert.Empty(t, p.logLines("expired"))
	}
}

// sightings are the certificates that clients were shown.
type sightings struct {
	mu     sync.Mutex
	by     map[string]map[string]*x509.Certificate // by name and serial number
	visits int
}

// visit makes a request and notes the certificate of the connection, which the client has verified.
func (s *sightings) visit(client *http.Client, name string) error {
	response, err := client.Get("https://" + name + "/")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if string(body) != "web" {
		return fmt.Errorf("%s: %s", response.Status, body)
	}
	leaf := response.TLS.PeerCertificates[0]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.visits++
	if s.by[name] == nil {
		s.by[name] = map[string]*x509.Certificate{}
	}
	s.by[name][leaf.SerialNumber.String()] = leaf
	return nil
}

// of gives those of a name in the order in which they were issued.
func (s *sightings) of(name string) []*x509.Certificate {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.by[name]), func(a, b *x509.Certificate) int { return a.NotBefore.Compare(b.NotBefore) })
}

func (s *sightings) count() (sum int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, certificates := range s.by {
		sum += len(certificates)
	}
	return sum
}

// A certificate of ninety days is renewed on its first one, because the CA says so. The instance that is told so has just
// started, and looks at what is due again when the store changes.
func TestACME_TheCAsRenewalInformationBringsARenewalForward(t *testing.T) {
	t.Parallel()
	ca := acmetest.Start(t, acmetest.Options{})
	web := naming(t, "web").service(t, "web", "tricot app.example.com", "tricot other.example.com")
	first := startOnACME(t, ca, nil, web)
	was := first.awaitSigned(ca, "app.example.com")
	other := first.awaitSigned(ca, "other.example.com")
	require.Equal(t, 0, first.stop())
	const why = "https://ca.example.com/incident"
	ca.SetRenewalWindow(was, time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour), why)

	second := newProxyIn(t, first.dir, onACME(ca, nil), web)
	validateAt(ca, second)
	second.launch()
	second.awaitListening()
	second.awaitLog("the CA explains when a certificate is to be renewed", "name=app.example.com", why)
	touch(t, second.certsDir(), "app.example.com")
	second.awaitOther(ca, was, "app.example.com")
	assert.Len(t, ca.Replaced(), 1, "an order says which certificate it replaces")
	second.shows(other.Raw, "other.example.com")
	assert.Equal(t, map[string]int{"app.example.com": 2, "other.example.com": 1}, ca.Orders())
}

// touch writes a certificate of a directory store anew, with a space more.
func touch(t *testing.T, certsDir, name string) {
	t.Helper()
	in, err := dir.Open(dir.Options{Dir: certsDir})
	require.NoError(t, err)
	record, err := in.Load(t.Context(), "certs/"+name)
	require.NoError(t, err)
	_, err = in.Save(t.Context(), store.Record{Key: record.Key, Value: append(record.Value, ' '), Version: record.Version})
	require.NoError(t, err)
}
