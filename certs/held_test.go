package certs_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs"
)

// An issuer that holds back asks nothing for a name: it waits for a CA that is away, or that has told it to wait.
type heldBack struct{ refusal }

func (heldBack) Error() string { return "the CA is away" }
func (heldBack) Held() bool    { return true }

func TestHeld_CountsAsNoAttemptOfTheName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, 0)
		p.issuer.On(func(context.Context, string) error {
			return fmt.Errorf("order: %w", heldBack{refusal{at: time.Now().Add(2 * time.Second)}})
		})
		k := p.keeper(certs.Options{Store: seldom{p.store()}}, "app.example.com")
		<-time.After(24 * time.Hour)
		_, there := p.failure("app.example.com")
		assert.False(t, there)
		assert.Less(t, p.issuer.Count("app.example.com"), 24*60/2, "nor is it tried without a pause")
		assert.Equal(t, 1, p.log.Count("no certificate can be had"))

		// The first time that it is asked is the first attempt, with the first pause.
		p.issuer.On(no)
		tried := p.issuer.Count("app.example.com")
		for p.issuer.Count("app.example.com") == tried {
			<-time.After(time.Second)
		}
		<-time.After(time.Second)
		f, _ := p.failure("app.example.com")
		assert.Equal(t, 1, f.Attempts)
		assert.LessOrEqual(t, time.Until(f.NextTry), 5*time.Second)
		p.issuer.On(nil)
		<-time.After(5*time.Minute + time.Second)
		_, trusted := p.served(k, "app.example.com")
		assert.True(t, trusted, "a CA that is back is noticed soon, however long it was away")
	})
}

func TestHeld_ForLongByTheCAHoldsAllInstancesAndTheNextToBeStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, 0)
		until := time.Now().Add(3 * time.Hour)
		p.issuer.On(func(context.Context, string) error { return heldBack{refusal{at: until}} })
		_, stop := p.start(certs.Options{Store: seldom{p.store()}}, hosts("app.example.com")...)
		<-time.After(time.Minute)
		f, there := p.failure("app.example.com")
		require.True(t, there)
		assert.Zero(t, f.Attempts)
		assert.Equal(t, "the CA is away", f.LastError)
		assert.WithinRange(t, f.NextTry, until, until.Add(20*time.Minute))
		list, err := certs.List(t.Context(), p.store(), time.Now())
		require.NoError(t, err)
		require.Len(t, list, 1)
		assert.Equal(t, "the CA is away", list[0].LastError)
		stop()

		p.keeper(certs.Options{Store: seldom{p.store()}}, "app.example.com")
		<-time.After(time.Until(until))
		assert.Equal(t, 1, p.issuer.Count("app.example.com"))
		p.issuer.On(nil)
		<-time.After(21 * time.Minute)
		assert.Equal(t, 2, p.issuer.Count("app.example.com"))
		_, there = p.failure("app.example.com")
		assert.False(t, there)
	})
}
