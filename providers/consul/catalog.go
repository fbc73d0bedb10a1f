package consul

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tricot-proxy/tricot/providers"
)

// A catalog puts together what the queries tell, and publishes it. One goroutine, that of run, has all of its fields;
// the queries hand it their news as functions.
type catalog struct {
	options Options
	publish func(providers.Snapshot)
	trouble *trouble
	disk    *disk // nil where nothing is kept

	ctx     context.Context // of the queries
	running sync.WaitGroup
	news    chan func()

	services map[string]*service // those with a tag for Tricot
	listed   bool                // Consul has said which there are
	site     string              // of this Tricot's node, as Located was told
	located  bool                // Consul has said which it is, or nobody asks
	changes  coalescer
	began    time.Time // what the first snapshot waits for

	published bool // something, of Consul or of the disk
	answered  bool // something of Consul
	current   []providers.Instance
	// kept is what the disk has from an earlier life, nil where that is nothing, or is not needed any more.
	kept *diskSnapshot
}

func newCatalog(options Options, publish func(providers.Snapshot), book *providers.TroubleBook) *catalog {
	c := &catalog{
		options: options, publish: publish, trouble: newTrouble(options.Log, book),
		news: make(chan func()), services: map[string]*service{}, located: options.Site != "",
		changes: coalescer{quiet: options.Quiet, latest: options.Latest},
	}
	if options.SnapshotPath != "" {
		c.disk = newDisk(options.SnapshotPath, options.Log, options.Now)
	}
	return c
}

func (c *catalog) run(ctx context.Context) {
	if c.disk != nil {
		c.kept = c.disk.load()
		writing, stop := context.WithCancel(context.Background())
		var written sync.WaitGroup
		written.Go(func() { c.disk.run(writing) })
		defer written.Wait()
		defer stop()
	}
	c.ctx, c.began = ctx, time.Now()
	defer c.running.Wait()
	c.askServices()
	if c.options.Site == "" {
		c.askNode()
	}
	silent := time.NewTimer(c.options.Patience)
	defer silent.Stop()
	due := time.NewTimer(0)
	defer due.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case tell := <-c.news:
			tell()
		case <-c.trouble.began:
			c.fallBack()
		case <-silent.C:
			c.fallBack()
		case <-due.C:
		}
		if at, ok := c.due(); !ok {
			due.Stop()
		} else if wait := time.Until(at); wait > 0 {
			due.Reset(wait)
		} else {
			c.announce()
		}
	}
}

// start asks a question until ctx ends. What it is told it hands to the goroutine of run.
func start[T any](ctx context.Context, c *catalog, q question[T]) {
	tell := q.tell
	q.tell = func(answer T) {
		select {
		case c.news <- func() { tell(answer) }:
		case <-ctx.Done():
		}
	}
	c.running.Go(func() {
		w := newWatch(q, &c.options, c.trouble)
		w.run(ctx)
		if c.ctx.Err() == nil { // the end of all is not the end of trouble
			c.trouble.forget(w)
		}
	})
}

func (c *catalog) changed() { c.changes.changed(time.Now()) }

// due says when to publish next. It is false where there is nothing to publish yet.
func (c *catalog) due() (time.Time, bool) {
	at, ok := c.changes.due()
	switch {
	case !ok || c.answered:
		return at, ok
	case !c.listed:
		return time.Time{}, false
	case !c.complete():
		return c.began.Add(c.options.Patience), true
	}
	return at, true
}

// complete says whether every query has answered.
func (c *catalog) complete() bool {
	for _, s := range c.services {
		if !s.answered {
			return false
		}
	}
	return c.located
}

// announce publishes what is known, if it is something else than what has been published before.
func (c *catalog) announce() {
	c.changes.published()
	if !c.located {
		c.recall()
	}
	var instances []providers.Instance
	// One that has just gone over to another service is with both, until the query of the old one tells. And for Consul web
	// and Web are two services, each of which it answers with the instances of both.
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(c.services)) {
		for _, i := range c.services[name].instances {
			if !seen[i.ID] {
				seen[i.ID] = true
				instances = append(instances, i)
			}
		}
	}
	if c.replace(instances) || !c.answered {
		c.answered = true
		c.keep()
	}
	c.kept = nil
}

// fallBack publishes what the disk has, where Consul has not said yet which services there are.
func (c *catalog) fallBack() {
	if c.listed || c.published || c.kept == nil {
		return
	}
	c.recall()
	c.options.Log.Warn("Consul does not answer: the services on disk are in force until it does", "file", c.options.SnapshotPath,
		"age", c.options.Now().Sub(c.kept.Written).Round(time.Second), "instances", len(c.kept.Instances))
	c.replace(c.kept.instances())
}

// replace publishes instances in place of those that were published before, where they are others.
func (c *catalog) replace(instances []providers.Instance) bool {
	if c.published && sameInstances(c.current, instances) {
		return false
	}
	c.published, c.current = true, instances
	c.trouble.inForce.Store(true)
	c.publish(providers.Snapshot{Instances: instances})
	return true
}

// keep has what is published kept on disk.
func (c *catalog) keep() {
	if c.disk != nil {
		c.disk.keep(diskSnapshot{Node: c.options.Node, Site: c.site, Instances: keepable(c.current)})
	}
}
