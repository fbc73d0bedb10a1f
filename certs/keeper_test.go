package certs_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs"
	"github.com/tricot-proxy/tricot/certs/certstest"
	"github.com/tricot-proxy/tricot/certs/local"
	"github.com/tricot-proxy/tricot/certs/store"
)

func TestNew_RefusesOptionsThatMakeNoSense(t *testing.T) {
	p := newPlace(t, 0)
	for want, o := range map[string]certs.Options{
		"no store":  {Issuer: p.issuer},
		"no issuer": {Store: p.store()},
		"-1 orders": {Store: p.store(), Issuer: p.issuer, Parallel: -1},
		"-1s":       {Store: p.store(), Issuer: p.issuer, MaxBackoff: -time.Second},
	} {
		_, err := certs.New(o)
		assert.ErrorContains(t, err, want)
	}
}

func TestKeeper_GetsACertificateForEachExactName(t *testing.T) {
	p := newPlace(t, 0)
	hosts := []string{"app.example.com", "localhost", "my_app.test", "127.0.0.1", "[::1]", "*.wild.test", "*"}
	k := p.keeper(certs.Options{}, hosts...)
	for _, name := range []string{"app.example.com", "localhost", "my_app.test"} {
		p.await(k, name)
	}
	p.eventually(func() bool { return p.issuer.Count("::1") == 1 && p.issuer.Count("127.0.0.1") == 1 })
	assert.ElementsMatch(t, []string{"app.example.com", "localhost", "my_app.test", "127.0.0.1", "::1"}, p.issuer.Names())
}

func TestKeeper_WritesTheRecordWithTheseFieldsExactly(t *testing.T) {
	p := newPlace(t, 0)
	today := func() string { return time.Now().UTC().Format(time.DateOnly) }
	before := today()
	p.await(p.keeper(certs.Options{}, "app.example.com"), "app.example.com")
	after := today() // it may be midnight in between

	var fields map[string]any
	require.NoError(t, json.Unmarshal(p.record("app.example.com").Value, &fields))
	pair, err := tls.X509KeyPair([]byte(fields["fullchain_pem"].(string)), []byte(fields["key_pem"].(string)))
	require.NoError(t, err)
	assert.Len(t, pair.Certificate, 2, "leaf and root")
	delete(fields, "fullchain_pem")
	delete(fields, "key_pem")
	assert.Contains(t, []any{before, after}, fields["date"])
	delete(fields, "date")
	assert.Equal(t, map[string]any{"hostname": "app.example.com", "valid_days": 90.0}, fields)
	assert.Zero(t, p.log.Count("PRIVATE KEY"))
}

func TestKeeper_ServesWhatIsInTheStoreWithoutAnOrder(t *testing.T) {
	p := newPlace(t, 0)
	p.put("app.example.com", p.fields("app.example.com"))
	k := p.keeper(certs.Options{}, "app.example.com")
	_, trusted := p.served(k, "app.example.com")
	assert.True(t, trusted, "from the moment on when it is ready")
	assert.Empty(t, p.issuer.Names())
}

func TestKeeper_IsReadyWithAnEmptyStoreAndNoNames(t *testing.T) {
	newPlace(t, 0).keeper(certs.Options{})
}

func TestKeeper_OrdersOnceForAllInstancesWhichServeItWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, 0)
		var names []string
		for i := range 10 {
			names = append(names, fmt.Sprintf("app%d.example.com", i))
		}
		keepers := []*certs.Keeper{p.keeper(certs.Options{}, names...), p.keeper(certs.Options{}, names...), p.keeper(certs.Options{}, names...)}
		for _, name := range names {
			first := p.await(keepers[0], name)
			for _, k := range keepers[1:] {
				assert.Equal(t, first.SerialNumber, p.await(k, name).SerialNumber)
			}
			assert.Equal(t, 1, p.issuer.Count(name), name)
		}

		record := p.fields(names[0])
		p.put(names[0], record)
		written := time.Now()
		block, _ := pem.Decode([]byte(record["fullchain_pem"].(string)))
		for _, k := range keepers {
			p.eventually(func() bool {
				leaf, _ := p.served(k, names[0])
				return string(leaf.Raw) == string(block.Bytes)
			})
		}
		assert.Less(t, time.Since(written), time.Second)
	})
}

