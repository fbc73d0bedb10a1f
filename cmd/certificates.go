package cmd

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/tricot-proxy/tricot/certs"
	"github.com/tricot-proxy/tricot/certs/acme"
	"github.com/tricot-proxy/tricot/certs/local"
	"github.com/tricot-proxy/tricot/certs/store"
	"github.com/tricot-proxy/tricot/certs/store/dir"
	"github.com/tricot-proxy/tricot/certs/store/sealed"
	"github.com/tricot-proxy/tricot/cmd/settings"
	"github.com/tricot-proxy/tricot/middleware/route"
)

// issuer is a [certs.Issuer] with work of its own in the background.
type issuer interface {
	certs.Issuer
	Run(ctx context.Context) error
}

// openStore opens the store, and seals what is private in it where there is a key. Without one it still has to know
// what others sealed: that is not to be replaced.
func openStore(s *settings.Settings, client *api.Client, log *slog.Logger) (*sealed.Store, error) {
	keys, err := encryptionKeys(s)
	if err != nil {
		return nil, err
	}
	opened, err := openPlainStore(s, client, log)
	if err != nil {
		return nil, err
	}
	return sealed.Wrap(opened, log, keys...)
}

func openPlainStore(s *settings.Settings, client *api.Client, log *slog.Logger) (store.Store, error) {
	if s.Certs.Store == "consul" {
		return consulStore(s, client, log)
	}
	opened, err := dir.Open(dir.Options{Dir: s.Certs.Dir, Log: log})
	if err != nil {
		return nil, fmt.Errorf("certs.dir %s: %w", s.Certs.Dir, err)
	}
	return opened, nil
}

// encryptionKeys gives the keys of the settings, nil where there are none.
func encryptionKeys(s *settings.Settings) ([]sealed.Key, error) {
	if s.Certs.EncryptionKeyFile != "" {
		keys, err := sealed.ReadKeyFile(s.Certs.EncryptionKeyFile)
		if err != nil {
			return nil, fmt.Errorf("certs.encryption_key_file: %w", err)
		}
		return keys, nil
	}
	var keys []sealed.Key
	for _, text := range s.Certs.EncryptionKey {
		key, err := sealed.ParseKey(text)
		if err != nil {
			return nil, fmt.Errorf("certs.encryption_key: %w", err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func openIssuer(s *settings.Settings, in store.Store, log *slog.Logger) (issuer, error) {
	if s.Certs.Issuer == "local" {
		return local.New(local.Options{Store: in, RootFile: filepath.Join(s.Certs.Dir, "local-root.pem"), Log: log})
	}
	options := acme.Options{
		Directory: s.ACME.Directory,
		CACert:    s.ACME.CACert,
		Email:     s.LetsEncrypt.Email,
		KeyType:   acme.KeyType(s.ACME.KeyType),
		Profile:   s.ACME.Profile,
		Store:     in,
		Log:       log,
	}
	if s.ACME.EAB.KID != "" {
		options.EAB = &acme.EAB{KeyID: s.ACME.EAB.KID, HMACKey: s.ACME.EAB.HMACKey}
	}
	return acme.New(options)
}

// openKeeper puts store and issuer together.
func openKeeper(s *settings.Settings, in store.Store, by issuer, log *slog.Logger) (*certs.Keeper, error) {
	options := certs.Options{
		Store:     in,
		Issuer:    by,
		Log:       log,
		Parallel:  s.Certs.Parallel,
		StrictSNI: s.TLS.StrictSNI,
		Ask:       s.ACME.OnDemand.Ask,
		NewNames:  s.ACME.OnDemand.PerMinute,
	}
	if s.Certs.Issuer == "local" { // nobody counts what it is asked for
		options.MaxBackoff = time.Hour
	}
	if renewal, is := by.(*acme.Issuer); is {
		options.RenewAt = renewal.RenewAt
	}
	return certs.New(options)
}

// wanted gives the hosts of a table with what certificates need to know of them.
func wanted(table *route.Table) []certs.Wanted {
	hosts := make([]certs.Wanted, len(table.Hosts()))
	for i, host := range table.Hosts() {
		hosts[i] = certs.Wanted{Host: host, Ask: table.Ask(host)}
	}
	return hosts
}
