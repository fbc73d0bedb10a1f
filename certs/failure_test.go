package certs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs"
	"github.com/tricot-proxy/tricot/certs/certstest"
	"github.com/tricot-proxy/tricot/certs/store"
)

// A failed is a record below failures/.
type failed struct {
	Attempts  int       `json:"attempts"`
	LastError string    `json:"last_error"`
	NextTry   time.Time `json:"next_try"`
}

// failure gives what the store has of a failure, and whether it has anything.
func (p *place) failure(name string) (f failed, there bool) {
	p.t.Helper()
	record, err := p.store().Load(p.t.Context(), "failures/"+name)
	if errors.Is(err, store.ErrNotFound) {
		return f, false
	}
	require.NoError(p.t, err)
	require.NoError(p.t, json.Unmarshal(record.Value, &f))
	return f, true
}

func (p *place) putFailure(name string, value any) {
	p.t.Helper()
	inJSON, is := value.([]byte)
	if !is {
		var err error
		inJSON, err = json.Marshal(value)
		require.NoError(p.t, err)
	}
	_, err := p.store().Save(p.t.Context(), store.Record{Key: "failures/" + name, Value: inJSON})
	require.NoError(p.t, err)
}

// pauses gives the times between the orders so far.
func pauses(i *certstest.Issuer) (pauses []time.Duration) {
	times := i.Times()
	for n := range len(times) - 1 {
		pauses = append(pauses, times[n+1].Sub(times[n]))
	}
	return pauses
}

// A refusal is an issuer's error that says more.
type refusal struct {
	at   time.Time
	name bool
}

func (r refusal) Error() string      { return "the CA says no" }
func (r refusal) RetryAt() time.Time { return r.at }
func (r refusal) NameRefused() bool  { return r.name }

func no(context.Context, string) error { return errors.New("the CA says no") }

func TestFailure_IsKeptWithTheseFieldsExactly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, 0)
		p.issuer.On(func(context.Context, string) error {
			return errors.New("the CA says:\n\tno\x1b[31m\r\n" + strings.Repeat("ü", 1000))
		})
		begin := time.Now()
		p.keeper(certs.Options{}, "app.example.com", "[2001:db8::1]")
		p.eventually(func() bool { _, there := p.failure("app.example.com"); return there })
		p.eventually(func() bool { _, there := p.failure("2001~db8~~1"); return there })
		record, err := p.store().Load(t.Context(), "failures/app.example.com")
		require.NoError(t, err)
		var fields map[string]any
		require.NoError(t, json.Unmarshal(record.Value, &fields))
		assert.Equal(t, 1.0, fields["attempts"])
		text := fields["last_error"].(string)
		assert.True(t, strings.HasPrefix(text, "the CA says: no [31m üü"), text)
		assert.Less(t, len(text), 700)
		next, err := time.Parse(time.RFC3339, fields["next_try"].(string))
		require.NoError(t, err)
		assert.WithinRange(t, next, begin.Add(2500*time.Millisecond), time.Now().Add(5*time.Second))
		assert.Equal(t, time.UTC, next.Location())
		assert.Len(t, fields, 3)
	})
}

func TestFailure_IsNotForgottenByARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, 0)
		p.issuer.On(no)
		_, stop := p.start(certs.Options{}, hosts("app.example.com")...)
		for p.issuer.Count("app.example.com") < 8 {
			<-time.After(time.Second)
		}
		stop()
		before, _ := p.failure("app.example.com")
		require.Equal(t, 8, before.Attempts)
		require.Greater(t, time.Until(before.NextTry), 4*time.Minute)

		for range 3 { // and again
			_, stop = p.start(certs.Options{}, hosts("app.example.com")...)
			<-time.After(time.Minute)
			stop()
		}
		assert.Equal(t, 8, p.issuer.Count("app.example.com"))
		assert.Equal(t, 3, p.log.Count("no certificate could be had"), "each says once that it waits")
		p.start(certs.Options{}, hosts("app.example.com")...)
		<-time.After(time.Until(before.NextTry) + time.Second)
		assert.Equal(t, 9, p.issuer.Count("app.example.com"))
		after, _ := p.failure("app.example.com")
		assert.Equal(t, 9, after.Attempts)
		assert.Greater(t, time.Until(after.NextTry), 10*time.Minute)
	})
}

