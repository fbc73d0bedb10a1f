package tickets_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/certstest"
	"github.com/tricot-proxy/tricot/certs/store"
	"github.com/tricot-proxy/tricot/certs/store/consul"
	"github.com/tricot-proxy/tricot/certs/store/dir"
	"github.com/tricot-proxy/tricot/certs/store/sealed"
	"github.com/tricot-proxy/tricot/certs/tickets"
)

// The tests here run over the real stores. Their hours pass by a clock that is set; an instance that starts sees that, and
// the others follow the store.

// places make a place with nothing in it, and give what opens one more handle on it, as another process would.
var places = map[string]func(t *testing.T) (open func() store.Store){
	"dir":    inDir,
	"sealed": inSealedDir,
	"consul": inConsul,
}

func inDir(t *testing.T) func() store.Store {
	at := t.TempDir()
	return func() store.Store { return openDir(t, at) }
}

func openDir(t *testing.T, at string) store.Store {
	s, err := dir.Open(dir.Options{Dir: at, Poll: 20 * time.Millisecond})
	require.NoError(t, err)
	return s
}

func inSealedDir(t *testing.T) func() store.Store {
	at := t.TempDir()
	return func() store.Store { return seal(t, openDir(t, at), 1) }
}

// seal wraps a store, with a key for each number.
func seal(t *testing.T, inner store.Store, numbers ...byte) store.Store {
	var keys []sealed.Key
	for _, number := range numbers {
		key, err := sealed.ParseKey(hex.EncodeToString(bytes.Repeat([]byte{number}, 32)))
		require.NoError(t, err)
		keys = append(keys, key)
	}
	s, err := sealed.Wrap(inner, slog.New(slog.DiscardHandler), keys...)
	require.NoError(t, err)
	return s
}

func inConsul(t *testing.T) func() store.Store {
	agent := shared.Agent(t)
	prefix := fmt.Sprintf("tickets-%x/", rand.Uint64())
	return func() store.Store {
		s, err := consul.Open(consul.Options{Client: agent.ClientWith(agent.Token), Prefix: prefix})
		require.NoError(t, err)
		return s
	}
}

func overPlaces(t *testing.T, test func(t *testing.T, open func() store.Store)) {
	for name, place := range places {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, place(t))
		})
	}
}

func TestKeys_AClientResumesAtEachInstanceForADay(t *testing.T) {
	t.Parallel()
	overPlaces(t, func(t *testing.T, open func() store.Store) {
		c := newCluster(t)
		secrets := map[string]bool{}
		remember := func() {
			for secret := range inStore(t, open()) {
				secrets[secret] = true
			}
		}
		a, b := c.start(open()), c.start(open())
		clients := map[string]*client{}
		for name, version := range versions {
			clients[name] = a.visitor(version)
			assert.True(t, b.resumes(clients[name]), name)
			assert.True(t, a.resumes(clients[name]), name)
		}
		remember()
		before := inStore(t, open())
		require.Len(t, before, 2, "the key that encrypts and the next one")

		c.pass(14 * time.Hour)
		late := c.start(open()) // which sees that the next key is due
		certstest.Eventually(t, func() bool { return len(inStore(t, open())) == 3 }, "there is no further key")
		for secret, from := range before {
			assert.Equal(t, from, inStore(t, open())[secret], "it changed")
		}
		for name, version := range versions {
			for _, i := range []*instance{a, b, late} {
				assert.True(t, i.resumes(clients[name]), name)
			}
			fresh := late.visitor(version)
			assert.True(t, a.resumes(fresh), name)
			assert.True(t, b.resumes(fresh), name)
		}
		remember()
		a.stop() // what another has begun, one that is new goes on with
		assert.True(t, c.start(open()).resumes(clients["TLS 1.3"]), "after a restart")

		c.pass(24 * time.Hour) // the key of the clients is 38 hours old
		again := c.start(open())
		certstest.Eventually(t, func() bool { return !b.resumes(clients["TLS 1.3"]) }, "the key has no end")
		for name, version := range versions {
			assert.False(t, b.resumes(clients[name]), name)
			assert.False(t, again.resumes(clients[name]), name)
			assert.True(t, b.resumes(again.visitor(version)), name)
		}
		remember()
		for secret := range secrets {
			assert.NotContains(t, c.log.String(), secret)
		}
	})
}

func TestKeys_OfInstancesThatStartAtOnceAreTheSame(t *testing.T) {
	t.Parallel()
	overPlaces(t, func(t *testing.T, open func() store.Store) {
		c := newCluster(t)
		var all []*instance
		for range 6 {
			all = append(all, c.begin(open(), 0))
		}
		for _, i := range all {
			i.awaitReady()
		}
		assert.Len(t, inStore(t, open()), 2)
		certstest.Eventually(t, func() bool { return c.log.Count("session ticket keys renewed") == 1 }, "one of them says so")
		for _, giver := range all {
			visitor := giver.visitor(0)
			for _, taker := range all {
				assert.True(t, taker.resumes(visitor))
			}
		}

		c.pass(14 * time.Hour)
		for range 6 {
			c.begin(open(), 0)
		}
		certstest.Eventually(t, func() bool { return len(inStore(t, open())) == 3 }, "there is no further key")
	})
}

func TestKeys_AreSealedInTheStore(t *testing.T) {
	t.Parallel()
	at := t.TempDir()
	c := newCluster(t)
	c.start(seal(t, openDir(t, at), 1))
	value, err := os.ReadFile(filepath.Join(at, tickets.Key))
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(string(value), "tricot-sealed "))
	for secret := range inStore(t, seal(t, openDir(t, at), 1)) {
		assert.NotContains(t, string(value), secret)
	}
}

func TestKeys_ThatAreSealedWithAnotherKeyAreLeftAlone(t *testing.T) {
	t.Parallel()
	for name, numbers := range map[string][]byte{"no key": nil, "another key": {2}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := t.TempDir()
			c, blind := newCluster(t), newCluster(t)
			blind.certs = c.certs
			sees := c.start(seal(t, openDir(t, at), 1))
			before, err := os.ReadFile(filepath.Join(at, tickets.Key))
			require.NoError(t, err)

			apart := blind.start(seal(t, openDir(t, at), numbers...)) // becomes ready all the same
			visitor := apart.visitor(tls13)
			assert.True(t, apart.resumes(visitor))
			assert.False(t, sees.resumes(visitor))
			assert.Equal(t, 1, blind.log.Count("cannot be shared"))
			assert.Contains(t, blind.log.String(), "encryption key")
			after, err := os.ReadFile(filepath.Join(at, tickets.Key))
			require.NoError(t, err)
			assert.Equal(t, before, after)
		})
	}
}

func TestKeys_ThatAreSealedAndDamagedAreReplaced(t *testing.T) {
	t.Parallel()
	at := t.TempDir()
	c := newCluster(t)
	c.start(seal(t, openDir(t, at), 1)).stop()
	path := filepath.Join(at, tickets.Key)
	value, err := os.ReadFile(path)
	require.NoError(t, err)
	value[len(value)-1]++
	require.NoError(t, os.WriteFile(path, value, 0o600))

	a, b := c.start(seal(t, openDir(t, at), 1)), c.start(seal(t, openDir(t, at), 1))
	assert.True(t, b.resumes(a.visitor(tls13)))
	assert.Equal(t, 1, c.log.Count("damaged and will be replaced"))
}
