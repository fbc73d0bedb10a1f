package entrypoint

import (
	"context"
	"sync/atomic"
)

// gauge counts what is going on, such that one can wait for the end of it.
type gauge struct {
	count atomic.Int64
	// waited says that somebody waits for done, which then has a token each time the count reaches 0.
	waited atomic.Bool
	done   chan struct{}
}

func newGauge() gauge { return gauge{done: make(chan struct{}, 1)} }

func (g *gauge) begin() { g.count.Add(1) }

func (g *gauge) end() {
	if g.count.Add(-1) == 0 && g.waited.Load() {
		select {
		case g.done <- struct{}{}:
		default:
		}
	}
}

func (g *gauge) inFlight() int { return int(g.count.Load()) }

// wait returns when nothing is going on, or with ctx's error.
func (g *gauge) wait(ctx context.Context) error {
	g.waited.Store(true)
	for g.count.Load() > 0 {
		select {
		case <-g.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
