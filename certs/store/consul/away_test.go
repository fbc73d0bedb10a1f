package consul_test

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/store"
	"github.com/tricot-proxy/tricot/certs/store/consul"
	"github.com/tricot-proxy/tricot/providers/consul/consultest"
)

func TestStore_SaysWithinItsTimeThatNobodyIsThere(t *testing.T) {
	t.Parallel()
	config := api.DefaultConfig()
	config.Address = refusing(t)
	client, err := api.NewClient(config)
	require.NoError(t, err)
	log, logger := newLog(slog.LevelInfo)
	s, err := consul.Open(consul.Options{Client: client, Timeout: 3 * time.Second, Log: logger})
	require.NoError(t, err)

	begin := time.Now()
	var all sync.WaitGroup
	for want, try := range operations(s) {
		all.Go(func() {
			err := try(t.Context())
			assert.ErrorContains(t, err, want+" Consul: ")
			assert.ErrorContains(t, err, "given up after 3s: ")
			assert.ErrorContains(t, err, "connection refused")
			assert.NotErrorIs(t, err, context.DeadlineExceeded, "it is not the caller's")
		})
	}
	all.Wait()
	assert.Less(t, time.Since(begin), patience)
	patient, err := consul.Open(consul.Options{Client: client, Timeout: patience, Log: logger})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err = patient.Load(ctx, "certs/a")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.ErrorContains(t, err, "connection refused")

	lines := follow(t, s, "certs/")
	eventually(t, func() bool { return log.count(begins) == 1 }, "it is not said")
	assert.Empty(t, lines)
}

// refusing gives an address that nobody listens on, nor can until the test ends: it is one end of a connection.
func refusing(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	own := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}}
	conn, err := own.DialContext(t.Context(), "tcp", listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn.LocalAddr().String()
}

// operations are all that asks Consul once, by how their errors begin.
func operations(s store.Store) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"load tricot/certs/a from": func(ctx context.Context) error {
			_, err := s.Load(ctx, "certs/a")
			return err
		},
		"save tricot/certs/a to": func(ctx context.Context) error {
			_, err := s.Save(ctx, store.Record{Key: "certs/a", Value: []byte("one")})
			return err
		},
		"delete tricot/certs/a from": func(ctx context.Context) error { return s.Delete(ctx, "certs/a") },
		"lock tricot/locks/a in": func(ctx context.Context) error {
			_, err := s.Lock(ctx, "a")
			return err
		},
	}
}

func TestStore_OutlivesAConsulThatIsFrozenForLongerThanEveryTimeOut(t *testing.T) {
	t.Parallel()
	agent := consultest.Dev(t, consultest.Options{HCL: quick})
	log, logger := newLog(slog.LevelInfo)
	o := consul.Options{
		Prefix: "tricot/", Log: logger, SessionTTL: ttl, Timeout: 3 * time.Second, Wait: 200 * time.Millisecond,
	}
	s := open(t, agent, o)
	o.Timeout = 300 * time.Millisecond
	hasty := open(t, agent, o) // is used while Consul does not answer only
	o.Timeout = patience
	patient := open(t, agent, o)
	saved := save(t, patient, "certs/there", "one")
	lines := follow(t, s, "certs/")
	told(t, lines, "certs/there=one")
	held, waiting := lock(t, s, "held"), make(chan error, 1)
	go func() {
		_, err := s.Lock(t.Context(), "held")
		waiting <- err
	}()
	eventually(t, func() bool { return len(sessions(t, agent.Client(), "tricot/", "held")) == 2 }, "nobody waits")

	agent.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := held.Save(ctx, store.Record{Key: "certs/c"})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	for want, try := range operations(hasty) {
		begin := time.Now()
		err = try(t.Context())
		require.Error(t, err)
		assert.Contains(t, err.Error(), want+" Consul: ")
		assert.Contains(t, err.Error(), "given up after 300ms: no answer to ")
		assert.NotErrorIs(t, err, context.DeadlineExceeded)
		assert.Less(t, time.Since(begin), patience)
	}
	closed(t, held.Lost(), "the TTL may be over and Lost is not closed")
	_, err = held.Save(t.Context(), store.Record{Key: "certs/c"})
	require.ErrorIs(t, err, store.ErrLockLost)
	require.Error(t, closed(t, waiting, "it waits for a Consul that is not there"))
	eventually(t, func() bool { return log.count(begins) == 1 }, "it is not said")
	assert.Empty(t, lines)
	require.Error(t, held.Unlock(t.Context()))
	agent.Resume()

	eventually(t, func() bool { return log.count(ends) == 1 }, "it is not said")
	again := lock(t, patient, "held")
	_, err = again.Save(t.Context(), store.Record{Key: "certs/there", Value: []byte("two"), Version: saved.Version})
	require.NoError(t, err)
	for { // what was sent to the frozen Consul may have been done by the thawed one, or not
		if strings.HasSuffix(closed(t, lines, "the change is not told"), "certs/there=two") {
			break
		}
	}
	require.NoError(t, again.Unlock(t.Context()))
	assert.Equal(t, 1, log.count(begins))
	assert.Equal(t, 1, log.count(ends))
}

