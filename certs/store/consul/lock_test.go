package consul_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/store"
	"github.com/tricot-proxy/tricot/certs/store/consul"
)

func TestLock_IsKeptByRenewalsForLongerThanItsTTL(t *testing.T) {
	t.Parallel()
	agent := shared.Agent(t)
	s, other := open(t, agent, consul.Options{SessionTTL: ttl}), open(t, agent, consul.Options{})
	held := lock(t, s, "a")
	ctx, cancel := context.WithTimeout(t.Context(), 3*ttl) // without renewals Consul waits for twice the TTL
	defer cancel()
	_, err := other.Lock(ctx, "a")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = held.Save(t.Context(), store.Record{Key: "certs/a", Value: []byte("one")})
	require.NoError(t, err)
	select {
	case <-held.Lost():
		require.Fail(t, "the lock was lost")
	default:
	}
	require.NoError(t, held.Unlock(t.Context()))
}

func TestLock_IsLostForItsHolderBeforeAnotherCanHaveIt(t *testing.T) {
	t.Parallel()
	agent := shared.Agent(t)
	client, m := meddled(t, agent)
	log, logger := newLog(slog.LevelInfo)
	s := open(t, agent, consul.Options{Client: client, Log: logger, SessionTTL: ttl})
	m.meddle(func(r *http.Request, inner http.RoundTripper) (*http.Response, error) {
		if r.Method == http.MethodGet || strings.HasPrefix(r.URL.Path, "/v1/session/renew/") {
			return nil, errors.New("the cable is out")
		}
		return inner.RoundTrip(r)
	})
	since := time.Now()
	held := lock(t, s, "a")
	closed(t, held.Lost(), "Lost was not closed")
	assert.GreaterOrEqual(t, time.Since(since), ttl, "renewals that fail are no loss while there is time")
	pair, _, err := agent.Client().KV().Get(prefix(t)+"locks/a", nil)
	require.NoError(t, err)
	require.NotNil(t, pair, "Consul was faster")
	require.NotEmpty(t, pair.Session)
	m.meddle(nil)
	_, err = held.Save(t.Context(), store.Record{Key: "certs/a"})
	require.ErrorIs(t, err, store.ErrLockLost, "what is lost stays lost")
	next := lock(t, open(t, agent, consul.Options{}), "a")
	require.NoError(t, next.Unlock(t.Context()))
	require.NoError(t, held.Unlock(t.Context()))
	assert.Equal(t, 1, log.count("cannot be renewed"))
	assert.Equal(t, 1, log.count("the session of a lock is lost"))
}

func TestLock_IsKeptWhereSomeRenewalsFail(t *testing.T) {
	t.Parallel()
	agent := shared.Agent(t)
	client, m := meddled(t, agent)
	log, logger := newLog(slog.LevelInfo)
	s := open(t, agent, consul.Options{Client: client, Log: logger, SessionTTL: 3 * ttl}) // a slow machine renews late
	var failed atomic.Int32
	m.meddle(func(r *http.Request, inner http.RoundTripper) (*http.Response, error) {
		if strings.HasPrefix(r.URL.Path, "/v1/session/renew/") && failed.Add(1) <= 3 {
			return nil, errors.New("the cable is out")
		}
		return inner.RoundTrip(r)
	})
	held := lock(t, s, "a")
	eventually(t, func() bool { return log.count("can be renewed again") == 1 }, "it is not renewed")
	assert.Equal(t, 1, log.count("cannot be renewed"))
	_, err := held.Save(t.Context(), store.Record{Key: "certs/a"})
	require.NoError(t, err)
	require.NoError(t, held.Unlock(t.Context()))
	assert.Zero(t, log.count("the session of a lock is lost"))
}

