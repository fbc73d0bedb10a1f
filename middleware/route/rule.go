package route

import (
	"cmp"
	"iter"
	"strings"

	"github.com/tricot-proxy/tricot/pipeline"
	"github.com/tricot-proxy/tricot/providers/tag"
)

// A Rule is what one tricot, tricot-https or tricot-h2c tag of one service instance says, and the backend that it leads to. Two
// rules of successive tables of a [Router] are equal (==) where nothing about them has changed.
type Rule struct {
	// Host is in canonical form, with "*" for any run of characters. Path is a literal prefix, empty for all paths.
	Host, Path string
	Priority   int
	// Balance is the instance's.
	Balance tag.Balance
	// Ask is the URL that is asked whether a name of a wildcard may have a certificate, from the instance's tag
	// tricot-on-demand-tls-ask. Empty: there is none, or Host is no wildcard.
	Ask string
	// Healthy says that the instance can serve now. One that cannot has its rules all the same.
	Healthy bool
	Backend *pipeline.Backend
}

// compareRules orders rules for people: by host, those of a host as they are considered, those of a route by backend.
func compareRules(a, b Rule) int {
	if c := compareRoutes(a, b); c != 0 {
		return c
	}
	if a.Backend == b.Backend {
		return cmp.Or(cmp.Compare(a.Balance, b.Balance), strings.Compare(a.Ask, b.Ask))
	}
	return compareBackends(a.Backend, b.Backend)
}

// compareRoutes is 0 for rules of the same route.
func compareRoutes(a, b Rule) int {
	if c := strings.Compare(a.Host, b.Host); c != 0 {
		return c
	}
	if a.Priority != b.Priority {
		return cmp.Compare(b.Priority, a.Priority)
	}
	if len(a.Path) != len(b.Path) {
		return cmp.Compare(len(b.Path), len(a.Path))
	}
	return strings.Compare(a.Path, b.Path)
}

func sameHost(a, b Rule) bool { return a.Host == b.Host }

func sameRoute(a, b Rule) bool {
	return a.Host == b.Host && a.Priority == b.Priority && a.Path == b.Path
}

// runs cuts sorted rules where one is not the same as the one before it.
func runs(rules []Rule, same func(a, b Rule) bool) iter.Seq[[]Rule] {
	return func(yield func([]Rule) bool) {
		for start, end := 0, 1; end <= len(rules); end++ {
			if end < len(rules) && same(rules[end-1], rules[end]) {
				continue
			}
			if !yield(rules[start:end:end]) {
				return
			}
			start = end
		}
	}
}
