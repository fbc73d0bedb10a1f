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

// compareRules orders rules for people: by host, those of a host as they are considered, those of a route by backend. It is
// 0 for equal ones only.
func compareRules(a, b *Rule) int {
	if c := strings.Compare(a.Host, b.Host); c != 0 {
		return c
	}
	if c := comparePlaces(a.Priority, a.Path, b.Priority, b.Path); c != 0 {
		return c
	}
	if a.Backend != b.Backend {
		return compareBackends(a.Backend, b.Backend)
	}
	if a.Healthy != b.Healthy {
		if a.Healthy {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(a.Balance, b.Balance), strings.Compare(a.Ask, b.Ask))
}

// comparePlaces orders the routes of a host, of which no two have both priority and path in common: points 1 and 2 of
// design.md, section 3. Two prefixes of one length never match the same path: their text only makes the order total.
func comparePlaces(priorityA int, pathA string, priorityB int, pathB string) int {
	if priorityA != priorityB {
		return cmp.Compare(priorityB, priorityA)
	}
	if len(pathA) != len(pathB) {
		return cmp.Compare(len(pathB), len(pathA))
	}
	return strings.Compare(pathA, pathB)
}

// sameRoute is for rules of one host.
func sameRoute(a, b *Rule) bool { return a.Priority == b.Priority && a.Path == b.Path }

// runs cuts sorted rules where one is not the same as the one before it.
func runs(rules []*Rule, same func(a, b *Rule) bool) iter.Seq[[]*Rule] {
	return func(yield func([]*Rule) bool) {
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

// distinct gives sorted rules each once.
func distinct(rules []*Rule) iter.Seq[*Rule] {
	return func(yield func(*Rule) bool) {
		for i, rule := range rules {
			if (i == 0 || *rule != *rules[i-1]) && !yield(rule) {
				return
			}
		}
	}
}
