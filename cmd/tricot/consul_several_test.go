package main_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/providers/consul/consultest"
)

func TestConsul_SeveralTricotsShareAnAuthorityAndEachCertificate(t *testing.T) {
	t.Parallel()
	for _, tricots := range []int{2, 3} {
		t.Run(fmt.Sprint(tricots), func(t *testing.T) {
			t.Parallel()
			agent := consultest.Dev(t, consultest.Options{})
			web := naming(t, "web")
			names := []string{"a.test", "b.test", "c.test", "d.test"}
			for _, name := range names {
				web.registerOn(t, agent.Client(), "machine", "", name, "tricot "+name)
			}
			var all []*proxy
			for range tricots { // at once: all of them find that nothing is there
				p := newProxy(t, onConsul(agent, nil))
				p.launch()
				all = append(all, p)
			}
			for _, name := range names {
				for _, p := range all {
					p.awaitListening()
					p.awaitCertificate(name)
				}
			}
			// One that comes while all of them run.
			names = append(names, "late.test")
			web.registerOn(t, agent.Client(), "machine", "", "late.test", "tricot late.test")
			awaitKey(t, agent, "tricot/certs/late.test")
			written := time.Now()
			for _, p := range all {
				p.awaitCertificate("late.test")
			}
			t.Logf("all serve it %v after its write", time.Since(written)) // a second, unless the machine is slow
			awaitIssued(t, names, all...)

			authorities, issued := 0, map[string]int{}
			for _, p := range all {
				authorities += len(p.logLines("local authority made"))
				for _, name := range names {
					issued[name] += len(p.logLines("certificate issued", "name="+name+" "))
					assert.Equal(t, serialOf(t, all[0], name), serialOf(t, p, name), name)
				}
			}
			assert.Equal(t, 1, authorities)
			assert.Equal(t, map[string]int{"a.test": 1, "b.test": 1, "c.test": 1, "d.test": 1, "late.test": 1}, issued)
		})
	}
}

// awaitIssued waits until the logs of these have a line for each name that its certificate was issued: it comes after the
// write, which Follow tells of at once.
func awaitIssued(t *testing.T, names []string, all ...*proxy) {
	t.Helper()
	for _, name := range names {
		eventually(t, 2*patience, func() bool {
			return slices.ContainsFunc(all, func(p *proxy) bool { return len(p.logLines("certificate issued", "name="+name+" ")) > 0 })
		}, "nobody says that the certificate for "+name+" was issued")
	}
}

// awaitKey waits until there is a key in the store, by a blocking query.
func awaitKey(t *testing.T, agent *consultest.Agent, key string) {
	t.Helper()
	index := uint64(0)
	for range 100 {
		options := (&api.QueryOptions{WaitIndex: index, WaitTime: patience}).WithContext(t.Context())
		pair, meta, err := agent.Client().KV().Get(key, options)
		require.NoError(t, err)
		if pair != nil {
			return
		}
		index = meta.LastIndex
	}
	require.FailNow(t, "there is no "+key)
}

func TestConsul_TheNearestBackendAnswers(t *testing.T) {
	t.Parallel()
	server := consultest.Cluster(t, 1, consultest.Options{Site: "north"})
	north, south := server.Agents[0], server.Join(consultest.Options{Site: "south"})
	client := server.Agents[0].Client()
	// The node "edge" is at first in the north, and has no backends of its own.
	_, err := client.Catalog().Register(placed("edge", "north"), nil)
	require.NoError(t, err)

	for balance, tags := range map[string][]string{
		"near":   nil,
		"site":   {"tricot-site-lb"},
		"global": {"tricot-global-lb"},
	} {
		tags = append(tags, "tricot "+balance+".test")
		naming(t, "1").registerWith(t, north, balance+"-1", tags...)
		naming(t, "2").registerOn(t, client, "second", "north", balance+"-2", tags...)
		naming(t, "3").registerWith(t, south, balance+"-3", tags...)
	}
	proxies := map[string]*proxy{}
	for name, config := range map[string]config{
		"north": onConsul(north, config{"middleware.redirect.enabled": false}),
		"south": onConsul(south, config{"middleware.redirect.enabled": false}),
		"edge":  onConsul(south, config{"middleware.redirect.enabled": false, "node_name": "edge"}),
		"set":   onConsul(south, config{"middleware.redirect.enabled": false, "node_name": "edge", "site": "south"}),
	} {
		proxies[name] = newProxy(t, config)
		proxies[name].launch()
	}
	answers := func(from, balance, want string) {
		t.Helper()
		p := proxies[from]
		client, got := p.plainClient(t), ""
		eventually(t, patience, func() bool {
			got = bodies(t, client, "http://"+balance+".test/")
			return got == want
		}, fmt.Sprintf("from %s, %s.test is answered by %s and not by %s", from, balance, got, want))
	}
	for _, p := range proxies {
		p.awaitListening()
	}
	answers("north", "near", "1")
	answers("north", "site", "12")
	answers("north", "global", "123")
	answers("south", "near", "3")
	answers("south", "site", "3")
	answers("south", "global", "123")
	answers("edge", "near", "12")
	answers("edge", "site", "12")
	answers("edge", "global", "123")
	answers("set", "near", "3")

	_, err = client.Catalog().Register(placed("edge", "south"), nil)
	require.NoError(t, err)
	answers("edge", "near", "3")
	answers("edge", "site", "3")
	answers("edge", "global", "123")
	_, err = client.Catalog().Register(placed("second", "south"), nil) // a backend moves
	require.NoError(t, err)
	answers("edge", "near", "23")
	answers("north", "site", "1")
}

// bodies asks several times, and gives the different answers, sorted.
func bodies(t *testing.T, client *http.Client, url string) string {
	t.Helper()
	got := map[string]bool{}
	for range 12 {
		got[get(t, client, url).body] = true
	}
	all := ""
	for _, body := range slices.Sorted(maps.Keys(got)) {
		all += body
	}
	return all
}