func TestFailure_IsThatOfAllInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, 0)
		p.issuer.On(no)
		for range 3 {
			p.keeper(certs.Options{}, "app.example.com")
		}
		<-time.After(time.Hour)
		most := 5 * time.Second
		pauses := pauses(p.issuer)
		for _, pause := range pauses {
			assert.GreaterOrEqual(t, pause, most/2)
			assert.LessOrEqual(t, pause, most+time.Second)
			most *= 2
		}
		assert.GreaterOrEqual(t, len(pauses), 8)

		p.issuer.On(nil)
		f, _ := p.failure("app.example.com")
		<-time.After(time.Until(f.NextTry) + 5*time.Second)
		_, there := p.failure("app.example.com")
		assert.False(t, there, "cleared by the success")
		assert.Equal(t, 3, p.log.Count("its certificate after all"), "each instance has had trouble, and it has ended")
		assert.Equal(t, 3, p.log.Count("no certificate c")) // can be had, could be had
	})
}

func TestFailure_PausesForADayAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, 0)
		p.issuer.On(no)
		p.putFailure("app.example.com", failed{Attempts: 1000, LastError: "no", NextTry: time.Now().Add(time.Minute)})
		p.keeper(certs.Options{}, "app.example.com")
		<-time.After(time.Minute + time.Second)
		f, _ := p.failure("app.example.com")
		assert.Equal(t, 1001, f.Attempts)
		assert.WithinRange(t, f.NextTry, time.Now().Add(11*time.Hour), time.Now().Add(24*time.Hour))
	})
}

func TestFailure_ObeysTheIssuerThatWantsALongerPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, 0)
		limits := map[string]time.Duration{
			"hours.example.com": time.Hour, "days.example.com": 6 * 24 * time.Hour, "ages.example.com": 1000 * 24 * time.Hour,
			"never.example.com": -time.Hour, "soon.example.com": time.Millisecond,
		}
		p.issuer.On(func(_ context.Context, name string) error {
			return fmt.Errorf("order: %w", refusal{at: time.Now().Add(limits[name])})
		})
		var names []string
		for name := range limits {
			names = append(names, name)
		}
		_, stop := p.start(certs.Options{Store: seldom{p.store()}, MaxBackoff: time.Minute}, hosts(names...)...)
		<-time.After(time.Second)
		for name, want := range map[string][2]time.Duration{
			"hours.example.com": {time.Hour - 2*time.Second, 67 * time.Minute},
			"days.example.com":  {6*24*time.Hour - 2*time.Second, 7 * 24 * time.Hour},
			"ages.example.com":  {7*24*time.Hour - 2*time.Second, 8 * 24 * time.Hour},
			"never.example.com": {time.Second, 5 * time.Second},
			"soon.example.com":  {time.Second, 5 * time.Second},
		} {
			f, _ := p.failure(name)
			assert.WithinRange(t, f.NextTry, time.Now().Add(want[0]), time.Now().Add(want[1]), name)
		}
		<-time.After(20 * time.Minute)
		stop() // the next instance obeys, too
		p.keeper(certs.Options{Store: seldom{p.store()}, MaxBackoff: time.Minute}, names...)
		<-time.After(39 * time.Minute)
		assert.Equal(t, 1, p.issuer.Count("hours.example.com"))
		<-time.After(8 * time.Minute)
		assert.Equal(t, 2, p.issuer.Count("hours.example.com"))
		assert.Equal(t, 1, p.issuer.Count("days.example.com"))
		assert.Equal(t, 1, p.issuer.Count("ages.example.com"))
		assert.Greater(t, p.issuer.Count("soon.example.com"), 50)
	})
}

func TestFailure_OfManyAtOnceIsNotTriedAgainInOneSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, 0)
		until := time.Now().Add(20 * time.Minute)
		p.issuer.On(func(context.Context, string) error { return refusal{at: until} })
		var names []string
		for i := range 40 {
			names = append(names, fmt.Sprintf("n%d.example.com", i))
		}
		p.keeper(certs.Options{Store: seldom{p.store()}}, names...)
		<-time.After(23 * time.Minute)
		perSecond := map[int64]int{}
		for _, at := range p.issuer.Times()[40:] {
			require.False(t, at.Before(until))
			perSecond[at.Unix()]++
		}
		for _, count := range perSecond {
			assert.Less(t, count, 10)
		}
	})
}

func TestFailure_OfANameThatIsAtFaultHasLongerPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, 0)
		p.issuer.On(func(context.Context, string) error { return fmt.Errorf("order: %w", refusal{name: true}) })
		p.keeper(certs.Options{Store: seldom{p.store()}}, "app.example.com")
		<-time.After(time.Hour)
		most := time.Minute
		for _, pause := range pauses(p.issuer) {
			assert.GreaterOrEqual(t, pause, most/2)
			assert.LessOrEqual(t, pause, most+time.Second)
			most *= 2
		}
		assert.LessOrEqual(t, p.issuer.Count("app.example.com"), 7)
	})
}