func TestKeeper_LooksAgainUnderTheLockBeforeItOrders(t *testing.T) {
	p := newPlace(t, 0)
	s := p.store()
	lock, err := s.Lock(t.Context(), "app.example.com")
	require.NoError(t, err)
	// The keeper's store tells it of no change, so that the second look alone can stop it.
	waiting := make(chan struct{}, 1)
	its := &faults{Store: p.store(), deaf: true, locking: waiting}
	k := p.keeper(certs.Options{Store: its}, "app.example.com")
	<-waiting
	value, err := json.Marshal(p.fields("app.example.com"))
	require.NoError(t, err)
	written, err := lock.Save(t.Context(), store.Record{Key: "certs/app.example.com", Value: value})
	require.NoError(t, err)
	require.NoError(t, lock.Unlock(t.Context()))
	p.eventually(func() bool { return its.unlocked.Load() > 0 }, "the keeper has not had the lock")
	assert.Empty(t, p.issuer.Names())
	assert.Equal(t, written.Version, p.record("app.example.com").Version)
	_, _ = k.GetCertificate(&tls.ClientHelloInfo{})
}

func TestKeeper_ReplacesAndNeverServesARecordThatIsBad(t *testing.T) {
	p := newPlace(t, 0)
	const name = "app.example.com"
	good, other := p.fields(name), p.fields("other.example.com")
	with := func(changes map[string]any) []byte {
		fields := map[string]any{}
		for _, from := range []map[string]any{good, changes} {
			for field, value := range from {
				fields[field] = value
			}
		}
		value, err := json.Marshal(fields)
		require.NoError(t, err)
		return value
	}
	past := certstest.Authority(t, local.Options{Store: p.store(), Lifetime: time.Hour, Host: "test",
		Now: func() time.Time { return time.Now().Add(-2 * time.Hour) }})
	expired, err := past.Issue(t.Context(), name)
	require.NoError(t, err)

	for reason, value := range map[string][]byte{
		"private key does not match": with(map[string]any{"key_pem": other["key_pem"]}),
		"not other.example.com":      with(map[string]any{"key_pem": other["key_pem"], "fullchain_pem": other["fullchain_pem"]}),
		"expired at":                 with(map[string]any{"key_pem": string(expired.Key), "fullchain_pem": string(expired.Chain)}),
		"record is for":              with(map[string]any{"hostname": "other.example.com"}),
		"failed to find any PEM":     with(map[string]any{"fullchain_pem": "nothing"}),
		"record is not JSON":         []byte(`{"hostname": "app.example.com", "key_pem": "-----BEGIN PRIV`),
		"failed to find any PEM d":   []byte(`{"hostname": "app.example.com"}`),
	} {
		t.Run(reason, func(t *testing.T) {
			p := &place{t: t, dir: t.TempDir(), poll: p.poll, log: &certstest.Logbook{}, issuer: &certstest.Issuer{Issuer: p.issuer.Issuer}}
			p.putRaw(name, value)
			order := make(chan struct{})
			p.issuer.On(func(context.Context, string) error { <-order; return nil })
			k := p.keeper(certs.Options{}, name)
			leaf, trusted := p.served(k, name)
			assert.False(t, trusted)
			assert.Equal(t, "Tricot self-signed", leaf.Subject.CommonName)
			close(order)
			p.await(k, name)
			assert.Equal(t, 1, p.issuer.Count(name))
			assert.Equal(t, 1, p.log.Count("cannot be served and will be replaced"))
			if reason != "not other.example.com" {
				assert.Equal(t, 1, p.log.Count(reason))
			}
			assert.Zero(t, p.log.Count("PRIV"))
		})
	}
}

func TestKeeper_OneNamesFailureHoldsUpNoOther(t *testing.T) {
	p := newPlace(t, 0)
	p.issuer.On(func(_ context.Context, name string) error {
		if strings.HasPrefix(name, "bad") {
			return errors.New("the CA says no")
		}
		return nil
	})
	// A directory is where a record should be: this name's store fails, too.
	require.NoError(t, os.MkdirAll(filepath.Join(p.dir, "certs/worse.example.com"), 0o700))
	k := p.keeper(certs.Options{Parallel: 1}, "bad1.example.com", "bad2.example.com", "worse.example.com", "good.example.com")
	p.await(k, "good.example.com")
	_, trusted := p.served(k, "bad1.example.com")
	assert.False(t, trusted)
}