func TestStore_GoesOnWhereConsulIsKilledAndComesBack(t *testing.T) {
	t.Parallel()
	agent := consultest.Dev(t, consultest.Options{Persistent: true, HCL: quick})
	log, logger := newLog(slog.LevelInfo)
	long := consul.Options{Prefix: "tricot/", Log: logger, SessionTTL: time.Minute, Timeout: patience}
	s, other := open(t, agent, long), open(t, agent, long)
	first := save(t, s, "certs/a", "one")
	lines := follow(t, s, "certs/")
	told(t, lines, "certs/a=one")
	held, got := lock(t, s, "a"), make(chan store.Lock, 1)
	go func() {
		next, err := other.Lock(t.Context(), "a")
		assert.NoError(t, err)
		got <- next
	}()
	eventually(t, func() bool { return len(sessions(t, agent.Client(), "tricot/", "a")) == 2 }, "nobody waits")

	agent.Stop()
	eventually(t, func() bool { return log.count(begins) == 1 }, "it is not said")
	saved := make(chan store.Record, 1)
	go func() { // in the middle of it
		second, err := held.Save(t.Context(), store.Record{Key: "certs/a", Value: []byte("two"), Version: first.Version})
		assert.NoError(t, err)
		saved <- second
	}()
	agent.Restart()

	second := closed(t, saved, "the write does not end")
	assert.NotEmpty(t, second.Version)
	told(t, lines, "certs/a=two")
	select {
	case <-held.Lost():
		require.Fail(t, "the lock was lost")
	case <-got:
		require.Fail(t, "two hold the lock")
	default:
	}
	require.NoError(t, held.Unlock(t.Context()))
	next := closed(t, got, "the next did not get it")
	_, err := next.Save(t.Context(), store.Record{Key: "certs/a", Value: []byte("three"), Version: second.Version})
	require.NoError(t, err)
	told(t, lines, "certs/a=three")
	require.NoError(t, next.Unlock(t.Context()))
	assert.Equal(t, 1, log.count(begins))
	assert.Equal(t, 1, log.count(ends))
}

func TestStore_SaysAtOnceThatItDoesNotTrustConsul(t *testing.T) {
	t.Parallel()
	agent := consultest.Dev(t, consultest.Options{TLS: consultest.NewTLS(t)})
	config := api.DefaultConfig()
	config.Address = agent.HTTP
	config.TLSConfig.CAFile = consultest.NewTLS(t).CA // another one
	client, err := api.NewClient(config)
	require.NoError(t, err)
	s := open(t, agent, consul.Options{Client: client, Prefix: "tricot/"})
	begin := time.Now()
	for want, try := range operations(s) {
		err := try(t.Context())
		require.Error(t, err)
		assert.Contains(t, err.Error(), want+" Consul: ")
		assert.Contains(t, err.Error(), "certificate signed by unknown authority")
		assert.NotContains(t, err.Error(), "given up")
	}
	assert.Less(t, time.Since(begin), consul.DefaultTimeout)
}
