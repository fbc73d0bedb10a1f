package certs_test

import (
	"crypto/x509"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs"
	"github.com/tricot-proxy/tricot/certs/certstest"
	"github.com/tricot-proxy/tricot/certs/local"
	"github.com/tricot-proxy/tricot/certs/store"
	"github.com/tricot-proxy/tricot/certs/store/dir"
)

const patience = 30 * time.Second

// A place is what the instances of a cluster share.
type place struct {
	t      testing.TB
	dir    string
	poll   time.Duration
	issuer *certstest.Issuer
	log    *certstest.Logbook
}

func newPlace(t testing.TB, lifetime time.Duration) *place {
	return newPlaceThatPolls(t, lifetime, 50*time.Millisecond)
}

// newSimulatedPlace is one for a bubble, where hours pass: it looks for changes as seldom as it may.
func newSimulatedPlace(t testing.TB, lifetime time.Duration) *place {
	return newPlaceThatPolls(t, lifetime, 500*time.Millisecond)
}

func newPlaceThatPolls(t testing.TB, lifetime, poll time.Duration) *place {
	p := &place{t: t, dir: t.TempDir(), poll: poll, log: &certstest.Logbook{}}
	p.issuer = &certstest.Issuer{
		Issuer: certstest.Authority(t, local.Options{Store: p.store(), Lifetime: lifetime, Host: "test"}),
	}
	return p
}

// store opens a handle, as another process would.
func (p *place) store() *dir.Store {
	s, err := dir.Open(dir.Options{Dir: p.dir, Poll: p.poll, Log: slog.New(slog.NewTextHandler(p.log, nil))})
	require.NoError(p.t, err)
	return s
}

// keeper makes one that runs until the test ends, and waits until it has read the store.
func (p *place) keeper(o certs.Options, names ...string) *certs.Keeper {
	p.t.Helper()
	return p.keeperOf(o, hosts(names...)...)
}

// hosts are wanted without an endpoint of their own to ask.
func hosts(names ...string) []certs.Wanted {
	wanted := make([]certs.Wanted, len(names))
	for i, name := range names {
		wanted[i].Host = name
	}
	return wanted
}

// keeperOf is keeper, with wildcards that may have endpoints.
func (p *place) keeperOf(o certs.Options, wanted ...certs.Wanted) *certs.Keeper {
	p.t.Helper()
	k, _ := p.start(o, wanted...)
	return k
}

// start is keeperOf, and gives what ends it before the test does.
func (p *place) start(o certs.Options, wanted ...certs.Wanted) (k *certs.Keeper, stop func()) {
	p.t.Helper()
	k = p.idle(o)
	k.Want(wanted)
	stop = certstest.Run(p.t, k.Run)
	select {
	case <-k.Ready():
	case <-time.After(patience):
		require.Fail(p.t, "the keeper did not become ready")
	}
	return k, stop
}

// idle makes a keeper that does not run.
func (p *place) idle(o certs.Options) *certs.Keeper {
	p.t.Helper()
	if o.Store == nil {
		o.Store = p.store()
	}
	if o.Issuer == nil {
		o.Issuer = p.issuer
	}
	o.Log = slog.New(slog.NewTextHandler(p.log, nil))
	k, err := certs.New(o)
	require.NoError(p.t, err)
	return k
}

// served is [certstest.Issuer.Served] of the place's issuer.
func (p *place) served(k *certs.Keeper, name string) (*x509.Certificate, bool) {
	p.t.Helper()
	return p.issuer.Served(p.t, k, name)
}

// await is [certstest.Issuer.Await] of the place's issuer.
func (p *place) await(k *certs.Keeper, name string) *x509.Certificate {
	p.t.Helper()
	return p.issuer.Await(p.t, k, name)
}

func (p *place) eventually(holds func() bool, message ...any) {
	p.t.Helper()
	certstest.Eventually(p.t, holds, message...)
}

func (p *place) record(name string) store.Record {
	p.t.Helper()
	record, err := p.store().Load(p.t.Context(), "certs/"+name)
	require.NoError(p.t, err)
	return record
}

// put writes a certificate as another instance would.
func (p *place) put(name string, fields map[string]any) {
	p.t.Helper()
	value, err := json.Marshal(fields)
	require.NoError(p.t, err)
	p.putRaw(name, value)
}

func (p *place) putRaw(name string, value []byte) {
	p.t.Helper()
	s := p.store()
	there, _ := s.Load(p.t.Context(), "certs/"+name)
	_, err := s.Save(p.t.Context(), store.Record{Key: "certs/" + name, Value: value, Version: there.Version})
	require.NoError(p.t, err)
}

// fields gives a good record for a name.
func (p *place) fields(name string) map[string]any {
	p.t.Helper()
	pair, err := p.issuer.Issuer.Issue(p.t.Context(), name)
	require.NoError(p.t, err)
	return map[string]any{
		"hostname": name, "date": time.Now().UTC().Format(time.DateOnly), "valid_days": 90,
		"key_pem": string(pair.Key), "fullchain_pem": string(pair.Chain),
	}
}
