package certs_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs"
)

// The tests here run in bubbles whose time passes as fast as nothing happens in them; the store is the real one still.

func TestKeeper_ServesTheOldCertificateWhileABadRecordIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, 0)
		k := p.keeper(certs.Options{}, "app.example.com")
		old := p.await(k, "app.example.com")
		order := make(chan struct{})
		asked := make(chan struct{})
		p.issuer.On(func(context.Context, string) error { close(asked); <-order; return nil })
		p.putRaw("app.example.com", []byte("nonsense"))
		<-asked
		leaf, trusted := p.served(k, "app.example.com")
		assert.True(t, trusted)
		assert.Equal(t, old.SerialNumber, leaf.SerialNumber)
		close(order)
		p.eventually(func() bool {
			leaf, trusted := p.served(k, "app.example.com")
			return trusted && old.SerialNumber.Cmp(leaf.SerialNumber) != 0
		})
	})
}

func TestKeeper_RenewsAtHalfOfTheLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, time.Hour)
		k := p.keeper(certs.Options{}, "app.example.com")
		old := p.await(k, "app.example.com")
		for range 3 {
			half := old.NotBefore.Add(30 * time.Minute)
			<-time.After(time.Until(half) - time.Second)
			leaf, trusted := p.served(k, "app.example.com")
			require.True(t, trusted)
			require.Equal(t, old.SerialNumber, leaf.SerialNumber, "just before half")
			<-time.After(time.Hour/20 + 2*time.Second)
			leaf, trusted = p.served(k, "app.example.com")
			require.True(t, trusted)
			require.NotEqual(t, old.SerialNumber, leaf.SerialNumber, "a little after half")
			old = leaf
		}
		assert.Equal(t, 4, p.issuer.Count("app.example.com"))
	})
}

func TestKeeper_SpreadsTheRenewalsOfNamesThatCameTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const count = 40
		p := newSimulatedPlace(t, time.Hour)
		var names []string
		for i := range count {
			names = append(names, fmt.Sprintf("n%d.example.com", i))
		}
		p.keeper(certs.Options{}, names...)
		<-time.After(40 * time.Minute)
		times := p.issuer.Times()
		require.Len(t, times, 2*count)
		renewals := times[count:]
		perSecond := map[int64]int{}
		for _, at := range renewals {
			perSecond[at.Unix()]++
		}
		assert.Greater(t, renewals[count-1].Sub(renewals[0]), time.Minute)
		for _, n := range perSecond {
			assert.Less(t, n, 10, "in one second")
		}
	})
}

func TestKeeper_RenewsEarlierWhereItIsToldTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, 24*time.Hour)
		begin := time.Now()
		k := p.keeper(certs.Options{RenewAt: func(name string, leaf *x509.Certificate) time.Time {
			if name != "early.example.com" || leaf.NotBefore.After(begin.Add(-time.Hour/2)) || time.Since(begin) < time.Hour/2 {
				return time.Time{}
			}
			return begin // known only after half an hour
		}}, "early.example.com", "late.example.com")
		old := p.await(k, "early.example.com")
		<-time.After(time.Hour + 5*time.Minute) // at the hourly review
		leaf := p.await(k, "early.example.com")
		assert.NotEqual(t, old.SerialNumber, leaf.SerialNumber)
		assert.Equal(t, 2, p.issuer.Count("early.example.com"))
		assert.Equal(t, 1, p.issuer.Count("late.example.com"))
	})
}

func TestKeeper_ServesTheOldCertificateForAsLongAsItIsValid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, time.Hour)
		k := p.keeper(certs.Options{MaxBackoff: 5 * time.Minute}, "app.example.com")
		old := p.await(k, "app.example.com")
		p.issuer.On(func(context.Context, string) error { return errors.New("the CA is away") })

		<-time.After(time.Until(old.NotAfter) - time.Second)
		leaf, trusted := p.served(k, "app.example.com")
		assert.True(t, trusted)
		assert.Equal(t, old.SerialNumber, leaf.SerialNumber)
		<-time.After(2 * time.Second)
		leaf, _ = p.served(k, "app.example.com")
		assert.Equal(t, "Tricot self-signed", leaf.Subject.CommonName)
		assert.Equal(t, 1, p.log.Count("a certificate has expired"))

		p.issuer.On(nil)
		<-time.After(6 * time.Minute)
		_, trusted = p.served(k, "app.example.com")
		assert.True(t, trusted, "the CA is back")
		assert.Equal(t, 1, p.log.Count("no certificate can be had"), "trouble is logged once")
		assert.Equal(t, 1, p.log.Count("its certificate after all"), "and its end")
	})
}

