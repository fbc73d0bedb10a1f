package sealed_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs"
	"github.com/tricot-proxy/tricot/certs/local"
	"github.com/tricot-proxy/tricot/certs/store"
	"github.com/tricot-proxy/tricot/certs/store/dir"
	"github.com/tricot-proxy/tricot/certs/store/sealed"
)

const host = "app.example.com"

// An issuer is the local one, with a list of what it was asked for. Its authority is in a store of its own.
type issuer struct {
	*local.Issuer
	mu    sync.Mutex
	asked []string
}

func newIssuer(t *testing.T) *issuer {
	authority, err := local.Open(t.Context(), local.Options{Store: openDir(t, t.TempDir()), Host: "test"})
	require.NoError(t, err)
	return &issuer{Issuer: authority}
}

func (i *issuer) Issue(ctx context.Context, name string) (certs.Pair, error) {
	i.mu.Lock()
	i.asked = append(i.asked, name)
	i.mu.Unlock()
	return i.Issuer.Issue(ctx, name)
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

// simulatedDir looks for changes as seldom as it may: for a bubble, where hours pass.
func simulatedDir(t *testing.T, path string) *dir.Store {
	s, err := dir.Open(dir.Options{Dir: path, Poll: 500 * time.Millisecond})
	require.NoError(t, err)
	return s
}

// counted counts the loads of a record.
type counted struct {
	store.Store
	key   string
	loads atomic.Int32
}

func (c *counted) Load(ctx context.Context, key string) (store.Record, error) {
	if key == c.key {
		c.loads.Add(1)
	}
	return c.Store.Load(ctx, key)
}

// keeper makes one that runs until it is stopped or the test ends.
func keeper(t *testing.T, s store.Store, i certs.Issuer, log *logbook, hosts ...string) (k *certs.Keeper, stop func()) {
	t.Helper()
	k, err := certs.New(certs.Options{Store: s, Issuer: i, Log: slog.New(slog.NewTextHandler(log, nil))})
	require.NoError(t, err)
	var wanted []certs.Wanted
	for _, host := range hosts {
		wanted = append(wanted, certs.Wanted{Host: host})
	}
	k.Want(wanted)
	stop = run(t, k.Run)
	<-k.Ready()
	return k, stop
}

// served gives what a client that asks for a name is shown, and whether the issuer made that.
func served(t *testing.T, k *certs.Keeper, i *issuer, name string) (*x509.Certificate, bool) {
	t.Helper()
	near, far := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = tls.Server(far, &tls.Config{GetCertificate: k.GetCertificate}).Handshake()
		_ = far.Close()
	}()
	defer func() { <-done }()
	defer near.Close()
	client := tls.Client(near, &tls.Config{ServerName: name, InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12})
	require.NoError(t, client.Handshake())
	leaf := client.ConnectionState().PeerCertificates[0]
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(i.Root())
	_, err := leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: time.Now()})
	return leaf, err == nil
}

func await(t *testing.T, k *certs.Keeper, i *issuer, name string) *x509.Certificate {
	t.Helper()
	for end := time.Now().Add(patience); ; <-time.After(10 * time.Millisecond) {
		if leaf, ours := served(t, k, i, name); ours {
			return leaf
		}
		require.True(t, time.Now().Before(end), "no certificate for %s", name)
	}
}

func TestKeeper_SealsWhatItGets(t *testing.T) {
	path := t.TempDir()
	i := newIssuer(t)
	s := wrap(t, openDir(t, path), key(t, 'a'))
	k, _ := keeper(t, s, i, &logbook{}, host)
	await(t, k, i, host)
	assert.NotContains(t, load(t, openDir(t, path), "certs/"+host), "PRIVATE KEY")
	assert.Contains(t, load(t, s, "certs/"+host), "PRIVATE KEY")
}

