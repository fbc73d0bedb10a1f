package cmd

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// The garbage collector's pace. A proxy lives on a small heap and makes much garbage, so that by the runtime's own default,
// which is to collect when there is as much garbage as there is live data, it would collect many times a second.
const (
	defaultPace = 100 // percent of garbage over what is live: the runtime's default
	lazyPace    = 400
	// spare is how much memory a lazy pace may cost, in bytes.
	spare = 64 << 20
	// paceEvery is how often the pace is chosen anew.
	paceEvery = 10 * time.Second
)

// pace is the percentage for a heap with so many live bytes: lazy for a small one, the default for a large one.
func pace(live uint64) int {
	if live == 0 {
		return lazyPace
	}
	return int(max(defaultPace, min(lazyPace, spare*100/live)))
}

// paceCollector keeps the collector's pace right until ctx ends. Where GOGC is set it does nothing.
func paceCollector(ctx context.Context) error {
	if os.Getenv("GOGC") != "" {
		return nil
	}
	current := lazyPace
	debug.SetGCPercent(current)
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	ticker := time.NewTicker(paceEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
		metrics.Read(live)
		// A change stops the world for a moment; one that is small is not worth it.
		if next := pace(live[0].Value.Uint64()); next < current*9/10 || next > current*11/10 {
			current = next
			debug.SetGCPercent(current)
		}
	}
}