func TestKeeper_WarnsEachDayThatACertificateHasExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, time.Hour)
		_, stop := p.start(certs.Options{Store: seldom{p.store()}}, hosts("app.example.com")...)
		p.eventually(func() bool { return p.log.Count("certificate issued") == 1 })
		stop()
		p.issuer.On(func(context.Context, string) error { return refusal{at: time.Now().Add(100 * time.Hour)} })
		_, stop = p.start(certs.Options{Store: seldom{p.store()}}, hosts("app.example.com")...)
		const warning = "a certificate has expired"
		<-time.After(time.Hour)
		require.Equal(t, 1, p.log.Count(warning))
		<-time.After(23*time.Hour - time.Minute)
		require.Equal(t, 1, p.log.Count(warning))
		<-time.After(time.Hour)
		require.Equal(t, 2, p.log.Count(warning))
		assert.Equal(t, 2, p.log.Count(`last_err="the CA says no"`))
		stop()
		k, _ := p.start(certs.Options{Store: seldom{p.store()}}, hosts("app.example.com")...)
		<-time.After(23 * time.Hour)
		require.Equal(t, 2, p.log.Count(warning))
		assert.Equal(t, 1, p.log.Count("cannot be served"), "that is the warning of the first day after a restart")
		<-time.After(61 * time.Minute)
		require.Equal(t, 3, p.log.Count(warning))

		p.put("app.example.com", p.fields("app.example.com"))
		<-time.After(time.Minute)
		p.await(k, "app.example.com")
		<-time.After(28 * time.Minute)
		assert.Equal(t, 3, p.log.Count(warning))
		assert.Equal(t, 2, p.issuer.Count("app.example.com"))
	})
}

func TestKeeper_TriesAgainAfterPausesThatGrowUpToALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, 0)
		p.issuer.On(func(context.Context, string) error { return errors.New("the CA says no") })
		p.keeper(certs.Options{MaxBackoff: 2 * time.Minute}, "app.example.com")
		<-time.After(30 * time.Minute)
		got := pauses(p.issuer)
		require.Greater(t, len(got), 15)
		most := 5 * time.Second
		for _, pause := range got {
			assert.GreaterOrEqual(t, pause, most/2)
			assert.LessOrEqual(t, pause, most+time.Second)
			most = min(2*most, 2*time.Minute)
		}
		assert.Equal(t, 1, p.log.Count("no certificate can be had"))
	})
}

func TestKeeper_DoesNotAskWithoutPauseWhereEachCertificateIsDueAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, 0)
		k := p.keeper(certs.Options{RenewAt: func(_ string, leaf *x509.Certificate) time.Time { return leaf.NotBefore }}, "app.example.com")
		p.await(k, "app.example.com")
		<-time.After(30 * time.Minute)
		assert.Less(t, p.issuer.Count("app.example.com"), 16)
	})
}

func TestKeeper_WaitsNoLongerThanItsPatienceForAnotherInstancesOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, 0)
		lock, err := p.store().Lock(t.Context(), "app.example.com")
		require.NoError(t, err)
		k := p.keeper(certs.Options{Parallel: 1}, "app.example.com")
		<-time.After(5 * time.Second)
		k.Want(hosts("app.example.com", "other.example.com"))
		<-time.After(40 * time.Second)
		_, trusted := p.served(k, "other.example.com")
		assert.True(t, trusted, "a lock that is held for long holds up no other name")
		require.NoError(t, lock.Unlock(t.Context()))
		<-time.After(time.Minute)
		_, trusted = p.served(k, "app.example.com")
		assert.True(t, trusted)
		assert.Zero(t, p.log.Count("no certificate can be had"), "that another is at it is no trouble")
	})
}

func TestKeeper_OrdersAsManyAtOnceAsItMayAndNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSimulatedPlace(t, 0)
		var running atomic.Int32
		step := make(chan struct{})
		p.issuer.On(func(context.Context, string) error {
			running.Add(1)
			defer running.Add(-1)
			<-step
			return nil
		})
		var names []string
		for i := range 9 {
			names = append(names, fmt.Sprintf("n%d.example.com", i))
		}
		k := p.keeper(certs.Options{Parallel: 3}, names...)
		for left := len(names); left > 0; left-- {
			<-time.After(time.Second)
			require.Equal(t, int32(min(3, left)), running.Load())
			step <- struct{}{}
		}
		for _, name := range names {
			p.await(k, name)
		}
	})
}
