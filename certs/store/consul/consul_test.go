package consul_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/hashicorp/consul/api"

	"github.com/tricot-proxy/tricot/certs/store"
	"github.com/tricot-proxy/tricot/certs/store/consul"
	"github.com/tricot-proxy/tricot/certs/store/storetest"
	"github.com/tricot-proxy/tricot/providers/consul/consultest"
)

func TestStore_KeepsTheContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) func() store.Store {
		agent := shared.Agent(t)
		return func() store.Store { return open(t, agent, consul.Options{SessionTTL: consul.DefaultSessionTTL}) }
	})
}

func TestOpen_RefusesOptionsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	client, err := api.NewClient(api.DefaultConfig())
	require.NoError(t, err)
	for name, test := range map[string]struct {
		options consul.Options
		want    string
	}{
		"no client":             {consul.Options{}, "no client is given"},
		"a slash first":         {consul.Options{Client: client, Prefix: "/tricot/"}, `prefix "/tricot/": a name is empty`},
		"two slashes":           {consul.Options{Client: client, Prefix: "a//b/"}, "a name is empty"},
		"a way out":             {consul.Options{Client: client, Prefix: "../"}, `".." is not a name`},
		"a query":               {consul.Options{Client: client, Prefix: "a?recurse/"}, "is not allowed in a name"},
		"a long prefix":         {consul.Options{Client: client, Prefix: strings.Repeat("a", 101)}, "prefix of 101 bytes"},
		"a TTL of a moment":     {consul.Options{Client: client, SessionTTL: time.Millisecond}, "session TTL of 1ms"},
		"a TTL of days":         {consul.Options{Client: client, SessionTTL: 25 * time.Hour}, "session TTL of 25h0m0s"},
		"a TTL before now":      {consul.Options{Client: client, SessionTTL: -time.Second}, "session TTL of -1s"},
		"a time-out before now": {consul.Options{Client: client, Timeout: -1}, "time-out of -1ns"},
		"no wait":               {consul.Options{Client: client, Wait: time.Microsecond}, "blocking queries of 1µs"},
		"a wait for ever":       {consul.Options{Client: client, Wait: time.Hour}, "blocking queries of 1h0m0s"},
	} {
		_, err := consul.Open(test.options)
		require.Error(t, err, name)
		assert.Contains(t, err.Error(), "open store in Consul: ", name)
		assert.Contains(t, err.Error(), test.want, name)
	}
}

func TestStore_PutsThePrefixBeforeEachKeyAsItStands(t *testing.T) {
	t.Parallel()
	agent := shared.Agent(t)
	as := strings.TrimSuffix(prefix(t), "/") + "."
	s := open(t, agent, consul.Options{Prefix: as})
	saved := save(t, s, "certs/a", "one")
	pair, _, err := agent.Client().KV().Get(as+"certs/a", nil)
	require.NoError(t, err)
	require.NotNil(t, pair)
	assert.Equal(t, "one", string(pair.Value))
	loaded, err := s.Load(t.Context(), "certs/a")
	require.NoError(t, err)
	assert.Equal(t, saved, loaded)
}

func TestStore_IsBelowTricotWhereNoPrefixIsSaid(t *testing.T) {
	t.Parallel()
	agent := consultest.Dev(t, consultest.Options{})
	s, err := consul.Open(consul.Options{Client: agent.Client()})
	require.NoError(t, err)
	save(t, s, "certs/a", "one")
	held := lock(t, s, "a")
	keys, _, err := agent.Client().KV().Keys("", "", nil)
	require.NoError(t, err)
	assert.Equal(t, []string{"tricot/certs/a", "tricot/locks/a"}, keys)
	require.NoError(t, held.Unlock(t.Context()))
	keys, _, err = agent.Client().KV().Keys("", "", nil)
	require.NoError(t, err)
	assert.Equal(t, []string{"tricot/certs/a"}, keys, "a lock that nobody holds has no key")
}

func TestSave_SeesAConflictInWhatIsNoVersion(t *testing.T) {
	t.Parallel()
	s := open(t, shared.Agent(t), consul.Options{})
	for _, version := range []string{"0", "00", "-1", "+1", "x", "1 ", "99999999999999999999"} {
		_, err := s.Save(t.Context(), store.Record{Key: "certs/a", Version: version})
		assert.ErrorIs(t, err, store.ErrConflict, version)
	}
	_, err := s.Load(t.Context(), "certs/a")
	assert.ErrorIs(t, err, store.ErrNotFound)
	first := save(t, s, "certs/a", "one")
	_, err = s.Save(t.Context(), store.Record{Key: "certs/a", Version: "0" + first.Version})
	assert.ErrorIs(t, err, store.ErrConflict)
}

func TestSave_SaysWhereConsulIsConfiguredToTakeLess(t *testing.T) {
	t.Parallel()
	agent := consultest.Dev(t, consultest.Options{HCL: `limits { kv_max_value_size = 1000, txn_max_req_len = 1000 }`})
	s := open(t, agent, consul.Options{})
	_, err := s.Save(t.Context(), store.Record{Key: "certs/a", Value: make([]byte, 2000)})
	require.Error(t, err)
	assert.Regexp(t, `^save \S+/certs/a to Consul: Consul answered 413: .*too large, max size: 1000 bytes`, err.Error())
}

