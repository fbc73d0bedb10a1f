package cmd

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"
	"golang.org/x/sync/errgroup"

	"github.com/tricot-proxy/tricot/certs"
	"github.com/tricot-proxy/tricot/certs/tickets"
	"github.com/tricot-proxy/tricot/cmd/settings"
	"github.com/tricot-proxy/tricot/middleware/route"
	"github.com/tricot-proxy/tricot/pipeline/entrypoint"
	"github.com/tricot-proxy/tricot/providers"
	"github.com/tricot-proxy/tricot/providers/consul"
	"github.com/tricot-proxy/tricot/providers/file"
)

// patience is how long the first table waits for a provider that is slow, once another has published.
const patience = 5 * time.Second

// errStoppedNow says that requests in flight were not waited for.
var errStoppedNow = errors.New("stopped at once: requests in flight were cut off")

// proxy is a Tricot that is put together, with its ports open and nothing served yet.
type proxy struct {
	settings    *settings.Settings
	log         *slog.Logger
	providers   []providers.Provider
	router      *route.Router
	issuer      issuer
	keeper      *certs.Keeper
	tickets     *tickets.Keys
	challenges  *certs.Challenges
	equipment   equipment
	view        *view
	entrypoints []*entrypoint.Entrypoint // for clients
	observers   []*entrypoint.Entrypoint // admin and metrics
	// first is closed when the first table is in force.
	first chan struct{}
}

// assemble builds all parts, from the store to the ports. Where it fails, what it opened is closed again.
func assemble(s *settings.Settings, custom []Stage, log *slog.Logger) (*proxy, error) {
	p := &proxy{settings: s, log: log, first: make(chan struct{})}
	p.view = newView(p)
	client, err := connectConsul(s, log)
	if err != nil {
		return nil, err
	}
	store, err := openStore(s, client, log)
	if err != nil {
		return nil, err
	}
	if ids := store.KeyIDs(); len(ids) > 0 {
		log.Info("what is private in the store is sealed", "key", ids[0], "opens_too", strings.Join(ids[1:], " "))
	}
	p.issuer, err = openIssuer(s, store, log)
	if err != nil {
		return nil, err
	}
	p.keeper, err = openKeeper(s, store, p.issuer, log)
	if err != nil {
		return nil, err
	}
	p.tickets, err = tickets.New(tickets.Options{Store: store, Log: log})
	if err != nil {
		return nil, err
	}
	p.challenges = certs.NewChallenges(store, log)
	p.router = route.NewRouter(route.Options{
		Log:      log,
		Location: route.Location{Node: s.NodeName, Site: s.Site},
		Applied:  p.applied,
	})
	for _, name := range s.Providers {
		provider, err := openProvider(name, s, client, p.router, log)
		if err != nil {
			return nil, err
		}
		p.providers = append(p.providers, provider)
	}
	plans, err := chosen(s, custom)
	if err != nil {
		return nil, err
	}
	p.equipment, err = equip(s, log)
	if err != nil {
		return nil, err
	}
	handler, err := chain(plans, surroundings{s, log, p.router, p.challenges, p.equipment})
	if err == nil {
		err = p.listen(handler)
	}
	if err != nil {
		p.equipment.close(log)
		return nil, err
	}
	return p, nil
}

// applied tells everybody of a table that has come into force.
func (p *proxy) applied(table *route.Table) {
	p.keeper.Want(wanted(table))
	p.equipment.counts.Retain(table.Names)
	p.equipment.connections.Retain(table.LeadsTo)
	p.view.applied()
}

func openProvider(name string, s *settings.Settings, client *api.Client, router *route.Router, log *slog.Logger) (providers.Provider, error) {
	if name == consul.Name {
		return consulProvider(s, client, router, log)
	}
	return file.New(file.Options{Path: s.File.Path, Log: log}), nil
}

// tls gives what handshakes need.
func (p *proxy) tls() *tls.Config {
	config := &tls.Config{GetCertificate: p.keeper.GetCertificate}
	p.tickets.Apply(config)
	return config
}

// listen opens all ports, or none.
func (p *proxy) listen(handler http.Handler) error {
	var wrong []error
	for _, port := range []struct {
		of      *[]*entrypoint.Entrypoint
		options entrypoint.Options
	}{
		{&p.entrypoints, entrypoint.Options{Name: "http", Addr: p.settings.HTTP.BindAddr, Handler: handler}},
		{&p.entrypoints, entrypoint.Options{Name: "https", Addr: p.settings.HTTPS.BindAddr, Handler: handler,
			TLS: p.tls(), Handshake: p.view.handshakes.done}},
		{&p.observers, entrypoint.Options{Name: "admin", Addr: p.settings.Admin.BindAddr, Handler: p.view.site()}},
		{&p.observers, entrypoint.Options{Name: "metrics", Addr: p.settings.Metrics.BindAddr, Handler: p.view.metrics()}},
	} {
		options, set := port.options, p.settings.Entrypoint
		if options.Addr == "" {
			continue
		}
		options.ReadHeaderTimeout = set.ReadHeaderTimeout
		options.IdleTimeout = set.IdleTimeout
		options.HandshakeTimeout = set.HandshakeTimeout
		options.ProgressTimeout = set.ProgressTimeout
		options.MaxHeaderBytes = set.MaxHeaderBytes
		options.MaxConnections = set.MaxConnections
		options.Log = p.log
		opened, err := entrypoint.Listen(options)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		*port.of = append(*port.of, opened)
	}
	if wrong != nil {
		closeAll(p.entrypoints)
		closeAll(p.observers)
	}
	return errors.Join(wrong...)
}

