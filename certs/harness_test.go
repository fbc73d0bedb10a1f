package certs_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs"
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
	issuer *issuer
	log    *logbook
}

func newPlace(t testing.TB, lifetime time.Duration) *place {
	return newPlaceThatPolls(t, lifetime, 50*time.Millisecond)
}

// newSimulatedPlace is one for a bubble, where hours pass: it looks for changes as seldom as it may.
func newSimulatedPlace(t testing.TB, lifetime time.Duration) *place {
	return newPlaceThatPolls(t, lifetime, 500*time.Millisecond)
}

func newPlaceThatPolls(t testing.TB, lifetime, poll time.Duration) *place {
	p := &place{t: t, dir: t.TempDir(), poll: poll, log: &logbook{}}
	authority, err := local.Open(t.Context(), local.Options{Store: p.store(), Lifetime: lifetime, Host: "test"})
	require.NoError(t, err)
	p.issuer = &issuer{Issuer: authority}
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
	stop = run(p.t, k.Run)
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

// run runs something until the test ends or it is stopped, and holds it to return then.
func run(t testing.TB, f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		assert.NoError(t, <-ended)
	})
	t.Cleanup(stop)
	return stop
}

func (p *place) roots() *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(p.issuer.Root())
	return roots
}

// served gives what a client that asks for a name is shown, and whether it trusts that.
func (p *place) served(k *certs.Keeper, name string) (*x509.Certificate, bool) {
	p.t.Helper()
	leaf, err := handshake(k, name)
	require.NoError(p.t, err)
	_, err = leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: p.roots(), CurrentTime: time.Now()})
	return leaf, err == nil
}

// await waits until a client trusts what it is shown.
func (p *place) await(k *certs.Keeper, name string) *x509.Certificate {
	p.t.Helper()
	var leaf *x509.Certificate
	p.eventually(func() (ok bool) {
		leaf, ok = p.served(k, name)
		return ok
	}, "no trusted certificate for %s", name)
	return leaf
}

// eventually waits in a way that works in a synctest bubble too.
func (p *place) eventually(holds func() bool, message ...any) {
	p.t.Helper()
	for end := time.Now().Add(patience); !holds(); <-time.After(10 * time.Millisecond) {
		if time.Now().After(end) {
			require.Fail(p.t, "it did not come true", message...)
		}
	}
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

// handshake asks a keeper for a name, in TLS over a pipe, and gives the leaf that it is shown.
func handshake(k *certs.Keeper, name string) (*x509.Certificate, error) {
	near, far := net.Pipe()
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = tls.Server(far, &tls.Config{GetCertificate: k.GetCertificate}).Handshake()
		_ = far.Close()
	}()
	defer func() { <-served }()
	defer near.Close()
	client := tls.Client(near, &tls.Config{ServerName: name, InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12})
	if err := client.Handshake(); err != nil {
		return nil, err
	}
	return client.ConnectionState().PeerCertificates[0], nil
}

// An issuer is the local one with a hook, and a list of what it was asked for.
type issuer struct {
	*local.Issuer

	mu    sync.Mutex
	hook  func(ctx context.Context, name string) error
	asked []string
	times []time.Time
}

func (i *issuer) Issue(ctx context.Context, name string) (certs.Pair, error) {
	i.mu.Lock()
	i.asked, i.times = append(i.asked, name), append(i.times, time.Now())
	hook := i.hook
	i.mu.Unlock()
	if hook != nil {
		if err := hook(ctx, name); err != nil {
			return certs.Pair{}, err
		}
	}
	return i.Issuer.Issue(ctx, name)
}

func (i *issuer) on(hook func(ctx context.Context, name string) error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.hook = hook
}

// names gives what it was asked for.
func (i *issuer) names() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.asked)
}

func (i *issuer) count(name string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	count := 0
	for _, asked := range i.asked {
		if asked == name {
			count++
		}
	}
	return count
}

// A logbook keeps what was logged.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logbook) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}