func TestKeeper_WritesNothingWhereTheLockIsLostInTheMiddle(t *testing.T) {
	p := newPlace(t, 0)
	lost := make(chan struct{})
	stopped := make(chan error, 1)
	var once sync.Once // it is tried again in a while
	p.issuer.On(func(ctx context.Context, _ string) error {
		once.Do(func() { close(lost) })
		<-ctx.Done()
		select {
		case stopped <- context.Cause(ctx):
		default:
		}
		return nil // as an issuer does that looks too late: what it makes must not be written
	})
	p.keeper(certs.Options{Store: &faults{Store: p.store(), lost: lost}}, "app.example.com")
	assert.ErrorIs(t, <-stopped, store.ErrLockLost)
	p.eventually(func() bool { return p.log.Count("no certificate can be had") == 1 })
	assert.Equal(t, 1, p.log.Count("lock lost"))
	_, err := p.store().Load(t.Context(), "certs/app.example.com")
	assert.ErrorIs(t, err, store.ErrNotFound)
}

func TestKeeper_WritesNothingThatItCouldNotServe(t *testing.T) {
	p := newPlace(t, 0)
	p.keeper(certs.Options{Issuer: wrongName{p.issuer.Issuer}}, "app.example.com")
	p.eventually(func() bool { return p.log.Count("no certificate can be had") == 1 })
	assert.Equal(t, 1, p.log.Count("what the issuer local made cannot be served"))
	_, err := p.store().Load(t.Context(), "certs/app.example.com")
	assert.ErrorIs(t, err, store.ErrNotFound)
}

func TestKeeper_LeavesACertificateThatIsNoLongerWantedInTheStore(t *testing.T) {
	p := newPlace(t, 0)
	k := p.keeper(certs.Options{}, "app.example.com", "other.example.com")
	first := p.await(k, "app.example.com")
	version := p.record("app.example.com").Version
	k.Want(hosts("other.example.com"))
	p.eventually(func() bool { _, trusted := p.served(k, "app.example.com"); return !trusted })
	assert.Equal(t, version, p.record("app.example.com").Version)
	assert.Equal(t, 1, p.log.Count("no longer wanted"))
	k.Want(hosts("app.example.com"))
	assert.Equal(t, first.SerialNumber, p.await(k, "app.example.com").SerialNumber, "wanted again")
	assert.Equal(t, 1, p.issuer.Count("app.example.com"))
}

func TestKeeper_EndsWithItsContextInTheMiddleOfAnOrder(t *testing.T) {
	p := newPlace(t, 0)
	asked := make(chan struct{})
	p.issuer.On(func(ctx context.Context, _ string) error { close(asked); <-ctx.Done(); return ctx.Err() })
	k, err := certs.New(certs.Options{Store: p.store(), Issuer: p.issuer})
	require.NoError(t, err)
	k.Want(hosts("app.example.com"))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- k.Run(ctx) }()
	<-asked
	cancel()
	require.NoError(t, <-ended)
	lock, err := p.store().Lock(t.Context(), "app.example.com")
	require.NoError(t, err, "its lock was given back")
	require.NoError(t, lock.Unlock(t.Context()))
}

func TestKeeper_ReadsOnlyWhatChangesAmongManyCertificates(t *testing.T) {
	p := newPlace(t, 0)
	names := p.fill(t, 300)
	k := p.keeper(certs.Options{}, names...)
	hello := func(name string) *tls.Certificate {
		cert, err := k.GetCertificate(&tls.ClientHelloInfo{ServerName: name})
		require.NoError(t, err)
		return cert
	}
	before := make([]*tls.Certificate, len(names))
	for i, name := range names {
		before[i] = hello(name)
		require.NoError(t, before[i].Leaf.VerifyHostname(name))
	}
	p.put(names[7], p.fields(names[7]))
	p.await(k, names[7])
	for i, name := range names {
		assert.Equal(t, i != 7, before[i] == hello(name), name)
	}
	assert.Empty(t, p.issuer.Names())
}