func TestLock_IsLostWithoutItsHoldersKnowledge(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*testing.T, *api.Client, string){
		"the session was ended": func(t *testing.T, client *api.Client, prefix string) {
			_, err := client.Session().Destroy(holding(t, client, prefix), nil)
			require.NoError(t, err)
		},
		"the key was deleted": func(t *testing.T, client *api.Client, prefix string) {
			_, err := client.KV().Delete(prefix+"locks/a", nil)
			require.NoError(t, err)
		},
		"the key was released": func(t *testing.T, client *api.Client, prefix string) {
			id := holding(t, client, prefix)
			ok, _, err := client.KV().Release(&api.KVPair{Key: prefix + "locks/a", Session: id}, nil)
			require.NoError(t, err)
			require.True(t, ok)
		},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			agent := shared.Agent(t)
			log, logger := newLog(slog.LevelInfo)
			s := open(t, agent, consul.Options{Log: logger})
			other := open(t, agent, consul.Options{})
			held := lock(t, s, "a")
			first, err := held.Save(t.Context(), store.Record{Key: "certs/a", Value: []byte("one")})
			require.NoError(t, err)
			got := make(chan store.Lock)
			go func() {
				lock, err := other.Lock(t.Context(), "a")
				assert.NoError(t, err)
				got <- lock
			}()

			end(t, agent.Client(), prefix(t))

			closed(t, held.Lost(), "Lost was not closed")
			next := closed(t, got, "the next did not get the lock")
			for _, version := range []string{first.Version, "", "1"} { // also where the record is another one
				_, err = held.Save(t.Context(), store.Record{Key: "certs/a", Value: []byte("two"), Version: version})
				require.ErrorIs(t, err, store.ErrLockLost)
				require.NotErrorIs(t, err, store.ErrConflict)
			}
			_, err = next.Save(t.Context(), store.Record{Key: "certs/a", Value: []byte("two"), Version: first.Version})
			require.NoError(t, err)
			require.NoError(t, held.Unlock(t.Context()), "of a lost lock")
			assert.Equal(t, 1, log.count("the session of a lock is lost"))
			select {
			case <-next.Lost():
				require.Fail(t, "the old holder took it away from the new one")
			default:
			}
			_, err = next.Save(t.Context(), store.Record{Key: "certs/b", Value: []byte("one")})
			require.NoError(t, err)
			require.NoError(t, next.Unlock(t.Context()))
			eventually(t, func() bool { return len(sessions(t, agent.Client(), prefix(t), "a")) == 0 }, "a session is left")
		})
	}
}

func TestLock_SavesNothingWhereOnlyConsulKnowsThatItIsLost(t *testing.T) {
	t.Parallel()
	agent := shared.Agent(t)
	client, m := meddled(t, agent)
	s := open(t, agent, consul.Options{Client: client})
	record := save(t, s, "certs/a", "one")
	hideQueries(m)
	held := lock(t, s, "a")
	id := sessions(t, agent.Client(), prefix(t), "a")[0].ID
	_, err := agent.Client().Session().Destroy(id, nil)
	require.NoError(t, err)
	for _, version := range []string{record.Version, "", "1"} {
		_, err = held.Save(t.Context(), store.Record{Key: "certs/a", Value: []byte("two"), Version: version})
		require.ErrorIs(t, err, store.ErrLockLost)
		require.NotErrorIs(t, err, store.ErrConflict)
	}
	select {
	case <-held.Lost():
		require.Fail(t, "the holder knew it")
	default:
	}
	other := open(t, agent, consul.Options{})
	next := lock(t, other, "a")
	_, err = held.Save(t.Context(), store.Record{Key: "certs/a", Value: []byte("two"), Version: record.Version})
	require.ErrorIs(t, err, store.ErrLockLost, "while another holds it")
	require.NoError(t, next.Unlock(t.Context()))
	require.NoError(t, held.Unlock(t.Context()))
}

func TestLock_SavesOnceWhereTheAnswerIsLostAndTheLockAfterIt(t *testing.T) {
	t.Parallel()
	agent := shared.Agent(t)
	client, m := meddled(t, agent)
	s := open(t, agent, consul.Options{Client: client})
	held := lock(t, s, "a")
	loseAnswer(m, "/v1/txn", func() {
		_, err := agent.Client().Session().Destroy(sessions(t, agent.Client(), prefix(t), "a")[0].ID, nil)
		assert.NoError(t, err)
	})
	saved, err := held.Save(t.Context(), store.Record{Key: "certs/a", Value: []byte("one")})
	require.NoError(t, err, "it was written while the lock was held")
	there, err := s.Load(t.Context(), "certs/a")
	require.NoError(t, err)
	assert.Equal(t, there, saved)
	closed(t, held.Lost(), "Lost was not closed")
	require.NoError(t, held.Unlock(t.Context()))
}

func TestLock_IsUnlockedOnce(t *testing.T) {
	t.Parallel()
	agent := shared.Agent(t)
	s := open(t, agent, consul.Options{})
	held := lock(t, s, "a")
	require.Len(t, sessions(t, agent.Client(), prefix(t), "a"), 1)
	require.NoError(t, held.Unlock(t.Context()))
	require.Empty(t, sessions(t, agent.Client(), prefix(t), "a"))
	require.ErrorContains(t, held.Unlock(t.Context()), "unlocked before")
	select {
	case <-held.Lost():
		require.Fail(t, "a lock that was given back is not lost")
	default:
	}
}