func TestKeeper_WithoutTheRightKeyNeverAsksTheIssuerAndTouchesNothing(t *testing.T) {
	for name, keys := range map[string][]sealed.Key{"no key": nil, "another key": {key(t, 'b')}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				path, i, log := t.TempDir(), newIssuer(t), &logbook{}
				right, stop := keeper(t, wrap(t, simulatedDir(t, path), key(t, 'a')), i, &logbook{}, host)
				leaf := await(t, right, i, host)
				stop()
				inner := simulatedDir(t, path)
				before := load(t, inner, "certs/"+host)

				looks := &counted{Store: simulatedDir(t, path), key: "certs/" + host}
				wrong, _ := keeper(t, wrapLogged(t, looks, log, keys...), i, log, host, "new.example.com")
				await(t, wrong, i, "new.example.com") // one name holds up no other
				<-time.After(2 * time.Hour)
				assert.Zero(t, looks.loads.Load(), "nothing is tried")
				assert.Equal(t, 1, i.count(host), "asked by the one with the key")
				assert.Equal(t, before, load(t, inner, "certs/"+host))
				_, ours := served(t, wrong, i, host)
				assert.False(t, ours)
				said := "the record certs/" + host + " is sealed with the encryption key " + key(t, 'a').ID()
				assert.Equal(t, 1, log.count("a record of the certificate store cannot be opened"), log)
				assert.Equal(t, 1, log.count("cannot be opened: it is neither served nor replaced"), log)
				assert.Equal(t, 2, log.count(said), log)
				assert.Zero(t, log.count("will be replaced"), log)

				// Somebody who has the key gives the record to those who have the other, or none.
				_, err := store.Copy(t.Context(), wrap(t, inner, append(keys, key(t, 'a'))...), to(t, inner, keys), "certs/")
				require.NoError(t, err)
				assert.Equal(t, leaf.SerialNumber, await(t, wrong, i, host).SerialNumber)
				assert.Equal(t, 1, i.count(host))
				assert.Equal(t, 1, log.count("has its certificate after all"), log)
			})
		})
	}
}

// to is where a copy for those with some keys goes.
func to(t *testing.T, inner store.Store, keys []sealed.Key) store.Store {
	if len(keys) == 0 {
		return inner
	}
	return wrap(t, inner, append(keys, key(t, 'a'))...)
}

func TestKeeper_ServesWhatItHasWhenARecordIsSealedWithAKeyThatItHasNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path, i, log := t.TempDir(), newIssuer(t), &logbook{}
		k, _ := keeper(t, wrapLogged(t, simulatedDir(t, path), log, key(t, 'a')), i, log, host)
		leaf := await(t, k, i, host)
		both := wrap(t, simulatedDir(t, path), key(t, 'b'), key(t, 'a'))
		_, err := store.Copy(t.Context(), both, both, "certs/")
		require.NoError(t, err)
		<-time.After(10 * time.Minute)
		assert.Equal(t, 1, log.count("a record of the certificate store cannot be opened"), log)
		assert.Zero(t, log.count("will be replaced"), log)
		still, _ := served(t, k, i, host)
		assert.Equal(t, leaf.SerialNumber, still.SerialNumber)
		assert.Equal(t, 1, i.count(host))
	})
}

// damage changes the last byte of what is sealed under a key.
func damage(t *testing.T, inner store.Store, key string) {
	t.Helper()
	text := []byte(load(t, inner, key))
	text[len(text)-1] ^= 1
	save(t, inner, key, string(text))
}

func TestKeeper_ReplacesADamagedRecord(t *testing.T) {
	for name, running := range map[string]bool{"that it finds at its start": false, "that is damaged while it runs": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner, i, log := simulatedDir(t, t.TempDir()), newIssuer(t), &logbook{}
				s := wrap(t, inner, key(t, 'a'))
				first, stop := keeper(t, s, i, log, host)
				old := await(t, first, i, host)
				if !running {
					stop()
				}
				damage(t, inner, "certs/"+host)
				if !running {
					first, _ = keeper(t, s, i, log, host)
				}
				<-time.After(30 * time.Second)
				leaf, ours := served(t, first, i, host)
				require.True(t, ours)
				assert.NotEqual(t, old.SerialNumber, leaf.SerialNumber)
				assert.Equal(t, 2, i.count(host))
				assert.Contains(t, load(t, s, "certs/"+host), "PRIVATE KEY")
				assert.Equal(t, 1, log.count("cannot be served and will be replaced"), log)
				assert.Equal(t, 1, log.count("the sealed record certs/"+host+" is damaged"), log)
				assert.Zero(t, log.count("no certificate can be had"), log)
			})
		})
	}
}

