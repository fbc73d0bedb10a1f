//go:build linux

// Command bench is "make bench": what Tricot costs beside the proxies that are installed (nginx, HAProxy, Caddy and Traefik
// are known), in CPU microseconds for each request.
//
// Each proxy runs on the first core. The load and the backend share another, so that a proxy's own cost can be read off
// its processes (user and system time, from /proc) and stays comparable on a machine that is busy or slow. All proxies
// take their turns in each round, and a ratio is the median of those of the rounds, so that a drift of the machine falls
// on all alike. A machine with one core works too, less exactly.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	b := bench{out: os.Stdout}
	var only, scenarios string
	flag.StringVar(&b.tricot, "tricot", "bin/tricot", "the `path` of the tricot binary")
	flag.DurationVar(&b.period, "period", 4*time.Second, "how long each proxy is loaded in a round")
	flag.IntVar(&b.rounds, "rounds", 3, "how many rounds there are")
	flag.StringVar(&only, "only", "", "the `names` of the proxies to measure, with commas; all that are installed")
	flag.StringVar(&scenarios, "scenarios", "", "the `names` of the scenarios, with commas; all")
	flag.Parse()
	b.only, b.wanted = list(only), list(scenarios)

	// What this process starts from here on, its own threads among it, stays off the first core.
	if err := keepOffFirstCore(); err != nil {
		fmt.Fprintf(os.Stderr, "bench: keep the load off the first core: %v\n", err)
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := b.run(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func list(names string) []string {
	return strings.FieldsFunc(names, func(r rune) bool { return r == ',' || r == ' ' })
}

type bench struct {
	tricot       string // the path of the binary
	period       time.Duration
	rounds       int
	only, wanted []string // names of proxies and of scenarios; empty: all
	out          io.Writer
}

// run measures, and prints lines as it goes and a table at the end. When it returns, no process is left.
func (b *bench) run(ctx context.Context) error {
	chosen, err := b.scenarios()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "tricot-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	// nginx's workers are not root where it is, and keep uploads there. The keys are for their owner only.
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	if err := writeCertificate(dir); err != nil {
		return fmt.Errorf("make a certificate: %w", err)
	}
	backend, err := startBackend()
	if err != nil {
		return fmt.Errorf("start the backend: %w", err)
	}
	defer backend.Close()

	var running []*proxy
	defer func() {
		for _, r := range running {
			r.end()
		}
	}()
	for _, p := range b.peers() {
		if len(b.only) > 0 && !slices.Contains(b.only, p.name) {
			continue
		}
		r, err := p.start(ctx, dir, backend.Addr().String())
		if err != nil {
			fmt.Fprintf(b.out, "%s is left out: %v\n", p.name, err)
			continue
		}
		running = append(running, r)
	}
	if len(running) == 0 {
		return fmt.Errorf("no proxy runs")
	}
	results := make(results)
	for _, scenario := range chosen {
		if err := b.measure(ctx, scenario, running, results); err != nil {
			return err
		}
	}
	results.print(b.out, chosen, running)
	return nil
}

func (b *bench) scenarios() ([]scenario, error) {
	all := scenarios()
	if len(b.wanted) == 0 {
		return all, nil
	}
	var chosen []scenario
	for _, name := range b.wanted {
		i := slices.IndexFunc(all, func(s scenario) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no scenario %q", name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// peers are all proxies that are there, Tricot the last.
func (b *bench) peers() []peer {
	var there []peer
	for _, p := range known() {
		if p.name == "tricot" {
			p.path, _ = filepath.Abs(b.tricot)
		} else if p.path = find(p.program); p.path == "" {
			continue
		}
		there = append(there, p)
	}
	return there
}

// measure loads each proxy in turn, once to warm it up and then in each round.
func (b *bench) measure(ctx context.Context, s scenario, running []*proxy, results results) error {
	for _, r := range running {
		if _, err := s.load(ctx, r.address, b.period/4); err != nil {
			return fmt.Errorf("%s, %s: %w", s.name, r.name, err)
		}
	}
	for round := range b.rounds {
		for _, r := range running {
			before, err := r.cpu()
			if err != nil {
				return err
			}
			start := time.Now()
			requests, err := s.load(ctx, r.address, b.period)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", s.name, r.name, err)
			}
			took := time.Since(start)
			after, err := r.cpu()
			if err != nil {
				return err
			}
			cost := (after - before) / time.Duration(max(requests, 1))
			results.add(s.name, r.name, cost)
			fmt.Fprintf(b.out, "%-8s round %d  %-8s %8.1f µs of CPU a request, %7.0f requests a second\n",
				s.name, round+1, r.name, micros(cost), float64(requests)/took.Seconds())
		}
	}
	return nil
}