// closeAll closes entrypoints without requests in flight, or whose handlers nobody waits for.
func closeAll(open []*entrypoint.Entrypoint) {
	for _, e := range open {
		_ = e.Close()
	}
}

// run serves until stop is closed and the requests in flight have ended, until stopNow is closed, or until a part fails.
// It returns when all goroutines have ended.
func (p *proxy) run(ctx context.Context, stop, stopNow <-chan struct{}) error {
	defer p.equipment.close(p.log)
	ctx, end := context.WithCancel(ctx)
	defer end()
	parts, ctx := errgroup.WithContext(ctx)
	parts.Go(func() error { return paceCollector(ctx) })
	parts.Go(func() error { return p.issuer.Run(ctx) })
	parts.Go(func() error { return p.keeper.Run(ctx) })
	parts.Go(func() error { return p.tickets.Run(ctx) })
	parts.Go(func() error { return p.challenges.Run(ctx) })
	parts.Go(func() error { return providers.Merge(ctx, p.providers, patience, p.apply()) })
	for _, e := range p.observers { // from the start to the end: they tell what is missing until all is well
		p.log.Info("listening", "entrypoint", e.Name(), "address", e.Addr().String())
		parts.Go(e.Serve)
	}
	parts.Go(func() error {
		defer end()
		defer closeAll(p.observers)
		return p.serve(ctx, stop, stopNow)
	})
	return parts.Wait()
}

// apply gives what puts a snapshot in force.
func (p *proxy) apply() func([]providers.Instance) {
	applied := false
	return func(instances []providers.Instance) {
		p.view.took(instances)
		p.router.Apply(instances)
		if !applied {
			applied = true
			close(p.first)
		}
	}
}

// serve serves as soon as there are a table and what the store has for handshakes, so that no request is told that
// nothing is there when nobody has looked yet, but waits for them no longer than patience.
func (p *proxy) serve(ctx context.Context, stop, stopNow <-chan struct{}) error {
	var serving sync.WaitGroup
	defer serving.Wait()
	defer closeAll(p.entrypoints)
	patient, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, ready := range []<-chan struct{}{p.first, p.keeper.Ready(), p.tickets.Ready()} {
		select {
		case <-ready:
		case <-patient.Done(): // a store that is away must not keep the services away
		case <-stop:
			return nil
		}
	}
	failed := make(chan error, len(p.entrypoints))
	p.view.serving.Store(true) // before the first request can be answered
	for _, e := range p.entrypoints {
		p.log.Info("listening", "entrypoint", e.Name(), "address", e.Addr().String())
		serving.Go(func() { failed <- e.Serve() })
	}
	select {
	case <-stop:
		return p.shutdown(stopNow)
	case err := <-failed:
		p.cutOff()
		return err
	case <-ctx.Done():
		p.cutOff()
		return nil
	}
}

// shutdown lets the requests in flight finish.
func (p *proxy) shutdown(stopNow <-chan struct{}) error {
	p.view.stopping.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), p.settings.Shutdown.Timeout)
	defer cancel()
	p.log.Info("shutting down", "timeout", p.settings.Shutdown.Timeout)
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.finish(ctx)
	}()
	select {
	case <-done:
		p.log.Info("ended")
		return nil
	case <-stopNow:
		cancel()
		<-done
		return errStoppedNow
	}
}

// cutOff cuts the requests in flight off.
func (p *proxy) cutOff() {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	p.finish(now)
}

// finish lets the requests in flight finish until ctx ends, and cuts the rest off. The handlers of those have a moment
// to end, so that their lines still reach the access log, which is closed after this.
func (p *proxy) finish(ctx context.Context) {
	var finishing sync.WaitGroup
	for _, e := range p.entrypoints {
		finishing.Go(func() {
			var cut *entrypoint.CutOffError
			if err := e.Shutdown(ctx); errors.As(err, &cut) {
				p.log.Warn("requests were cut off", "entrypoint", cut.Name, "requests", cut.Requests)
			}
		})
	}
	finishing.Wait()
}

// reopen opens the access log anew, as programs that rotate logs ask for.
func (p *proxy) reopen() {
	if p.equipment.output == nil {
		return
	}
	if err := p.equipment.output.Reopen(); err != nil {
		p.log.Error("the access log cannot be opened anew, and goes on where it was", "error", err)
		return
	}
	p.view.reopens.Add(1)
	p.log.Info("the access log was opened anew")
}