func TestLock_LeavesNoSessionWhereItGivesUp(t *testing.T) {
	t.Parallel()
	agent := shared.Agent(t)
	log, logger := newLog(slog.LevelDebug)
	s, other := open(t, agent, consul.Options{}), open(t, agent, consul.Options{Log: logger})
	held := lock(t, s, "a")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := other.Lock(ctx, "a")
		ended <- err
	}()
	eventually(t, func() bool { return log.count("lock is already held") == 1 }, "it does not try")
	require.Len(t, sessions(t, agent.Client(), prefix(t), "a"), 2)
	cancel()
	require.ErrorIs(t, closed(t, ended, "it waits on"), context.Canceled)
	require.Len(t, sessions(t, agent.Client(), prefix(t), "a"), 1)
	require.NoError(t, held.Unlock(t.Context()))
}

func TestLock_WaitsWithoutPolling(t *testing.T) {
	t.Parallel()
	agent := shared.Agent(t)
	log, logger := newLog(slog.LevelDebug)
	s := open(t, agent, consul.Options{})
	other := open(t, agent, consul.Options{Log: logger, Timeout: patience, Wait: time.Minute})
	held := lock(t, s, "a")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := other.Lock(ctx, "a")
		ended <- err
	}()
	eventually(t, func() bool { return log.count("asked Consul") == 3 }, "it does not look")
	time.AfterFunc(time.Second, cancel)
	require.ErrorIs(t, closed(t, ended, "it waits on"), context.Canceled)
	// A session, a try, a look, a wait of that second, and the end of the session.
	assert.Equal(t, 5, log.count("asked Consul"), log)
	require.NoError(t, held.Unlock(t.Context()))
}

func TestLock_OutwaitsTheLockDelayOfAStranger(t *testing.T) {
	t.Parallel()
	agent := shared.Agent(t)
	kv := agent.Client()
	id, _, err := kv.Session().CreateNoChecks(&api.SessionEntry{LockDelay: 500 * time.Millisecond}, nil)
	require.NoError(t, err)
	ok, _, err := kv.KV().Acquire(&api.KVPair{Key: prefix(t) + "locks/a", Session: id}, nil)
	require.NoError(t, err)
	require.True(t, ok)
	_, err = kv.Session().Destroy(id, nil)
	require.NoError(t, err)
	held := lock(t, open(t, agent, consul.Options{}), "a")
	require.NoError(t, held.Unlock(t.Context()))
}

func TestLock_TakesANewSessionWhereItsOwnEndedWhileItWaited(t *testing.T) {
	t.Parallel()
	agent := shared.Agent(t)
	s, other := open(t, agent, consul.Options{}), open(t, agent, consul.Options{})
	held := lock(t, s, "a")
	got := make(chan store.Lock, 1)
	go func() {
		lock, err := other.Lock(t.Context(), "a")
		assert.NoError(t, err)
		got <- lock
	}()
	eventually(t, func() bool { return len(sessions(t, agent.Client(), prefix(t), "a")) == 2 }, "nobody waits")
	holds := holding(t, agent.Client(), prefix(t))
	for _, session := range sessions(t, agent.Client(), prefix(t), "a") {
		if session.ID != holds {
			_, err := agent.Client().Session().Destroy(session.ID, nil)
			require.NoError(t, err)
		}
	}
	require.NoError(t, held.Unlock(t.Context()))
	next := closed(t, got, "it did not get the lock")
	_, err := next.Save(t.Context(), store.Record{Key: "certs/a"})
	require.NoError(t, err)
	require.NoError(t, next.Unlock(t.Context()))
}

func TestLock_HasASessionThatNothingButItsTTLEnds(t *testing.T) {
	t.Parallel()
	agent := shared.Agent(t)
	held := lock(t, open(t, agent, consul.Options{SessionTTL: time.Minute}), "a")
	session := sessions(t, agent.Client(), prefix(t), "a")[0]
	assert.Empty(t, session.NodeChecks)
	assert.Empty(t, session.ServiceChecks)
	assert.Zero(t, session.LockDelay)
	assert.Equal(t, api.SessionBehaviorDelete, session.Behavior)
	assert.Equal(t, "1m0s", session.TTL)
	assert.Equal(t, agent.NodeName, session.Node)
	require.NoError(t, held.Unlock(t.Context()))
}