func TestFailure_ThatCannotBeReadOrIsNotToBeBelievedHoldsNothingUp(t *testing.T) {
	for name, value := range map[string]any{
		"not JSON":           []byte("nonsense"),
		"of another kind":    []byte(`{"attempts": "many"}`),
		"negative":           failed{Attempts: -3, NextTry: time.Now().Add(time.Hour)},
		"a clock that lies":  failed{Attempts: 3, NextTry: time.Now().AddDate(50, 0, 0)},
		"past":               failed{Attempts: 3, NextTry: time.Now().Add(-time.Second)},
		"empty, so to speak": failed{},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, 0)
			p.putFailure("app.example.com", value)
			k := p.keeper(certs.Options{}, "app.example.com")
			p.await(k, "app.example.com")
			p.eventually(func() bool { _, err := p.store().Load(t.Context(), "failures/app.example.com"); return err != nil })
		})
	}
}

func TestFailure_OfAnotherInstanceIsLookedAtUnderTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, 0)
		lock, err := p.store().Lock(t.Context(), "app.example.com")
		require.NoError(t, err)
		locking := make(chan struct{}, 100)
		p.keeper(certs.Options{Store: &faults{Store: p.store(), deaf: true, locking: locking}}, "app.example.com")
		<-locking
		p.putFailure("app.example.com", failed{Attempts: 3, LastError: "no", NextTry: time.Now().Add(time.Hour)})
		require.NoError(t, lock.Unlock(t.Context()))
		<-time.After(59 * time.Minute)
		assert.Empty(t, p.issuer.Names())
		assert.Empty(t, locking, "nor was it looked at again and again")
		assert.Equal(t, 1, p.log.Count("no certificate could be had"))
		<-time.After(time.Minute + 5*time.Second)
		assert.Equal(t, 1, p.issuer.Count("app.example.com"))
	})
}

func TestFailure_IsNotTheIssuersWhereTheStoreIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, 0)
		s := &locks{Store: seldom{p.store()}}
		s.away.Store(true)
		k := p.keeper(certs.Options{Store: s}, "app.example.com")
		<-time.After(24 * time.Hour)
		assert.Empty(t, p.issuer.Names())
		assert.Less(t, int(s.count.Load()), 24*60/2)
		_, there := p.failure("app.example.com")
		assert.False(t, there)
		s.away.Store(false)
		<-time.After(5*time.Minute + time.Second)
		_, trusted := p.served(k, "app.example.com")
		assert.True(t, trusted, "a store that is back is noticed soon")
	})
}

func TestFailure_ThatCannotBeSavedHoldsThisInstanceAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, 0)
		p.issuer.On(no)
		p.keeper(certs.Options{Store: &faults{Store: seldom{p.store()}, readOnly: true}}, "app.example.com")
		<-time.After(4 * time.Hour)
		assert.Less(t, p.issuer.Count("app.example.com"), 16)
		assert.Greater(t, p.issuer.Count("app.example.com"), 9)
	})
}

func TestFailure_OfANameThatNobodyWantsIsClearedAwayAfterADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, 0)
		p.putFailure("old.example.com", failed{Attempts: 1, NextTry: time.Now().Add(-25 * time.Hour)})
		p.putFailure("new.example.com", failed{Attempts: 1, NextTry: time.Now().Add(-22*time.Hour - 30*time.Minute)})
		p.putFailure("wanted.example.com", failed{Attempts: 1, NextTry: time.Now().Add(-25 * time.Hour)})
		p.issuer.On(func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() })
		p.keeper(certs.Options{Store: seldom{p.store()}}, "wanted.example.com")
		<-time.After(61 * time.Minute)
		_, there := p.failure("old.example.com")
		assert.False(t, there)
		_, there = p.failure("new.example.com")
		assert.True(t, there)
		_, there = p.failure("wanted.example.com")
		assert.True(t, there)
		<-time.After(time.Hour)
		_, there = p.failure("new.example.com")
		assert.False(t, there)
	})
}

// locks is a store that has no locks to give for a while.
type locks struct {
	store.Store
	away  atomic.Bool
	count atomic.Int32
}

func (l *locks) Lock(ctx context.Context, name string) (store.Lock, error) {
	l.count.Add(1)
	if l.away.Load() {
		return nil, errors.New("the store is away")
	}
	return l.Store.Lock(ctx, name)
}
