package sealed_test

import (
	"context"
	"log/slog"
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
	"github.com/tricot-proxy/tricot/certs/store/dir"
	"github.com/tricot-proxy/tricot/certs/store/sealed"
)

const host = "app.example.com"

// newIssuer makes one whose authority is in a store of its own.
func newIssuer(t *testing.T) *certstest.Issuer {
	return &certstest.Issuer{
		Issuer: certstest.Authority(t, local.Options{Store: openDir(t, t.TempDir()), Host: "test"}),
	}
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
func keeper(t *testing.T, s store.Store, i certs.Issuer, log *certstest.Logbook, hosts ...string) (k *certs.Keeper, stop func()) {
	t.Helper()
	k, err := certs.New(certs.Options{Store: s, Issuer: i, Log: slog.New(slog.NewTextHandler(log, nil))})
	require.NoError(t, err)
	var wanted []certs.Wanted
	for _, host := range hosts {
		wanted = append(wanted, certs.Wanted{Host: host})
	}
	k.Want(wanted)
	stop = certstest.Run(t, k.Run)
	<-k.Ready()
	return k, stop
}

func TestKeeper_SealsWhatItGets(t *testing.T) {
	path := t.TempDir()
	i := newIssuer(t)
	s := wrap(t, openDir(t, path), key(t, 'a'))
	k, _ := keeper(t, s, i, &certstest.Logbook{}, host)
	i.Await(t, k, host)
	assert.NotContains(t, load(t, openDir(t, path), "certs/"+host), "PRIVATE KEY")
	assert.Contains(t, load(t, s, "certs/"+host), "PRIVATE KEY")
}

func TestKeeper_WithoutTheRightKeyNeverAsksTheIssuerAndTouchesNothing(t *testing.T) {
	for name, keys := range map[string][]sealed.Key{"no key": nil, "another key": {key(t, 'b')}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				path, i, log := t.TempDir(), newIssuer(t), &certstest.Logbook{}
				right, stop := keeper(t, wrap(t, simulatedDir(t, path), key(t, 'a')), i, &certstest.Logbook{}, host)
				leaf := i.Await(t, right, host)
				stop()
				inner := simulatedDir(t, path)
				before := load(t, inner, "certs/"+host)

				looks := &counted{Store: simulatedDir(t, path), key: "certs/" + host}
				wrong, _ := keeper(t, wrapLogged(t, looks, log, keys...), i, log, host, "new.example.com")
				i.Await(t, wrong, "new.example.com") // one name holds up no other
				<-time.After(2 * time.Hour)
				assert.Zero(t, looks.loads.Load(), "nothing is tried")
				assert.Equal(t, 1, i.Count(host), "asked by the one with the key")
				assert.Equal(t, before, load(t, inner, "certs/"+host))
				_, ours := i.Served(t, wrong, host)
				assert.False(t, ours)
				said := "the record certs/" + host + " is sealed with the encryption key " + key(t, 'a').ID()
				assert.Equal(t, 1, log.Count("a record of the certificate store cannot be opened"), log)
				assert.Equal(t, 1, log.Count("cannot be opened: it is neither served nor replaced"), log)
				assert.Equal(t, 2, log.Count(said), log)
				assert.Zero(t, log.Count("will be replaced"), log)

				// Somebody who has the key gives the record to those who have the other, or none.
				_, err := rewrite(t, wrap(t, inner, append(keys, key(t, 'a'))...), to(t, inner, keys), "certs/")
				require.NoError(t, err)
				assert.Equal(t, leaf.SerialNumber, i.Await(t, wrong, host).SerialNumber)
				assert.Equal(t, 1, i.Count(host))
				assert.Equal(t, 1, log.Count("has its certificate after all"), log)
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
		path, i, log := t.TempDir(), newIssuer(t), &certstest.Logbook{}
		k, _ := keeper(t, wrapLogged(t, simulatedDir(t, path), log, key(t, 'a')), i, log, host)
		leaf := i.Await(t, k, host)
		both := wrap(t, simulatedDir(t, path), key(t, 'b'), key(t, 'a'))
		_, err := rewrite(t, both, both, "certs/")
		require.NoError(t, err)
		<-time.After(10 * time.Minute)
		assert.Equal(t, 1, log.Count("a record of the certificate store cannot be opened"), log)
		assert.Zero(t, log.Count("will be replaced"), log)
		still, _ := i.Served(t, k, host)
		assert.Equal(t, leaf.SerialNumber, still.SerialNumber)
		assert.Equal(t, 1, i.Count(host))
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
				inner, i, log := simulatedDir(t, t.TempDir()), newIssuer(t), &certstest.Logbook{}
				s := wrap(t, inner, key(t, 'a'))
				first, stop := keeper(t, s, i, log, host)
				old := i.Await(t, first, host)
				if !running {
					stop()
				}
				damage(t, inner, "certs/"+host)
				if !running {
					first, _ = keeper(t, s, i, log, host)
				}
				<-time.After(30 * time.Second)
				leaf, ours := i.Served(t, first, host)
				require.True(t, ours)
				assert.NotEqual(t, old.SerialNumber, leaf.SerialNumber)
				assert.Equal(t, 2, i.Count(host))
				assert.Contains(t, load(t, s, "certs/"+host), "PRIVATE KEY")
				assert.Equal(t, 1, log.Count("cannot be served and will be replaced"), log)
				assert.Equal(t, 1, log.Count("the sealed record certs/"+host+" is damaged"), log)
				assert.Zero(t, log.Count("no certificate can be had"), log)
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
		k, stop := keeper(t, s, wrongName{i}, &certstest.Logbook{}, host)
		<-time.After(time.Second)
		assert.Contains(t, load(t, s, "failures/"+host), `"attempts":1`)
		_, ours := i.Served(t, k, host)
		assert.False(t, ours)
		stop()

		damage(t, inner, "failures/"+host)
		k, _ = keeper(t, s, i, &certstest.Logbook{}, host)
		i.Await(t, k, host)
		<-time.After(time.Second)
		_, err = s.Load(t.Context(), "failures/"+host)
		assert.ErrorIs(t, err, store.ErrNotFound, "cleared away by the success")
	})
}

