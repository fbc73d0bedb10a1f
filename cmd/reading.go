package cmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/tricot-proxy/tricot/cmd/settings"
	"github.com/tricot-proxy/tricot/middleware/route"
	"github.com/tricot-proxy/tricot/providers"
)

// A reading is what the providers told of once, as a Tricot with these settings would have it in force.
type reading struct {
	instances []providers.Instance
	router    *route.Router
}

// errEnough ends the providers when the first snapshot is there.
var errEnough = errors.New("enough")

// lookForTrouble is how often it is looked whether a provider cannot be read.
const lookForTrouble = 20 * time.Millisecond

// readServices reads the services of all providers once. A running Tricot would wait for a provider that has trouble; here
// its trouble is the error.
func readServices(ctx context.Context, s *settings.Settings, log *slog.Logger) (*reading, error) {
	client, err := connectConsul(s, log)
	if err != nil {
		return nil, err
	}
	quiet := *s
	quiet.Consul.SnapshotPath = "" // it is the running instance's, and not what Consul says now
	read := &reading{router: route.NewRouter(route.Options{Location: route.Location{Node: s.NodeName, Site: s.Site}})}
	var from []providers.Provider
	for _, name := range s.Providers {
		provider, err := openProvider(name, &quiet, client, read.router, log)
		if err != nil {
			return nil, err
		}
		from = append(from, provider)
	}
	var watching sync.WaitGroup
	defer watching.Wait()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	watching.Go(func() { endOnTrouble(ctx, from, end) })
	// All of them have to be read, and so the patience for one that is slow is as long as for all.
	err = providers.Merge(ctx, from, 2*explainPatience, func(instances []providers.Instance) {
		if context.Cause(ctx) != nil {
			return
		}
		read.instances = instances
		read.router.Apply(instances)
		end(errEnough)
	})
	switch cause := context.Cause(ctx); {
	case err != nil:
		return nil, err
	case errors.Is(cause, errEnough):
		return read, nil
	case errors.Is(cause, context.DeadlineExceeded):
		return nil, fmt.Errorf("the services could not be read within %s", explainPatience)
	default:
		return nil, fmt.Errorf("read the services: %w", cause)
	}
}

// endOnTrouble ends what reads the providers when one of them cannot be.
func endOnTrouble(ctx context.Context, from []providers.Provider, end context.CancelCauseFunc) {
	again := time.NewTicker(lookForTrouble)
	defer again.Stop()
	for {
		for _, p := range from {
			if trouble := p.Trouble(); !trouble.Since.IsZero() {
				end(fmt.Errorf("provider %s: %s", p.Name(), trouble.Reason))
				return
			}
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}
