package route

import (
	"net"
	"slices"
	"strconv"

	"github.com/tricot-proxy/tricot/pipeline"
	"github.com/tricot-proxy/tricot/providers"
	"github.com/tricot-proxy/tricot/providers/tag"
)

// A source is what one service instance says, read once and kept for as long as snapshots have the same instance.
type source struct {
	rules    []Rule
	problems []Problem
	// backends are those of the rules, by scheme; nil where no rule has it.
	backends [schemes]*pipeline.Backend
}

// schemes is how many there are.
const schemes = int(tag.H2C) + 1

// read makes an instance's source.
func read(instance *providers.Instance, backends *register) *source {
	config, errs := tag.Parse(instance.Tags)
	s := &source{}
	for _, err := range errs {
		s.problems = append(s.problems, Problem{
			Service: instance.Service, ID: instance.ID, Node: instance.Node, Tag: err.Tag, Reason: err.Reason,
		})
	}
	if len(config.Rules) == 0 {
		return s
	}
	headers := groupHeaders(config.Headers)
	s.rules = make([]Rule, len(config.Rules))
	for i, rule := range config.Rules {
		backend := &s.backends[rule.Scheme]
		if *backend == nil {
			*backend = backends.take(pipeline.Backend{
				Service: instance.Service, ID: instance.ID, Node: instance.Node, Site: instance.Site,
				Scheme:  schemeOf(rule.Scheme),
				Address: net.JoinHostPort(instance.Address, strconv.Itoa(instance.Port)),
				Headers: headers,
			})
		}
		s.rules[i] = Rule{
			Host: rule.Host, Path: rule.Path, Priority: rule.Priority,
			Balance: config.Balance, Ask: onDemand(rule.Host, config.Ask), Healthy: instance.Healthy, Backend: *backend,
		}
	}
	return s
}

// drop gives up the source's backends.
func (s *source) drop(backends *register) {
	for _, backend := range s.backends {
		if backend != nil {
			backends.giveUp(backend)
		}
	}
}

// onDemand is the URL to ask about the names of a rule: only a wildcard has any that no rule names.
func onDemand(host, ask string) string {
	if !isWildcard(host) {
		return ""
	}
	return ask
}

// equalInstances says whether two instances say the same.
func equalInstances(a, b *providers.Instance) bool {
	return a.ID == b.ID && a.Service == b.Service && a.Address == b.Address && a.Port == b.Port &&
		a.Node == b.Node && a.Site == b.Site && a.Healthy == b.Healthy && slices.Equal(a.Tags, b.Tags)
}

// match finds the instances of a snapshot in the one before: for each the index of an equal one there, -1 where there is
// none; no two have the same. Most changes are few and leave the rest in order.
func match(instances, previous []providers.Instance, pace *pace) []int {
	found := make([]int, len(instances))
	start, end, was := 0, len(instances), len(previous)
	for start < min(end, was) && equalInstances(&instances[start], &previous[start]) {
		found[start] = start
		start++
		pace.step(fair)
	}
	for end > start && was > start && equalInstances(&instances[end-1], &previous[was-1]) {
		end--
		was--
		found[end] = was
		pace.step(fair)
	}
	type name struct{ service, id, node string }
	named := func(i *providers.Instance) name { return name{i.Service, i.ID, i.Node} }
	var known map[name]int
	if start < end && start < was {
		known = make(map[name]int, was-start)
	}
	for i := start; i < was && known != nil; i++ {
		known[named(&previous[i])] = i
		pace.step(fair)
	}
	for i := start; i < end; i++ {
		found[i] = -1
		key := named(&instances[i])
		if at, is := known[key]; is && equalInstances(&instances[i], &previous[at]) {
			delete(known, key)
			found[i] = at
		}
		pace.step(fair)
	}
	return found
}