// wrongName signs for another name than it was asked for.
type wrongName struct{ *certstest.Issuer }

func (w wrongName) Issue(ctx context.Context, _ string) (certs.Pair, error) {
	return w.Issuer.Issue(ctx, "wrong.example.com")
}

func TestKeeper_AsksForNothingWhereAFailureIsSealedWithAKeyThatItHasNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner, i, log := simulatedDir(t, t.TempDir()), newIssuer(t), &certstest.Logbook{}
		save(t, wrap(t, inner, key(t, 'a')), "failures/"+host, `{"attempts": 9, "last_error": "no"}`)
		before := load(t, inner, "failures/"+host)
		keeper(t, wrapLogged(t, inner, log, key(t, 'b')), i, log, host)
		<-time.After(time.Hour)
		assert.Zero(t, i.Count(host))
		assert.Equal(t, before, load(t, inner, "failures/"+host))
		assert.Equal(t, 1, log.Count("no certificate can be had"), log)
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
	assert.Equal(t, 2, i.Count(host))
}

func TestLocalAuthority_IsNotReplacedByWhoHasNotItsKey(t *testing.T) {
	inner := openDir(t, t.TempDir())
	certstest.Authority(t, local.Options{Store: wrap(t, inner, key(t, 'a'))})
	before := load(t, inner, local.Key)
	for _, keys := range [][]sealed.Key{nil, {key(t, 'b')}} {
		i, err := local.New(local.Options{Store: wrap(t, inner, keys...)})
		require.NoError(t, err)
		_, err = i.Issue(t.Context(), host)
		assert.ErrorIs(t, err, sealed.ErrSealed)
		assert.ErrorContains(t, err, key(t, 'a').ID())
		assert.Equal(t, before, load(t, inner, local.Key))
	}
}
