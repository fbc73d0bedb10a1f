package main_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/acme/acmetest"
	"github.com/tricot-proxy/tricot/providers/consul/consultest"
)

func TestACME_ThreeTricotsOrderEachOfAHundredCertificatesOnceAndAllServeThem(t *testing.T) {
	t.Parallel()
	ca := acmetest.Start(t, acmetest.Options{})
	agent := consultest.Dev(t, consultest.Options{})
	web := naming(t, "web")
	var names, tags []string
	for i := range 100 {
		name := fmt.Sprintf("name-%d.example.com", i)
		names, tags = append(names, name), append(tags, "tricot "+name)
	}
	var all []*proxy
	for range 3 {
		all = append(all, newProxy(t, onConsul(agent, onACME(ca, config{"certs.parallel": 8}))))
	}
	asked := validateAt(ca, all...)
	for _, p := range all {
		p.launch()
	}
	for _, p := range all {
		p.awaitListening()
	}
	web.registerOn(t, agent.Client(), "machine", "", "web", tags...)

	roots := ca.Roots()
	var serving sync.WaitGroup
	defer serving.Wait()
	var mu sync.Mutex
	var slowest time.Duration
	eachKey(t, agent, "tricot/certs/", len(names), func(key string) {
		written, name := time.Now(), strings.TrimPrefix(key, "tricot/certs/")
		for _, p := range all {
			serving.Go(func() {
				retry := time.NewTicker(25 * time.Millisecond)
				defer retry.Stop()
				_, err := p.handshake(name, roots)
				for ; err != nil && time.Since(written) < 2*patience; _, err = p.handshake(name, roots) {
					<-retry.C
				}
				assert.NoError(t, err, "%s is not served", name)
				mu.Lock()
				defer mu.Unlock()
				slowest = max(slowest, time.Since(written))
			})
		}
	})
	serving.Wait()
	t.Logf("each is served within %v of its write", slowest) // a second, unless the machine is slow
	awaitIssued(t, names, all...)

	assert.Equal(t, once(names...), ca.Orders())
	assert.Equal(t, 1, ca.Accounts())
	issued, orderers := map[string]int{}, 0
	for _, p := range all {
		lines := p.logLines("certificate issued")
		if len(lines) > 0 {
			orderers++
		}
		for _, name := range names {
			ours := len(p.logLines("certificate issued", "name="+name+" "))
			issued[name] += ours
			if ours > 0 {
				assert.True(t, slices.ContainsFunc(asked.of(name), func(by *proxy) bool { return by != p }),
					"%s was validated by no instance but the one that ordered it", name)
			}
		}
		assert.Empty(t, p.logLines("ERROR"))
	}
	assert.Equal(t, once(names...), issued)
	assert.Equal(t, 3, orderers, "the instances share the work")
	for _, name := range []string{names[0], names[99]} {
		first, err := all[0].handshake(name, roots)
		require.NoError(t, err)
		for _, p := range all[1:] {
			other, err := p.handshake(name, roots)
			require.NoError(t, err)
			assert.Equal(t, first.Raw, other.Raw, name)
		}
	}
	keys, _, err := agent.Client().KV().Keys("tricot/challenge/", "", nil)
	require.NoError(t, err)
	assert.Empty(t, keys, "challenges stay in the store")
}

// eachKey calls with each key below a prefix as soon as it is there, until there have been so many. It waits for the next one
// with patience.
func eachKey(t *testing.T, agent *consultest.Agent, prefix string, count int, found func(key string)) {
	t.Helper()
	index, known := uint64(0), map[string]bool{}
	end := time.Now().Add(2 * patience)
	for len(known) < count {
		require.True(t, time.Now().Before(end), "only %d of %d keys are there below %s", len(known), count, prefix)
		options := (&api.QueryOptions{WaitIndex: index, WaitTime: time.Second}).WithContext(t.Context())
		keys, meta, err := agent.Client().KV().Keys(prefix, "", options)
		require.NoError(t, err)
		index = meta.LastIndex
		for _, key := range keys {
			if !known[key] {
				known[key], end = true, time.Now().Add(2*patience)
				found(key)
			}
		}
	}
}