func BenchmarkKeeper_ReadsTenThousandCertificates(b *testing.B) {
	p := &place{t: b, dir: b.TempDir(), log: &certstest.Logbook{}}
	p.store() // makes the directory one
	names := p.fill(b, 10_000)
	b.ReportAllocs()
	for b.Loop() {
		k, err := certs.New(certs.Options{Store: p.store(), Issuer: wrongName{}})
		require.NoError(b, err)
		k.Want(hosts(names...))
		ctx, cancel := context.WithCancel(b.Context())
		ended := make(chan error)
		go func() { ended <- k.Run(ctx) }()
		<-k.Ready()
		cancel()
		require.NoError(b, <-ended)
	}
}

// fill writes certificates for a number of names.
func (p *place) fill(t testing.TB, count int) (names []string) {
	pair := wildcardPair(t)
	require.NoError(t, os.MkdirAll(filepath.Join(p.dir, "certs"), 0o700))
	for i := range count {
		name := fmt.Sprintf("n%d.example.com", i)
		names = append(names, name)
		value, err := json.Marshal(map[string]any{"hostname": name, "key_pem": string(pair.Key), "fullchain_pem": string(pair.Chain)})
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(p.dir, "certs", name), value, 0o600))
	}
	return names
}

// wildcardPair makes a certificate that covers many names, so that the test need not make many.
func wildcardPair(t testing.TB) certs.Pair {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{DNSNames: []string{"*.example.com"}, NotBefore: time.Now(), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return certs.Pair{
		Chain: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:   pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}
}

// wrongName signs for another name than it was asked for.
type wrongName struct{ certs.Issuer }

func (w wrongName) Issue(ctx context.Context, _ string) (certs.Pair, error) {
	return w.Issuer.Issue(ctx, "wrong.example.com")
}

// faults is a real store with faults.
type faults struct {
	store.Store
	deaf    bool            // Follow tells only what there is at the start
	locking chan<- struct{} // is told when a lock is wanted
	lost    <-chan struct{} // is every lock's Lost
	// unlocked counts the locks that were given back.
	unlocked atomic.Int32
	// readOnly: nothing can be saved under a lock.
	readOnly bool
}

func (f *faults) Follow(ctx context.Context, prefix string, changed func([]store.Record)) error {
	told := false
	return f.Store.Follow(ctx, prefix, func(records []store.Record) {
		if !f.deaf || !told {
			changed(records)
		}
		told = true
	})
}

func (f *faults) Lock(ctx context.Context, name string) (store.Lock, error) {
	if f.locking != nil {
		select {
		case f.locking <- struct{}{}:
		case <-ctx.Done(): // the test heard enough
		}
	}
	lock, err := f.Store.Lock(ctx, name)
	if err == nil {
		lock = countedLock{lock, &f.unlocked}
	}
	if err == nil && f.lost != nil {
		lock = lostLock{lock, f.lost}
	}
	if err == nil && f.readOnly {
		lock = readOnlyLock{lock}
	}
	return lock, err
}

// seldom is a real store that looks for changes once in a minute, for simulated days.
type seldom struct{ store.Store }

func (s seldom) Follow(ctx context.Context, prefix string, changed func([]store.Record)) error {
	for ctx.Err() == nil {
		look, enough := context.WithCancel(ctx)
		err := s.Store.Follow(look, prefix, func(records []store.Record) { changed(records); enough() })
		if enough(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Minute):
		}
	}
	return nil
}

type countedLock struct {
	store.Lock
	unlocked *atomic.Int32
}

func (l countedLock) Unlock(ctx context.Context) error {
	defer l.unlocked.Add(1)
	return l.Lock.Unlock(ctx)
}

type lostLock struct {
	store.Lock
	lost <-chan struct{}
}

type readOnlyLock struct{ store.Lock }

func (readOnlyLock) Save(context.Context, store.Record) (store.Record, error) {
	return store.Record{}, errors.New("the store is read-only")
}

func (l lostLock) Lost() <-chan struct{} { return l.lost }