func TestKeeper_TakesADamagedFailureForNoneAndReplacesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner, i := simulatedDir(t, t.TempDir()), newIssuer(t)
		s := wrap(t, inner, key(t, 'a'))
		next, err := time.Now().Add(time.Hour).MarshalText()
		require.NoError(t, err)
		save(t, s, "failures/"+host, `{"attempts": 9, "last_error": "no", "next_try": "`+string(next)+`"}`)
		damage(t, inner, "failures/"+host)
		k, stop := keeper(t, s, wrongName{i}, &logbook{}, host)
		<-time.After(time.Second)
		assert.Contains(t, load(t, s, "failures/"+host), `"attempts":1`)
		_, ours := served(t, k, i, host)
		assert.False(t, ours)
		stop()

		damage(t, inner, "failures/"+host)
		k, _ = keeper(t, s, i, &logbook{}, host)
		await(t, k, i, host)
		<-time.After(time.Second)
		_, err = s.Load(t.Context(), "failures/"+host)
		assert.ErrorIs(t, err, store.ErrNotFound, "cleared away by the success")
	})
}

// wrongName signs for another name than it was asked for.
type wrongName struct{ *issuer }

func (w wrongName) Issue(ctx context.Context, _ string) (certs.Pair, error) {
	return w.issuer.Issue(ctx, "wrong.example.com")
}

func TestKeeper_AsksForNothingWhereAFailureIsSealedWithAKeyThatItHasNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner, i, log := simulatedDir(t, t.TempDir()), newIssuer(t), &logbook{}
		save(t, wrap(t, inner, key(t, 'a')), "failures/"+host, `{"attempts": 9, "last_error": "no"}`)
		before := load(t, inner, "failures/"+host)
		keeper(t, wrapLogged(t, inner, log, key(t, 'b')), i, log, host)
		<-time.After(time.Hour)
		assert.Zero(t, i.count(host))
		assert.Equal(t, before, load(t, inner, "failures/"+host))
		assert.Equal(t, 1, log.count("no certificate can be had"), log)
	})
}

func TestRenew_ReplacesADamagedRecordAndLeavesOneThatOthersHaveTheKeyOf(t *testing.T) {
	inner, i := openDir(t, t.TempDir()), newIssuer(t)
	s := wrap(t, inner, key(t, 'a'))
	renew := func(s store.Store) error {
		k, err := certs.New(certs.Options{Store: s, Issuer: i})
		require.NoError(t, err)
		return k.Renew(t.Context(), host)
	}
	require.NoError(t, renew(s))
	damage(t, inner, "certs/"+host)
	list, err := certs.List(t.Context(), s, time.Now())
	require.NoError(t, err)
	require.Len(t, list, 1)
	assert.Contains(t, list[0].Problem, "is damaged")
	require.NoError(t, renew(s))
	assert.Contains(t, load(t, s, "certs/"+host), "PRIVATE KEY")

	before := load(t, inner, "certs/"+host)
	other := wrap(t, inner, key(t, 'b'))
	list, err = certs.List(t.Context(), other, time.Now())
	require.NoError(t, err)
	assert.Contains(t, list[0].Problem, "is sealed with the encryption key "+key(t, 'a').ID())
	assert.ErrorIs(t, renew(other), sealed.ErrSealed)
	assert.Equal(t, before, load(t, inner, "certs/"+host))
	assert.Equal(t, 2, i.count(host))
}

func TestLocalAuthority_IsNotReplacedByWhoHasNotItsKey(t *testing.T) {
	inner := openDir(t, t.TempDir())
	_, err := local.Open(t.Context(), local.Options{Store: wrap(t, inner, key(t, 'a'))})
	require.NoError(t, err)
	before := load(t, inner, local.Key)
	for _, keys := range [][]sealed.Key{nil, {key(t, 'b')}} {
		_, err := local.Open(t.Context(), local.Options{Store: wrap(t, inner, keys...)})
		assert.ErrorIs(t, err, sealed.ErrSealed)
		assert.ErrorContains(t, err, key(t, 'a').ID())
		assert.Equal(t, before, load(t, inner, local.Key))
	}
}