// The instance that answers has no rule for the name and orders nothing: what it knows of the challenge is in the store.
func TestACME_AChallengeIsAnsweredByAnInstanceThatHasNotOrdered(t *testing.T) {
	t.Parallel()
	ca := acmetest.Start(t, acmetest.Options{})
	agent := consultest.Dev(t, consultest.Options{})
	both := onACME(ca, config{
		"certs.store": "consul", "consul.host": agent.HTTP, "consul.snapshot_path": "none",
	})
	orders := newProxy(t, both, naming(t, "web").service(t, "web", "tricot app.example.com"))
	answers := newProxy(t, both)
	asked := validateAt(ca, answers)
	answers.launch()
	answers.awaitListening()
	orders.launch()
	orders.awaitListening()
	orders.awaitSigned(ca, "app.example.com")
	assert.NotEmpty(t, asked.of("app.example.com"))
	answers.awaitLog("request", "/.well-known/acme-challenge/", "status=200")
	assert.Empty(t, orders.logLines("/.well-known/acme-challenge/"))
	assert.Empty(t, answers.logLines("certificate issued"))
	assert.Equal(t, once("app.example.com"), ca.Orders())
}

// On Consul it takes as long as Consul waits for a sign of life: up to twice the session's TTL of 15 s.
func TestACME_AnotherInstanceFinishesWhatOneThatIsKilledHadBegun(t *testing.T) {
	t.Parallel()
	for store, place := range map[string]func(t *testing.T) config{
		"dir": func(t *testing.T) config { return config{"certs.dir": t.TempDir()} },
		"consul": func(t *testing.T) config {
			agent := consultest.Dev(t, consultest.Options{})
			return config{"certs.store": "consul", "consul.host": agent.HTTP, "consul.snapshot_path": "none"}
		},
	} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			ca := acmetest.Start(t, acmetest.Options{})
			at := place(t)
			web := naming(t, "web")
			one := web.service(t, "web", "tricot app.example.com")
			two := web.service(t, "web", "tricot app.example.com", "tricot other.example.com")

			killed := newProxy(t, onACME(ca, at), one)
			heirs := []*proxy{newProxy(t, onACME(ca, at), two), newProxy(t, onACME(ca, at), two)}
			validateAt(ca, killed)
			ca.Fail(acmetest.Fault{Endpoint: acmetest.Finalize, Times: 1, Hang: true})
			killed.launch()
			killed.eventually(func() bool { return ca.Requests(acmetest.Finalize) == 1 }, "the order is not finalized")
			validateAt(ca, heirs...)
			for _, heir := range heirs {
				heir.launch()
			}
			for _, heir := range heirs {
				heir.awaitListening()
				heir.awaitSigned(ca, "other.example.com") // which waits for nobody
			}
			assert.Equal(t, once("app.example.com", "other.example.com"), ca.Orders())

			killed.signal(syscall.SIGKILL)
			<-killed.ended
			for _, heir := range heirs {
				eventually(t, 4*patience, func() bool {
					_, err := heir.handshake("app.example.com", ca.Roots())
					return err == nil
				}, "nobody makes the certificate in its place")
			}
			awaitIssued(t, []string{"app.example.com"}, heirs...)
			assert.Equal(t, map[string]int{"app.example.com": 2, "other.example.com": 1}, ca.Orders(),
				"the order of the instance that is dead, and one more")
			assert.Equal(t, 1, ca.Accounts())
			issued := 0
			for _, heir := range heirs {
				issued += len(heir.logLines("certificate issued", "name=app.example.com "))
				assert.Empty(t, heir.logLines("ERROR"))
			}
			assert.Equal(t, 1, issued)
		})
	}
}
