package certs_test

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs"
	"github.com/tricot-proxy/tricot/certs/certstest"
	"github.com/tricot-proxy/tricot/certs/local"
	"github.com/tricot-proxy/tricot/certs/store"
)

func TestList_TellsAllThatTheStoreHas(t *testing.T) {
	p := newPlace(t, 48*time.Hour)
	now := time.Now()
	p.put("app.example.com", p.fields("app.example.com"))
	p.put("2001~db8~~1", p.fields("2001:db8::1"))
	p.putRaw("bad.example.com", []byte(`{"hostname": "bad.example.com", "key_pem": "-----BEGIN PRIV`))
	past := certstest.Authority(t, local.Options{Store: p.store(), Lifetime: time.Hour, Host: "test",
		Now: func() time.Time { return now.Add(-2 * time.Hour) }})
	pair, err := past.Issue(t.Context(), "expired.example.com")
	require.NoError(t, err)
	p.put("expired.example.com", map[string]any{"hostname": "expired.example.com", "key_pem": string(pair.Key), "fullchain_pem": string(pair.Chain)})
	next := now.Add(time.Hour).UTC()
	p.putFailure("failed.example.com", failed{Attempts: 3, LastError: "the CA\nsays no", NextTry: next})
	p.putFailure("expired.example.com", failed{Attempts: 1, LastError: "the CA says no", NextTry: next})
	p.putFailure("nonsense.example.com", []byte("nonsense"))

	list, err := certs.List(t.Context(), p.store(), now)
	require.NoError(t, err)
	require.Len(t, list, 5)
	var names []string
	for _, s := range list {
		names = append(names, s.Name)
	}
	assert.Equal(t, []string{"2001:db8::1", "app.example.com", "bad.example.com", "expired.example.com", "failed.example.com"}, names)

	for _, s := range list[:2] {
		assert.Equal(t, "Tricot local authority test", s.Issuer)
		assert.Equal(t, 48*time.Hour, s.To.Sub(s.From))
		assert.Equal(t, 24*time.Hour, s.Due.Sub(s.From))
		assert.WithinRange(t, now, s.From, s.To)
		assert.Equal(t, time.UTC, s.To.Location())
		assert.Empty(t, s.Problem+s.LastError)
		assert.Zero(t, s.NextTry)
	}
	assert.Equal(t, certs.Status{Name: "bad.example.com", Problem: "the record is not JSON as it should be"}, list[2])
	assert.Contains(t, list[3].Problem, "expired at")
	assert.Equal(t, time.Hour, list[3].To.Sub(list[3].From))
	assert.Equal(t, "Tricot local authority test", list[3].Issuer)
	assert.Equal(t, 1, list[3].Attempts)
	assert.Equal(t, certs.Status{Name: "failed.example.com", Attempts: 3, LastError: "the CA says no", NextTry: next}, list[4])

	inJSON, err := json.Marshal(list[4])
	require.NoError(t, err)
	assert.JSONEq(t, `{"name": "failed.example.com", "attempts": 3, "last_error": "the CA says no",
		"next_try": "`+next.Format(time.RFC3339Nano)+`"}`, string(inJSON))
	inJSON, err = json.Marshal(list[0])
	require.NoError(t, err)
	var fields map[string]any
	require.NoError(t, json.Unmarshal(inJSON, &fields))
	assert.Len(t, fields, 5)
	assert.Contains(t, fields, "renewal_due")
	assert.NotContains(t, string(inJSON), "PRIVATE")
}

func TestList_OfAnEmptyStoreIsEmpty(t *testing.T) {
	list, err := certs.List(t.Context(), newPlace(t, 0).store(), time.Now())
	require.NoError(t, err)
	assert.Empty(t, list)
	inJSON, err := json.Marshal(list)
	require.NoError(t, err)
	assert.Equal(t, "[]", string(inJSON))
}

// mute is a store that never tells what it has, as one that is away.
type mute struct{ store.Store }

func (mute) Follow(ctx context.Context, _ string, _ func([]store.Record)) error {
	<-ctx.Done()
	return nil
}

func TestList_EndsWithItsContextWhereTheStoreIsAway(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := certs.List(ctx, mute{newPlace(t, 0).store()}, time.Now())
	assert.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestRenew_ReplacesACertificateThatIsNotDueBesideRunningInstances(t *testing.T) {
	p := newPlace(t, 0)
	k := p.keeper(certs.Options{}, "app.example.com")
	old := p.await(k, "app.example.com")
	before := p.record("app.example.com").Version
	command := p.idle(certs.Options{})
	require.NoError(t, command.Renew(t.Context(), "App.Example.com."))
	assert.Equal(t, 2, p.issuer.Count("app.example.com"))
	assert.NotEqual(t, before, p.record("app.example.com").Version)
	p.eventually(func() bool {
		leaf, trusted := p.served(k, "app.example.com")
		return trusted && leaf.SerialNumber.Cmp(old.SerialNumber) != 0
	})
	assert.Equal(t, 2, p.issuer.Count("app.example.com"))
	require.NoError(t, command.Renew(t.Context(), "[::1]"))
	assert.NotEmpty(t, p.record("~~1").Value)
}

func TestRenew_TriesInSpiteOfAFailureAndClearsItAway(t *testing.T) {
	p := newPlace(t, 0)
	p.putFailure("app.example.com", failed{Attempts: 7, LastError: "no", NextTry: time.Now().Add(time.Hour)})
	k := p.idle(certs.Options{})
	p.issuer.On(no)
	assert.ErrorContains(t, k.Renew(t.Context(), "app.example.com"), `renew the certificate of "app.example.com": the CA says no`)
	f, _ := p.failure("app.example.com")
	assert.Equal(t, 8, f.Attempts, "it counts for all")
	assert.Equal(t, "the CA says no", f.LastError)
	p.issuer.On(nil)
	require.NoError(t, k.Renew(t.Context(), "app.example.com"))
	_, there := p.failure("app.example.com")
	assert.False(t, there)
}

func TestRenew_WaitsForTheLockAndEndsWithItsContext(t *testing.T) {
	p := newPlace(t, 0)
	lock, err := p.store().Lock(t.Context(), "app.example.com")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	assert.ErrorIs(t, p.idle(certs.Options{}).Renew(ctx, "app.example.com"), context.DeadlineExceeded)
	var renewing sync.WaitGroup
	renewing.Go(func() { assert.NoError(t, p.idle(certs.Options{}).Renew(t.Context(), "app.example.com")) })
	require.NoError(t, lock.Unlock(t.Context()))
	renewing.Wait()
	assert.Equal(t, 1, p.issuer.Count("app.example.com"))
}

func TestRenew_RefusesWhatCannotHaveACertificate(t *testing.T) {
	p := newPlace(t, 0)
	k := p.idle(certs.Options{Issuer: picky{p.issuer}})
	for name, want := range map[string]string{
		"*.example.com": "wildcard", "": "empty", "a b": "not allowed", "../x": "not a name",
		"localhost": "the issuer picky does not sign for it: it is not in the public DNS",
	} {
		assert.ErrorContains(t, k.Renew(t.Context(), name), want)
	}
	assert.Empty(t, p.issuer.Names())
	s := &locks{Store: p.store()}
	s.away.Store(true)
	err := p.idle(certs.Options{Store: s}).Renew(t.Context(), "app.example.com")
	assert.ErrorContains(t, err, "wait for its lock: the store is away")
}
