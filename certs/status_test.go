package certs_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs"
	"github.com/tricot-proxy/tricot/certs/certstest"
)

func TestStatuses_FollowWhatBecomesOfEachName(t *testing.T) {
	p := newPlace(t, 48*time.Hour)
	p.put("app.example.com", p.fields("app.example.com"))
	next := time.Now().Add(time.Hour).UTC()
	p.putFailure("failed.example.com", failed{Attempts: 3, LastError: "the CA\nsays no", NextTry: next})
	k := p.idle(certs.Options{})
	assert.Nil(t, k.Statuses())
	k.Want(hosts("app.example.com", "failed.example.com", "new.example.com"))
	certstest.Run(t, k.Run)
	var all []certs.Status
	p.eventually(func() bool {
		all = k.Statuses()
		return len(all) == 3 && !all[2].To.IsZero()
	})
	assert.Equal(t, "app.example.com", all[0].Name)
	assert.Equal(t, 48*time.Hour, all[0].To.Sub(all[0].From))
	assert.True(t, all[0].Due.After(all[0].From) && all[0].Due.Before(all[0].To))
	assert.Equal(t, certs.Status{Name: "failed.example.com", Attempts: 3, LastError: "the CA says no", NextTry: next}, all[1])
	// An order counts when all of it is over; Follow may be faster.
	p.eventually(func() bool { issued, failures := k.Orders(); return issued+failures > 0 })
	issued, failures := k.Orders()
	assert.EqualValues(t, 1, issued)
	assert.Zero(t, failures)

	before := k.Revision()
	k.Want(hosts("app.example.com"))
	p.eventually(func() bool { return len(k.Statuses()) == 1 && k.Revision() > before })
}

func TestLook_GivesWhatTheStoreHasOfAName(t *testing.T) {
	p := newPlace(t, 48*time.Hour)
	p.put("app.example.com", p.fields("app.example.com"))
	next := time.Now().Add(time.Hour).UTC()
	p.putFailure("app.example.com", failed{Attempts: 1, LastError: "the CA says no", NextTry: next})
	now := time.Now()
	list, err := certs.List(t.Context(), p.store(), now)
	require.NoError(t, err)
	status, err := certs.Look(t.Context(), p.store(), "app.example.com", now)
	require.NoError(t, err)
	assert.Equal(t, list[0], status)
	status, err = certs.Look(t.Context(), p.store(), "none.example.com", now)
	require.NoError(t, err)
	assert.Equal(t, certs.Status{Name: "none.example.com"}, status)
}
