package providers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Merge runs all providers at once and calls apply with the union of their latest snapshots, in the order of from and
// within a snapshot in its own order.
//
// It calls apply for the first time when every provider has published once, so that a start does not look like the loss
// of what the slower ones know; when patience is over (at once, where it is 0), it calls apply with what there is, as
// soon as there is something. After that it calls apply after each change.
//
// It never calls apply twice at once, and no publish waits for it: what is published meanwhile is applied together, the
// latest of each provider. The slice is apply's to keep; the tags in it are shared.
//
// Merge returns when ctx has ended (then nil) or when the first provider has failed (then its error, with its name), in
// both cases after all providers and apply have returned. A provider that ends early without an error has said its last,
// which stays in force.
func Merge(ctx context.Context, from []Provider, patience time.Duration, apply func([]Instance)) error {
	if len(from) == 0 {
		return errors.New("no provider of services")
	}
	var running sync.WaitGroup
	defer running.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()

	news := make(chan struct{}, 1)
	known := latest{snapshots: make([]*Snapshot, len(from))}
	failed := make(chan error, len(from))
	for i, provider := range from {
		running.Go(func() {
			err := provider.Run(ctx, func(s Snapshot) {
				known.replace(i, s)
				select {
				case news <- struct{}{}:
				default: // the applying side has not looked yet, and will find this one too
				}
			})
			if err != nil && !errors.Is(err, ctx.Err()) {
				failed <- fmt.Errorf("provider %s: %w", provider.Name(), err)
			}
		})
	}

	slow := time.NewTimer(patience)
	defer slow.Stop()
	enough := len(from) // providers that have to have published before apply is called
	for {
		select {
		case <-ctx.Done():
			running.Wait()
			select {
			case err := <-failed: // before it learned of the end
				return err
			default:
				return nil
			}
		case err := <-failed:
			return err
		case <-slow.C:
			enough = 1
		case <-news:
		}
		if ctx.Err() != nil {
			continue
		}
		if instances, ok := known.take(enough); ok {
			apply(instances)
		}
	}
}

// latest holds what each provider published last, nil for one that has published nothing yet.
type latest struct {
	mu        sync.Mutex
	snapshots []*Snapshot
	changed   bool // since the last take
}

func (l *latest) replace(i int, s Snapshot) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.snapshots[i] = &s
	l.changed = true
}

// take gives all instances where enough providers have published and something has changed since it last did.
func (l *latest) take(enough int) (instances []Instance, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	published := slices.DeleteFunc(slices.Clone(l.snapshots), func(s *Snapshot) bool { return s == nil })
	if !l.changed || len(published) < enough {
		return nil, false
	}
	l.changed = false
	for _, s := range published {
		instances = append(instances, s.Instances...)
	}
	return instances, true
}
