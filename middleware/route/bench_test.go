package route

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

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
