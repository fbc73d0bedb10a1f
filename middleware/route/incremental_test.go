package route

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"
	"weak"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
	"github.com/tricot-proxy/tricot/providers"
)

// A router compiles only what has changed. This file holds each of its tables against one that is compiled from nothing.

// nextSnapshot changes a few instances: some go, some come, some are others now or move to another place in the order.
func nextSnapshot(random *rand.Rand, instances []providers.Instance) []providers.Instance {
	fresh, _ := randomSnapshot(random)
	if random.IntN(8) == 0 {
		return fresh
	}
	next := slices.Clone(instances)
	for range random.IntN(4) {
		var any providers.Instance
		if len(fresh) > 0 {
			any = pick(random, fresh)
		}
		switch at := random.IntN(len(next) + 1); {
		case at == len(next) || random.IntN(4) == 0:
			if random.IntN(4) == 0 { // a malformed tag
				any.Tags = append(slices.Clone(any.Tags), "tricot-lb")
			}
			if random.IntN(4) == 0 { // which counts for wildcards
				any.Tags = append(slices.Clone(any.Tags), "tricot-on-demand-tls-ask http://"+any.ID)
			}
			next = slices.Insert(next, at, any)
		case random.IntN(2) == 0:
			next = slices.Delete(next, at, at+1)
		case random.IntN(2) == 0:
			next[at].Healthy = !next[at].Healthy
		case random.IntN(2) == 0:
			next[at].Tags = any.Tags
		default:
			random.Shuffle(len(next), func(i, j int) { next[i], next[j] = next[j], next[i] })
		}
	}
	return next
}

// told is all that can be seen of a route.
func told(route *pipeline.Route) string {
	text := fmt.Sprint(route.Host, route.Path, " ", route.Priority)
	for _, tier := range route.Tiers {
		text += " >"
		for _, b := range tier.Backends {
			text += " " + describe(b)
		}
	}
	return text
}

// counterparts are the things of two series of tables that stand for each other: backends, healths, turns. What is one and the
// same in one series, in one table or over several, must be so in the other.
type counterparts map[any]any

func (c counterparts) require(t *testing.T, a, b any, message string) {
	for pair := range map[[2]any]bool{{a, b}: true, {b, a}: true} {
		known, is := c[pair[0]]
		if !is {
			c[pair[0]] = pair[1]
			continue
		}
		require.True(t, known == pair[1], "%s: another %T", message, a)
	}
}

// requireSame says that nobody can tell two tables apart, as far as all that they list and some requests show.
func (c counterparts) requireSame(t *testing.T, random *rand.Rand, want, got *Table, here Location, message string) {
	t.Helper()
	require.Equal(t, want.Hosts(), got.Hosts(), message)
	require.Equal(t, want.Rules(), got.Rules(), message)
	for i, rule := range got.Rules() {
		is := want.Rules()[i].Backend
		c.require(t, is, rule.Backend, message)
		c.require(t, is.Health, rule.Backend.Health, message)
		require.Equal(t, want.Ask(rule.Host), got.Ask(rule.Host), message)
		require.True(t, got.Names(rule.Host), message)
	}
	for _, scheme := range []string{pipeline.HTTP, pipeline.HTTPS, pipeline.H2C} {
		for _, address := range []string{"10.0.0.1:80", "10.0.0.1:81", "10.0.0.2:80", "10.0.0.2:81"} {
			require.Equal(t, want.LeadsTo(scheme, address), got.LeadsTo(scheme, address), "%s: %s %s", message, scheme, address)
		}
	}

	same := func(a, b *pipeline.Route) {
		require.Equal(t, told(a), told(b), message)
		for i := range a.Tiers {
			c.require(t, a.Tiers[i].Turn, b.Tiers[i].Turn, message)
		}
	}
	next, stop := iter.Pull2(want.Routes())
	defer stop()
	for route, rules := range got.Routes() {
		expected, of, _ := next()
		same(expected, route)
		require.Equal(t, of, rules, message)
	}
	_, _, more := next()
	require.False(t, more, message)
	for range 10 {
		host, path := pick(random, modelRequests), pick(random, modelPaths)
		a, b := want.Find(host, path), got.Find(host, path)
		require.Equal(t, want.Explain(host, path, here).Verdicts, got.Explain(host, path, here).Verdicts, "%s: %s%s", message, host, path)
		for a != nil && b != nil {
			same(a, b)
			a, b = want.Next(a, host, path), got.Next(b, host, path)
		}
		require.True(t, a == nil && b == nil, "%s: %s%s", message, host, path)
	}
}

