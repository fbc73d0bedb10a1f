package route

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tricot-proxy/tricot/pipeline"
	"github.com/tricot-proxy/tricot/providers/tag"
)

// An Explanation is the whole decision on one request.
type Explanation struct {
	// Host is the request's in canonical form, Path as the client sent it.
	Host, Path string
	// Route is what the request gets, as [Table.Find] gives it; nil where no rule matches.
	Route *pipeline.Route
	// Verdicts are on all rules that the host leads to, in the order in which they are considered: its own, and those of
	// the wildcards whose last labels it has.
	Verdicts []Verdict
}

// A Verdict is why a rule serves a request, or does not.
type Verdict struct {
	Rule    Rule
	Outcome Outcome
	// Reason is a part of a sentence, such as "the path is no prefix of the request's".
	Reason string
}

// An Outcome is what becomes of a rule.
type Outcome string

// The outcomes.
const (
	// Chosen rules take turns in serving the request.
	Chosen Outcome = "chosen"
	// Standby rules match, and serve where all that come before them fail.
	Standby Outcome = "standby"
	// Unhealthy rules match, and their backend cannot serve now.
	Unhealthy Outcome = "unhealthy"
	// Unmatched rules are for other requests.
	Unmatched Outcome = "unmatched"
)

// Explain says why a request to a canonical host, as [pipeline.Host] gives it, and a path as the client sent it, goes
// where it goes. The order and the matching are those of [Table.Find]. Here is the place that the table was compiled for.
func (t *Table) Explain(host, path string, here Location) Explanation {
	e := Explanation{Host: host, Path: path, Route: t.Find(host, path)}
	var groups []group
	if h := t.host(host); h != nil && !h.wildcard {
		for i := range h.routes {
			groups = append(groups, newGroup(&h.routes[i].route))
		}
	}
	for l := t.wild.numbered(t.wild.above(host)); l != nil; l = t.wild.numbered(l.parent) {
		groups = append(groups, l.groups...)
	}
	slices.SortFunc(groups, func(a, b group) int { return compareGroups(&a, &b) })
	for i := range groups {
		g := &groups[i]
		for _, rule := range t.rulesOf(g.route) {
			verdict := Verdict{Rule: rule}
			verdict.Outcome, verdict.Reason = e.judge(g, rule, here)
			e.Verdicts = append(e.Verdicts, verdict)
		}
	}
	return e
}

// Explain is [Table.Explain] of the table in force.
func (r *Router) Explain(host, path string) Explanation {
	r.mutex.Lock()
	table, here := r.Table(), r.here
	r.mutex.Unlock()
	return table.Explain(host, path, here)
}

// rulesOf gives the rules that a route is made of.
func (t *Table) rulesOf(route *pipeline.Route) []Rule {
	var of []Rule
	for rule := range distinct(t.host(route.Host).rules) {
		if rule.Priority == route.Priority && rule.Path == route.Path {
			of = append(of, *rule)
		}
	}
	return of
}

func (e *Explanation) judge(g *group, rule Rule, here Location) (Outcome, string) {
	switch {
	case g.pattern && !matches(g.route.Host, e.Host):
		return Unmatched, fmt.Sprintf("the host is not like %s", g.route.Host)
	case !strings.HasPrefix(e.Path, g.path):
		return Unmatched, fmt.Sprintf("%s is no prefix of the path", g.path)
	case !rule.Healthy:
		return Unhealthy, "its checks do not pass"
	case g.route != e.Route:
		winner := newGroup(e.Route)
		return Standby, lost(g, &winner)
	}
	return e.judgeBackend(rule, here)
}

// judgeBackend is for a rule of the route that the request gets.
func (e *Explanation) judgeBackend(rule Rule, here Location) (Outcome, string) {
	first := e.Route.Tiers[0].Backends
	if slices.Contains(first, rule.Backend) {
		reason := reach(rule, here)
		if n := len(first); n > 1 {
			reason += fmt.Sprintf("; takes turns with %d more", n-1)
		}
		if rule.Backend.Health.Condition().Ejected() {
			return Standby, "it kept failing, and is left out for a while"
		}
		return Chosen, reason
	}
	return Standby, "others are nearer: " + reach(rule, here)
}

// reach says how near a rule's backend counts as.
func reach(rule Rule, here Location) string {
	switch near := here.nearness(&rule); {
	case near&sameNode != 0:
		return "it is on this node"
	case near&sameSite != 0 && rule.Balance == tag.Nearest:
		return "it is on this site, and on another node"
	case near&sameSite != 0:
		return "it is on this site"
	case rule.Balance == tag.Global:
		return "it is for all sites and nodes"
	case here.Site == "":
		return "its site counts as any other's: that of this Tricot is not known"
	}
	return "it is on another site"
}

// lost says by what a group comes after another one that matches the same request, in the order of [compareGroups].
func lost(g, winner *group) string {
	switch {
	case g.priority != winner.priority:
		return fmt.Sprintf("the priority %d is lower than %d", g.priority, winner.priority)
	case len(g.path) != len(winner.path):
		return fmt.Sprintf("the path %s is shorter than %s", shown(g.path), shown(winner.path))
	case g.exactness != winner.exactness && winner.exactness == exact:
		return fmt.Sprintf("%s is a wildcard, and %s is the host itself", g.route.Host, winner.route.Host)
	case g.exactness != winner.exactness:
		return fmt.Sprintf("the wildcard %s is shorter than %s", g.route.Host, winner.route.Host)
	}
	return fmt.Sprintf("the wildcard %s is sorted after %s", g.route.Host, winner.route.Host)
}

func shown(path string) string {
	if path == "" {
		return "(none)"
	}
	return path
}
