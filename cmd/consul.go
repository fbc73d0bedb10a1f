package cmd

import (
	"log/slog"
	"slices"

	"github.com/hashicorp/consul/api"

	"github.com/tricot-proxy/tricot/certs/store"
	consulstore "github.com/tricot-proxy/tricot/certs/store/consul"
	"github.com/tricot-proxy/tricot/cmd/settings"
	"github.com/tricot-proxy/tricot/middleware/route"
	"github.com/tricot-proxy/tricot/providers"
	"github.com/tricot-proxy/tricot/providers/consul"
)

// connectConsul gives the client that the provider and the store share; nil where neither is in use.
func connectConsul(s *settings.Settings, log *slog.Logger) (*api.Client, error) {
	if s.Certs.Store != "consul" && !slices.Contains(s.Providers, consul.Name) {
		return nil, nil
	}
	return consul.Connect(consul.Connection{
		Host:       s.Consul.Host,
		CACert:     s.Consul.CACert,
		ClientCert: s.Consul.ClientCert,
		ClientKey:  s.Consul.ClientKey,
		SkipVerify: s.Consul.TLSSkipVerify,
		Token:      s.Consul.Token,
		Log:        log,
	})
}

// consulProvider tells the router where this Tricot runs, unless the settings do.
func consulProvider(s *settings.Settings, client *api.Client, router *route.Router, log *slog.Logger) (providers.Provider, error) {
	return consul.New(consul.Options{
		Client:       client,
		Node:         s.NodeName,
		Site:         s.Site,
		Located:      func(site string) { router.Locate(route.Location{Node: s.NodeName, Site: site}) },
		AllowStale:   s.Consul.AllowStale,
		SnapshotPath: s.Consul.SnapshotPath,
		Log:          log,
	})
}

func consulStore(s *settings.Settings, client *api.Client, log *slog.Logger) (store.Store, error) {
	return consulstore.Open(consulstore.Options{Client: client, Prefix: s.Consul.KVPrefix, Log: log})
}
