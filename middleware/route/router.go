package route

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tricot-proxy/tricot/pipeline"
	"github.com/tricot-proxy/tricot/providers"
	"github.com/tricot-proxy/tricot/providers/tag"
)

// Options are what a [Router] is made of.
type Options struct {
	// Log gets the set of rules at info each time that it changes, and each malformed tag once at warn. Nil: no log.
	Log *slog.Logger
	// Location is where this Tricot runs, as far as it is known at the start.
	Location Location
	// Applied is called with each table as soon as requests find it, one call at a time and in the tables' order. It
	// must not call the router's Apply or Locate. May be nil.
	Applied func(*Table)
}

// A Router holds the table in force, and replaces it when the services or this Tricot's place change. Its methods may
// be called by many goroutines at once.
type Router struct {
	log     *slog.Logger
	applied func(*Table)
	table   atomic.Pointer[Table]

	// The rest is what the next table is made from; requests never wait for the lock.
	mutex     sync.Mutex
	compiler  compiler
	instances []providers.Instance
	known     bool // that instances are somebody's, and not just none yet
	here      Location
	problems  map[Problem]bool
}

// NewRouter gives a router whose table is empty until the first Apply.
func NewRouter(options Options) *Router {
	r := &Router{log: options.Log, applied: options.Applied, here: options.Location}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	r.compiler = compiler{through: r, table: &Table{}}
	empty, _ := r.compiler.compile(nil, r.here)
	r.table.Store(empty)
	return r
}

// Table gives the table in force, never nil. A request that holds on to it is not disturbed by the next one.
func (r *Router) Table() *Table { return r.table.Load() }

// Next is [Table.Next] of the table in force. Routes use it, so that none keeps the table that it was found in alive.
func (r *Router) Next(after *pipeline.Route, host, path string) *pipeline.Route {
	return r.Table().Next(after, host, path)
}

// Apply puts the service instances of a snapshot in force in place of all earlier ones. The router keeps them: the
// caller must not change them afterwards.
func (r *Router) Apply(instances []providers.Instance) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.instances, r.known = instances, true
	r.replace()
}

// Locate says where this Tricot runs from now on, and arranges the backends anew where that is a change. Before the first
// Apply there is nothing to arrange, and no table is made.
func (r *Router) Locate(here Location) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.here == here {
		return
	}
	r.here = here
	if r.known {
		r.replace()
	}
}

// replace compiles and swaps first and logs last, so that the new table waits for nobody who reads the log.
func (r *Router) replace() {
	previous := r.table.Load()
	table, problems := r.compiler.compile(r.instances, r.here)
	r.table.Store(table)
	if r.applied != nil {
		r.applied(table)
	}
	r.report(problems)
	if !sameRules(previous, table) {
		r.list(table)
	}
}

// report logs the malformed tags that were not there before.
func (r *Router) report(problems []Problem) {
	known := r.problems
	r.problems = make(map[Problem]bool, len(problems))
	for _, p := range problems {
		if !known[p] && !r.problems[p] {
			r.log.Warn("malformed tag", "service", p.Service, "instance", p.ID, "node", p.Node, "tag", Masked(p.Tag, p.Tag), "reason", Masked(p.Tag, p.Reason))
		}
		r.problems[p] = true
	}
}

// list logs all rules of a table.
func (r *Router) list(table *Table) {
	if !r.log.Enabled(context.Background(), slog.LevelInfo) {
		return // there may be 100,000
	}
	r.log.Info("rules changed", "rules", len(table.Rules()), "hosts", len(table.Hosts()))
	for _, rule := range table.Rules() {
		b := rule.Backend
		line := []any{"host", rule.Host, "path", rule.Path, "priority", rule.Priority,
			"service", b.Service, "scheme", b.Scheme, "address", b.Address, "node", b.Node, "site", b.Site,
			"balance", balance(rule.Balance), "healthy", rule.Healthy}
		if rule.Ask != "" {
			line = append(line, "on_demand", true) // the URL may have a secret in its query
		}
		r.log.Info("rule", line...)
	}
}

// balance names the reach of a rule as its tags do.
func balance(b tag.Balance) string {
	switch b {
	case tag.Global:
		return "global"
	case tag.Site:
		return "site"
	default:
		return "nearest"
	}
}

// Location is where this Tricot runs, as far as it is known now.
func (r *Router) Location() Location {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.here
}

// Problems gives the malformed tags of the snapshot in force, by service and instance.
func (r *Router) Problems() []Problem {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return slices.SortedFunc(maps.Keys(r.problems), compareProblems)
}