func TestSave_WritesOnceWhereTheAnswerIsLost(t *testing.T) {
	t.Parallel()
	agent := shared.Agent(t)
	client, m := meddled(t, agent)
	s := open(t, agent, consul.Options{Client: client})
	lost := 0
	loseAnswer(m, "/v1/txn", func() { lost++ })
	first := save(t, s, "certs/a", "one")
	assert.Equal(t, 1, lost)
	there, err := s.Load(t.Context(), "certs/a")
	require.NoError(t, err)
	assert.Equal(t, there, first)

	loseAnswer(m, "/v1/txn", func() { lost++ })
	second, err := s.Save(t.Context(), store.Record{Key: "certs/a", Value: []byte("two"), Version: first.Version})
	require.NoError(t, err)
	assert.Equal(t, 2, lost)
	there, err = s.Load(t.Context(), "certs/a")
	require.NoError(t, err)
	assert.Equal(t, there, second)
}

func TestSave_DoesNotTakeAnothersEqualWriteForItsOwn(t *testing.T) {
	t.Parallel()
	agent := shared.Agent(t)
	client, m := meddled(t, agent)
	s, other := open(t, agent, consul.Options{Client: client}), open(t, agent, consul.Options{})
	var once bool
	m.meddle(func(r *http.Request, inner http.RoundTripper) (*http.Response, error) {
		if strings.HasPrefix(r.URL.Path, "/v1/txn") && !once {
			once = true
			save(t, other, "count", "+")
			return nil, errors.New("nothing was sent")
		}
		return inner.RoundTrip(r)
	})
	_, err := s.Save(t.Context(), store.Record{Key: "count", Value: []byte("+")})
	assert.ErrorIs(t, err, store.ErrConflict)
}

func TestDelete_SucceedsWhereTheAnswerIsLost(t *testing.T) {
	t.Parallel()
	agent := shared.Agent(t)
	client, m := meddled(t, agent)
	s := open(t, agent, consul.Options{Client: client})
	save(t, s, "certs/a", "one")
	lost := 0
	loseAnswer(m, "/v1/txn", func() { lost++ })
	require.NoError(t, s.Delete(t.Context(), "certs/a"))
	assert.Equal(t, 1, lost)
	assert.ErrorIs(t, s.Delete(t.Context(), "certs/a"), store.ErrNotFound)
}

func TestDelete_DoesNotTakeARecordMadeSinceForItsOwnWhereTheAnswerIsLost(t *testing.T) {
	t.Parallel()
	agent := shared.Agent(t)
	client, m := meddled(t, agent)
	s, other := open(t, agent, consul.Options{Client: client}), open(t, agent, consul.Options{})
	save(t, s, "certs/a", "one")
	var later store.Record
	loseAnswer(m, "/v1/txn", func() { later = save(t, other, "certs/a", "two") })
	require.NoError(t, s.Delete(t.Context(), "certs/a"))
	there, err := other.Load(t.Context(), "certs/a")
	require.NoError(t, err)
	assert.Equal(t, later, there)
}

func TestStore_ReadsConsistently(t *testing.T) {
	t.Parallel()
	agent := shared.Agent(t)
	client, m := meddled(t, agent)
	s := open(t, agent, consul.Options{Client: client})
	var queries atomic.Int32
	m.meddle(func(r *http.Request, inner http.RoundTripper) (*http.Response, error) {
		if r.Method == http.MethodGet {
			queries.Add(1)
			assert.True(t, r.URL.Query().Has("consistent"), r.URL)
		}
		return inner.RoundTrip(r)
	})
	lines := follow(t, s, "certs/")
	told(t, lines, "")
	save(t, s, "certs/a", "one")
	told(t, lines, "certs/a=one")
	_, err := s.Load(t.Context(), "certs/a")
	require.NoError(t, err)
	held := lock(t, s, "a")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	_, err = s.Lock(ctx, "a")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, held.Unlock(t.Context()))
	require.NoError(t, s.Delete(t.Context(), "certs/a"))
	assert.GreaterOrEqual(t, queries.Load(), int32(7))
}

func TestDelete_TellsOneOfManyThatItWasIt(t *testing.T) {
	t.Parallel()
	agent := shared.Agent(t)
	s := open(t, agent, consul.Options{})
	for range 10 {
		save(t, s, "certs/a", "one")
		var deleted atomic.Int32
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				switch err := s.Delete(t.Context(), "certs/a"); {
				case err == nil:
					deleted.Add(1)
				default:
					assert.ErrorIs(t, err, store.ErrNotFound)
				}
			})
		}
		all.Wait()
		require.Equal(t, int32(1), deleted.Load())
	}
}

func TestDelete_DoesNotHarmALaterRecordWhereATryOfItIsDoneLate(t *testing.T) {
	t.Parallel()
	agent := shared.Agent(t)
	client, m := meddled(t, agent)
	s, other := open(t, agent, consul.Options{Client: client}), open(t, agent, consul.Options{})
	save(t, s, "certs/a", "one")
	var late []func()
	m.meddle(func(r *http.Request, inner http.RoundTripper) (*http.Response, error) {
		if r.URL.Path != "/v1/txn" || len(late) > 0 {
			return inner.RoundTrip(r)
		}
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		late = append(late, func() {
			again, err := http.NewRequest(r.Method, r.URL.String(), bytes.NewReader(body))
			assert.NoError(t, err)
			response, err := inner.RoundTrip(again)
			assert.NoError(t, err)
			assert.NoError(t, response.Body.Close())
		})
		return nil, errors.New("it takes its time")
	})
	require.NoError(t, s.Delete(t.Context(), "certs/a"))
	later := save(t, other, "certs/a", "two")
	require.Len(t, late, 1)
	late[0]()
	there, err := other.Load(t.Context(), "certs/a")
	require.NoError(t, err)
	assert.Equal(t, later, there)
}
