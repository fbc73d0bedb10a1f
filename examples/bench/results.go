//go:build linux

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// results has the costs of a request, by scenario and proxy, one for each round.
type results map[string]map[string][]time.Duration

func (r results) add(scenario, proxy string, cost time.Duration) {
	if r[scenario] == nil {
		r[scenario] = make(map[string][]time.Duration)
	}
	r[scenario][proxy] = append(r[scenario][proxy], cost)
}

// print writes a table in Markdown: microseconds, and the ratios to HAProxy and to nginx where these run.
func (r results) print(to io.Writer, scenarios []scenario, running []*proxy) {
	var references []string
	for _, name := range []string{"haproxy", "nginx"} {
		if slices.ContainsFunc(running, func(r *proxy) bool { return r.name == name }) {
			references = append(references, name)
		}
	}
	fmt.Fprint(to, "\nCPU microseconds for each request")
	if references != nil {
		fmt.Fprintf(to, ", and the median ratio to %s", strings.Join(references, " and to "))
	}
	fmt.Fprint(to, ":\n\n| proxy |")
	for _, s := range scenarios {
		fmt.Fprintf(to, " %s |", s.about)
	}
	fmt.Fprintf(to, "\n|%s\n", strings.Repeat(" --- |", len(scenarios)+1))
	for _, proxy := range running {
		fmt.Fprintf(to, "| %s |", proxy.version)
		for _, s := range scenarios {
			costs := r[s.name][proxy.name]
			fmt.Fprintf(to, " %.1f", micros(median(costs)))
			var ratios []string
			for _, reference := range references {
				ratios = append(ratios, fmt.Sprintf("%.2f", ratio(costs, r[s.name][reference])))
			}
			if ratios != nil {
				fmt.Fprintf(to, " (%s)", strings.Join(ratios, ", "))
			}
			fmt.Fprint(to, " |")
		}
		fmt.Fprintln(to)
	}
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// ratio is the median of the rounds' ratios.
func ratio(costs, reference []time.Duration) float64 {
	var all []float64
	for i := range costs {
		all = append(all, float64(costs[i])/float64(max(reference[i], 1)))
	}
	return median(all)
}

func median[T int | float64 | time.Duration](values []T) T {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
