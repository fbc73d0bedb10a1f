package route

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tricot-proxy/tricot/pipeline"
	"github.com/tricot-proxy/tricot/providers"
)

// large gives 50,000 services with two rules for a host of their own, and a wildcard rule for a hundred zones.
func large() []providers.Instance {
	instances := make([]providers.Instance, 0, 50_100)
	for n := range 50_000 {
		instances = append(instances, providers.Instance{
			ID: fmt.Sprint("web-", n), Service: "web", Address: "10.0.0.1", Port: n, Node: fmt.Sprint("n", n%100), Healthy: true,
			Tags: []string{fmt.Sprintf("tricot %s", largeHost(n)), fmt.Sprintf("tricot %s/api/v1", largeHost(n))},
		})
	}
	for n := range 100 {
		instances = append(instances, instance(fmt.Sprint("zone-", n), fmt.Sprintf("tricot *.zone%d.example.com 1", n)))
	}
	return instances
}

func largeHost(n int) string { return fmt.Sprintf("app%d.zone%d.example.com", n, n%100) }

func BenchmarkCompile_100000Rules(b *testing.B) {
	instances := large()
	b.ReportAllocs()
	for b.Loop() {
		Compile(instances, Location{Node: "n1"}, nil)
	}
}

func BenchmarkCompile_100000RulesAfterAnother(b *testing.B) {
	instances := large()
	table, _ := Compile(instances, Location{Node: "n1"}, nil)
	b.ReportAllocs()
	for b.Loop() {
		table, _ = Compile(instances, Location{Node: "n1"}, table)
	}
}

// benchmarkFind asks for one host after the other. They are strings of their own, as a request's are.
func benchmarkFind(b *testing.B, table *Table, path string, host func() string) {
	hosts := make([]string, 1<<16)
	for i := range hosts {
		hosts[i] = strings.Clone(host())
	}
	b.ReportAllocs()
	var found *pipeline.Route
	i := 0
	for b.Loop() {
		found = table.Find(hosts[i&(len(hosts)-1)], path)
		i++
	}
	if found == nil {
		b.Fatal("no route")
	}
}

// busy picks hosts as clients do: a few of them get most of the requests.
func busy() func() int {
	zipf := rand.NewZipf(rand.New(rand.NewPCG(1, 2)), 1.2, 1, 49_999)
	return func() int { return int(zipf.Uint64()) }
}

func BenchmarkFind_ExactHostAmong100000Rules(b *testing.B) {
	pick := busy()
	benchmarkFind(b, compile(b, Location{}, large()...), "/api/v1/users", func() string { return largeHost(pick()) })
}

// Every host is as likely as any other: what this measures is the memory.
func BenchmarkFind_AnyExactHostAmong100000Rules(b *testing.B) {
	table := compile(b, Location{}, large()...)
	benchmarkFind(b, table, "/api/v1/users", func() string { return largeHost(rand.IntN(50_000)) })
}

func BenchmarkFind_WildcardAmong100000Rules(b *testing.B) {
	pick := busy()
	benchmarkFind(b, compile(b, Location{}, large()...), "/", func() string {
		n := pick()
		return fmt.Sprintf("x%d.zone%d.example.com", n, n%100)
	})
}

func BenchmarkFind_HostWithAHundredPaths(b *testing.B) {
	var tags []string
	for n := range 100 {
		tags = append(tags, fmt.Sprintf("tricot a.com/service%d", n))
	}
	benchmarkFind(b, compile(b, Location{}, instance("a", tags...)), "/service7/x", func() string { return "a.com" })
}

// Requests come while the services change again and again: ns/op is a swap, slowest-ms what the slowest request in the
// meantime had to wait for its look-up and over-5ms how many took longer than that, as it would be on a connection: the
// scheduler's share is in it. So a machine that is busy otherwise shows more. "at rest" is the same without a change: ns/op
// is 500 look-ups; and "collecting" without a change while the garbage collector runs again and again.
func BenchmarkRouter_100000RulesUnderLoad(b *testing.B) {
	one, other := large(), large()[1:]
	elsewhere := []Location{{Node: "n1"}, {Node: "n2"}}
	for _, c := range []struct {
		name string
		op   func(router *Router, n int, passed <-chan struct{})
	}{
		{"at rest", func(_ *Router, _ int, passed <-chan struct{}) { <-passed }},
		{"collecting", func(*Router, int, <-chan struct{}) { runtime.GC() }},
		{"one instance changing", func(router *Router, n int, _ <-chan struct{}) {
			router.Apply([][]providers.Instance{one, other}[n%2])
		}},
		{"all changing", func(router *Router, n int, _ <-chan struct{}) { router.Locate(elsewhere[n%2]) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			router := NewRouter(Options{})
			router.Apply(one)
			stop, passed := make(chan struct{}), make(chan struct{}, 1)
			var requests sync.WaitGroup
			var all, late, slowest atomic.Int64
			for range 4 * runtime.GOMAXPROCS(0) {
				requests.Go(func() {
					pick := busy()
					for next := range time.Tick(time.Millisecond) {
						select {
						case <-stop:
							return
						default:
						}
						if router.Table().Find(largeHost(1+pick()%49_999), "/api/v1/users") == nil {
							b.Error("no route")
							return
						}
						took := int64(time.Since(next))
						if all.Add(1)%500 == 0 {
							select {
							case passed <- struct{}{}:
							default: // nobody waits
							}
						}
						if took > int64(5*time.Millisecond) {
							late.Add(1)
						}
						for was := slowest.Load(); took > was && !slowest.CompareAndSwap(was, took); was = slowest.Load() {
						}
					}
				})
			}
			b.ReportAllocs()
			for n := 1; b.Loop(); n++ {
				c.op(router, n, passed)
			}
			close(stop)
			requests.Wait()
			b.ReportMetric(float64(slowest.Load())/1e6, "slowest-ms")
			b.ReportMetric(float64(late.Load())/float64(all.Load()), "over-5ms/request")
		})
	}
}
