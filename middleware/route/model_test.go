package route

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
	"github.com/tricot-proxy/tricot/providers"
	"github.com/tricot-proxy/tricot/providers/tag"
)

// This file holds the table against section 3 of design.md, put down as it reads: for each request go through all rules
// of all instances, keep those that match, sort them, and cut the result into groups and tiers.

// modelRule is one rule as the generator thought of it; the table sees only the tag that it wrote down for it.
type modelRule struct {
	tag.Rule
	balance  tag.Balance
	instance providers.Instance
	headers  string
}

// modelRoute is a group: its tiers are lists of what describe gives for a backend.
type modelRoute struct {
	Host, Path string
	Priority   int
	Tiers      [][]string
}

// modelRoutes gives all groups that a request may be served by, best first; only the best one without tiers where no
// instance can serve.
func modelRoutes(rules []modelRule, here Location, host, path string) []modelRoute {
	var matching []modelRule
	for _, r := range rules {
		if modelHostMatches(r.Host, host) && strings.HasPrefix(path, r.Path) {
			matching = append(matching, r)
		}
	}

	exact := func(r modelRule) bool { return !strings.Contains(r.Host, "*") }
	sameNode := func(r modelRule) bool {
		return r.balance == tag.Nearest && here.Node != "" && r.instance.Node == here.Node
	}
	sameSite := func(r modelRule) bool {
		return r.balance != tag.Global && here.Site != "" && r.instance.Site == here.Site
	}
	slices.SortFunc(matching, func(a, b modelRule) int {
		return cmp.Or(
			higher(a.Priority, b.Priority),        // 1. the highest priority
			higher(len(a.Path), len(b.Path)),      // 2. the longest path prefix
			first(exact(a), exact(b)),             // 3. an exact host before a wildcard,
			higher(len(a.Host), len(b.Host)),      //    a longer wildcard before a shorter
			strings.Compare(a.Host, b.Host),       //    (equally long ones by their text)
			first(sameNode(a), sameNode(b)),       // 4. the same node
			first(sameSite(a), sameSite(b)),       // 5. the same site
			strings.Compare(a.order(), b.order()), // 6. the order of the turns
		)
	})

	var can, cannot []modelRoute
	for len(matching) > 0 {
		group := takeWhileSame(&matching, func(r modelRule) string {
			return fmt.Sprint(r.Priority, r.Path, " ", r.Host)
		})
		route := modelRoute{Host: group[0].Host, Path: group[0].Path, Priority: group[0].Priority}
		for len(group) > 0 {
			var tier []string
			for _, r := range takeWhileSame(&group, func(r modelRule) string { return fmt.Sprint(sameNode(r), sameSite(r)) }) {
				if r.instance.Healthy && !slices.Contains(tier, r.describe()) {
					tier = append(tier, r.describe())
				}
			}
			if tier != nil {
				route.Tiers = append(route.Tiers, tier)
			}
		}
		if route.Tiers != nil {
			can = append(can, route)
		} else {
			cannot = append(cannot, route)
		}
	}
	if can == nil && cannot != nil {
		return cannot[:1]
	}
	return can
}

func modelHostMatches(pattern, host string) bool {
	switch {
	case pattern == "":
		return host == ""
	case pattern[0] == '*':
		return modelHostMatches(pattern[1:], host) || host != "" && modelHostMatches(pattern, host[1:])
	default:
		return host != "" && pattern[0] == host[0] && modelHostMatches(pattern[1:], host[1:])
	}
}

func higher(a, b int) int { return b - a }

func first(a, b bool) int {
	switch {
	case a && !b:
		return -1
	case b && !a:
		return 1
	default:
		return 0
	}
}

// takeWhileSame cuts off the front of a sorted list as far as the key does not change.
func takeWhileSame(rules *[]modelRule, key func(modelRule) string) []modelRule {
	n := 1
	for n < len(*rules) && key((*rules)[n]) == key((*rules)[0]) {
		n++
	}
	front := (*rules)[:n]
	*rules = (*rules)[n:]
	return front
}

func (r modelRule) scheme() string {
	return map[tag.Scheme]string{tag.HTTP: "http", tag.HTTPS: "https", tag.H2C: "h2c"}[r.Scheme]
}

func (r modelRule) address() string { return r.instance.Address + ":" + strconv.Itoa(r.instance.Port) }

func (r modelRule) order() string {
	return strings.Join([]string{r.instance.Service, r.instance.ID, r.address(), r.scheme()}, " ")
}

func (r modelRule) describe() string {
	return fmt.Sprint(r.order(), " ", r.instance.Node, " ", r.instance.Site, " ", r.headers)
}

// describe is modelRule.describe for the real thing.
func describe(b *pipeline.Backend) string {
	headers := ""
	for _, h := range b.Headers {
		headers += h.Name + "=" + strings.Join(h.Values, ",") + ";"
	}
	return fmt.Sprint(b.Service, " ", b.ID, " ", b.Address, " ", b.Scheme, " ", b.Node, " ", b.Site, " ", headers)
}