func checkIncremental(t *testing.T, seed uint64) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 3))
	router, whole, known := NewRouter(Options{}), new(Table), counterparts{}
	var instances []providers.Instance
	var here Location
	for step := range 8 {
		message := fmt.Sprintf("seed %d, step %d", seed, step)
		if step > 0 && random.IntN(4) == 0 {
			here = Location{Node: pick(random, modelNodes), Site: pick(random, modelSites)}
			router.Locate(here)
			whole, _ = Compile(instances, here, whole)
			known.requireSame(t, random, whole, router.Table(), here, message+", at another place")
		}
		instances = nextSnapshot(random, instances)
		router.Apply(instances)
		var problems []Problem
		whole, problems = Compile(instances, here, whole)
		known.requireSame(t, random, whole, router.Table(), here, message)

		slices.SortFunc(problems, compareProblems)
		require.Equal(t, slices.Compact(problems), router.Problems(), message)
	}
}

func TestRouter_ATableMadeFromTheOneBeforeIsTheSameAsOneMadeFromNothing(t *testing.T) {
	start := rand.Uint64()
	for seed := range uint64(100) {
		checkIncremental(t, start+seed)
		if t.Failed() {
			return
		}
	}
}

// many gives instances with a host each.
func many(n int) []providers.Instance {
	instances := make([]providers.Instance, n)
	for i := range instances {
		instances[i] = instance(fmt.Sprint(i), fmt.Sprintf("tricot h%d.com", i), fmt.Sprintf("tricot h%d.com/x", i))
		instances[i].Port = 1000 + i
	}
	return instances
}

func TestRouter_CompilesOnlyHostsThatAChangeTouches(t *testing.T) {
	router := NewRouter(Options{})
	instances := append(many(3000), instance("zone", "tricot *.com 1"))
	router.Apply(instances)
	before := router.Table()

	next := slices.Clone(instances)
	next[7].Healthy = false
	next = slices.Delete(next, 2000, 2001)
	router.Apply(append(next, instance("new", "tricot new.com", "tricot x.*.com", "tricot h9.com/new")))
	after := router.Table()
	for i := range 3000 {
		name := fmt.Sprintf("h%d.com", i)
		switch was, is := before.host(name), after.host(name); i {
		case 7, 9:
			assert.NotSame(t, was, is)
		case 2000:
			assert.Nil(t, is)
		default:
			require.Same(t, was, is, name)
			require.Same(t, before.Find(name, "/"), after.Find(name, "/"), name)
		}
	}
	assert.Equal(t, "zone", chain(after, "h2000.com", "/"))
	assert.Equal(t, "zone", chain(after, "h7.com", "/"))
	assert.Equal(t, "new", after.Find("x.new.com", "/").Tiers[0].Backends[0].ID)
	assert.Equal(t, "new", after.Find("h9.com", "/new").Tiers[0].Backends[0].ID)
}

func TestRouter_GrowsAndShrinksByManyHosts(t *testing.T) {
	router := NewRouter(Options{})
	all := many(3000)
	for _, n := range []int{0, 1, 100, 3000, 2990, 350, 3, 0, 3000} {
		router.Apply(all[:n])
		for i := range all {
			found := router.Table().Find(fmt.Sprintf("h%d.com", i), "/x")
			require.Equal(t, i < n, found != nil, "h%d.com of %d", i, n)
			if found != nil {
				require.Equal(t, fmt.Sprint(i), found.Tiers[0].Backends[0].ID)
			}
		}
		shards := len(router.Table().exact.all)
		assert.LessOrEqual(t, n, 2*hostsPerShard*shards)
		assert.LessOrEqual(t, shards, max(2, 16*n/hostsPerShard))
	}
}

func TestRouter_TablesThatWereReplacedAreFreedThoughTheNextSharesTheirHosts(t *testing.T) {
	router := NewRouter(Options{})
	instances := many(300)
	var replaced []weak.Pointer[Table]
	var gone []weak.Pointer[host]
	for n := range 20 {
		next := slices.Clone(instances)
		next[n].Healthy = false
		router.Apply(next)
		replaced = append(replaced, weak.Make(router.Table()))
		gone = append(gone, weak.Make(router.Table().host(fmt.Sprintf("h%d.com", n))))
	}
	router.Apply(instances)
	require.Eventually(t, func() bool {
		runtime.GC()
		return !slices.ContainsFunc(replaced, func(p weak.Pointer[Table]) bool { return p.Value() != nil }) &&
			!slices.ContainsFunc(gone, func(p weak.Pointer[host]) bool { return p.Value() != nil })
	}, 30*time.Second, time.Millisecond)
	runtime.KeepAlive(router)
}