// Small alphabets, so that rules collide often.
var (
	modelHosts = []string{
		"a.x", "b.x", "a.b.x", "ab.x", "c.b.x", "x", "a", "*", "*.x", "*.b.x", "a*.x", "*a.x", "*b.x", "*-b.x", "a.*", "*.*",
		"b*", "*b*.x", "a.*.x", "*.*.x", "c.*.x", "*x", "*.a.*.x",
	}
	modelRequests = []string{
		"a.x", "b.x", "a.b.x", "ab.x", "c.b.x", "x", "a", "b", "c", "c.x", "a-b.x", "a.c.b.x", "c.a.b.x", "a.y", "ax", "[::1]",
		"a.a.a.a.a.a.b.x",
	}
	modelPrefixes   = []string{"", "", "/", "/a", "/b", "/a/", "/a/b", "/ab"}
	modelPaths      = []string{"/", "/a", "/a/b", "/ab", "/b", "/c", "/%61", "*"}
	modelPriorities = []int{100, 100, 100, 99, 101, 0, -1}
	modelSchemes    = []tag.Scheme{tag.HTTP, tag.HTTP, tag.HTTP, tag.HTTPS, tag.H2C}
	modelNodes      = []string{"", "n1", "n2", "n3"}
	modelSites      = []string{"", "s1", "s2"}
)

func pick[T any](random *rand.Rand, from []T) T { return from[random.IntN(len(from))] }

// randomSnapshot makes instances and the rules that they mean.
func randomSnapshot(random *rand.Rand) ([]providers.Instance, []modelRule) {
	hosts := make([]string, 1+random.IntN(6))
	for i := range hosts {
		hosts[i] = pick(random, modelHosts)
	}
	var instances []providers.Instance
	var rules []modelRule
	for n := range random.IntN(12) {
		instance := providers.Instance{
			ID: fmt.Sprint("id", n), Service: pick(random, []string{"s", "t"}),
			Address: pick(random, []string{"10.0.0.1", "10.0.0.2"}), Port: 80 + random.IntN(2),
			Node: pick(random, modelNodes), Site: pick(random, modelSites), Healthy: random.IntN(3) > 0,
		}
		var own []modelRule
		for range random.IntN(5) {
			rule := tag.Rule{
				Host: pick(random, hosts), Path: pick(random, modelPrefixes), Priority: pick(random, modelPriorities),
				Scheme: pick(random, modelSchemes),
			}
			text := map[tag.Scheme]string{tag.HTTP: "tricot ", tag.HTTPS: "tricot-https ", tag.H2C: "tricot-h2c "}[rule.Scheme]
			text += rule.Host + rule.Path
			if rule.Priority != tag.DefaultPriority || random.IntN(2) == 0 {
				text += " " + strconv.Itoa(rule.Priority)
			}
			for range 1 + random.IntN(5)/4 {
				instance.Tags = append(instance.Tags, text)
				own = append(own, modelRule{Rule: rule})
			}
		}
		balance := tag.Balance(max(0, random.IntN(5)-2))
		switch balance {
		case tag.Site:
			instance.Tags = append(instance.Tags, "tricot-site-lb")
		case tag.Global:
			instance.Tags = append(instance.Tags, "tricot-global-lb")
		}
		headers := ""
		switch random.IntN(6) {
		case 0:
			instance.Tags = append(instance.Tags, "tricot-add-header X-A 1")
			headers = "X-A=1;"
		case 1:
			instance.Tags = append(instance.Tags, "tricot-add-header X-A 1", "tricot-add-header X-B 2", "tricot-add-header x-a 3")
			headers = "X-A=1,3;X-B=2;"
		}
		for i := range own {
			own[i].balance, own[i].instance, own[i].headers = balance, instance, headers
		}
		instances = append(instances, instance)
		rules = append(rules, own...)
	}
	return instances, rules
}

// checkAgainstModel compiles two random snapshots, the second after the first, and asks each for random requests.
func checkAgainstModel(t *testing.T, seed uint64) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 1))
	var table *Table
	for range 2 {
		instances, rules := randomSnapshot(random)
		here := Location{Node: pick(random, modelNodes), Site: pick(random, modelSites)}
		var problems []Problem
		table, problems = Compile(instances, here, table)
		require.Empty(t, problems, "seed %d", seed)

		for range 12 {
			host, path := pick(random, modelRequests), pick(random, modelPaths)
			want := modelRoutes(rules, here, host, path)
			var got []modelRoute
			for r := table.Find(host, path); r != nil; r = r.Next(host, path) {
				route := modelRoute{Host: r.Host, Path: r.Path, Priority: r.Priority}
				for _, tier := range r.Tiers {
					var backends []string
					for _, b := range tier.Backends {
						backends = append(backends, describe(b))
					}
					require.NotNil(t, tier.Turn, "seed %d", seed)
					route.Tiers = append(route.Tiers, backends)
				}
				got = append(got, route)
				require.LessOrEqual(t, len(got), len(want), "seed %d: %s%s from %+v", seed, host, path, here)
			}
			require.Equal(t, want, got, "seed %d: %s%s from %+v with %+v", seed, host, path, here, instances)
		}

		var hosts []string
		for _, r := range rules {
			hosts = append(hosts, r.Host)
		}
		slices.Sort(hosts)
		assert.Equal(t, slices.Compact(hosts), table.Hosts(), "seed %d", seed)
	}
}

func TestTable_AgreesWithThePlainReadingOfSection3(t *testing.T) {
	start := rand.Uint64()
	for seed := range uint64(1000) {
		checkAgainstModel(t, start+seed)
		if t.Failed() {
			return
		}
	}
}

func FuzzTable(f *testing.F) {
	for seed := range uint64(10) {
		f.Add(seed)
	}
	f.Fuzz(checkAgainstModel)
}
