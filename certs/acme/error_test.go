package acme_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/acme"
	"github.com/tricot-proxy/tricot/certs/acme/acmetest"
)

const name = "app.example.com"

func TestError_SaysWhatTheCARefusedAndWhenToTryAgain(t *testing.T) {
	t.Parallel()
	at := &clock{}
	now := at.now()
	p := newPlace(t, acmetest.Options{NonceReject: -1, Blocked: []string{"blocked.example.com"}})
	i := p.issuer(func(o *acme.Options) { o.Now = at.now })
	p.issue(i, name)

	n := 0
	for title, c := range map[string]struct {
		fault    acmetest.Fault
		cause    acme.Cause
		until    time.Time
		requests int // to the endpoint
		text     string
	}{
		"rate limited, with Retry-After": {
			acmetest.Fault{
				Endpoint: acmetest.NewOrder, Status: 429, Problem: "rateLimited", Detail: "too\nmany", RetryAfter: "3600",
			},
			acme.RateLimited, now.Add(time.Hour), 1,
			".example.com: the CA says rateLimited (HTTP 429): too many; not before ",
		},
		"rate limited, with a date": {
			acmetest.Fault{
				Endpoint: acmetest.NewOrder, Status: 429, Problem: "rateLimited",
				RetryAfter: now.Add(2 * time.Hour).UTC().Format(http.TimeFormat),
			},
			acme.RateLimited, now.Add(2 * time.Hour).Truncate(time.Second), 1, "rateLimited",
		},
		"rate limited, with the date in the detail": {
			acmetest.Fault{
				Endpoint: acmetest.NewOrder, Status: 429, Problem: "rateLimited",
				Detail: "too many certificates, retry after " +
					now.Add(5*time.Hour).UTC().Format(time.DateTime) + " UTC: see https://…",
			},
			acme.RateLimited, now.Add(5 * time.Hour).Truncate(time.Second), 1, "too many certificates",
		},
		"rate limited, with nothing": {
			acmetest.Fault{Endpoint: acmetest.NewOrder, Status: 429}, acme.RateLimited, now.Add(time.Hour), 1, "HTTP 429",
		},
		"rate limited while it finalizes": {
			acmetest.Fault{Endpoint: acmetest.Finalize, Status: 429, Problem: "rateLimited", RetryAfter: "60"},
			acme.RateLimited, now.Add(time.Minute), 1, "finalize the order for",
		},
		"too long a time": {
			acmetest.Fault{Endpoint: acmetest.NewOrder, Status: 429, RetryAfter: "99999999999999999999"},
			acme.RateLimited, now.Add(30 * 24 * time.Hour), 1, "HTTP 429",
		},
		"broken": {
			acmetest.Fault{Endpoint: acmetest.NewOrder, Status: 500}, acme.CAUnwell, time.Time{}, 3, ": the CA answers HTTP 500",
		},
		"broken, and says so": {
			acmetest.Fault{Endpoint: acmetest.Finalize, Status: 500, Problem: "serverInternal", Detail: "oh"},
			acme.CAUnwell, time.Time{}, 3, "the CA says serverInternal (HTTP 500): oh",
		},
		"an answer is lost": {
			acmetest.Fault{Endpoint: acmetest.NewOrder, Lose: true}, acme.CAUnwell, time.Time{}, 1, "received from peer",
		},
		"the name is refused": {
			acmetest.Fault{Endpoint: acmetest.NewOrder, Status: 400, Problem: "rejectedIdentifier", Detail: "policy"},
			acme.NameRefused, time.Time{}, 1, "rejectedIdentifier (HTTP 400): policy",
		},
		"its DNS is broken": {
			acmetest.Fault{Endpoint: acmetest.Challenge, Status: 400, Problem: "dns"},
			acme.NameRefused, time.Time{}, 1, "says dns",
		},
		"CAA forbids it": {
			acmetest.Fault{Endpoint: acmetest.Finalize, Status: 403, Problem: "caa"}, acme.NameRefused, time.Time{}, 1, "says caa",
		},
		"the account is deactivated": {
			acmetest.Fault{Endpoint: acmetest.NewOrder, Status: 403, Problem: "unauthorized"},
			acme.AccountRefused, time.Time{}, 1, "says unauthorized",
		},
		"new terms": {
			acmetest.Fault{Endpoint: acmetest.NewOrder, Status: 403, Problem: "userActionRequired"},
			acme.AccountRefused, time.Time{}, 1, "says userActionRequired",
		},
	} {
		// A name of its own for each case: Pebble uses one authorization in a hundred again.
		n++
		name := fmt.Sprintf("case-%d.example.com", n)
		before := p.ca.Requests(c.fault.Endpoint)
		mend := p.ca.Fail(c.fault)
		e := p.refused(t.Context(), i, name)
		mend()
		assert.Equal(t, c.cause, e.Cause, title)
		assert.Equal(t, c.until.UTC(), e.RetryAt().UTC(), title)
		assert.Equal(t, c.cause == acme.NameRefused, e.NameRefused(), title)
		assert.Contains(t, e.Error(), c.text, title)
		assert.Equal(t, c.requests, p.ca.Requests(c.fault.Endpoint)-before, title)
	}

	e := p.refused(t.Context(), i, "www.blocked.example.com")
	assert.Equal(t, acme.NameRefused, e.Cause)
	assert.Equal(t, "rejectedIdentifier", e.Type)
	p.issue(i, name) // nothing of it lasts
}

func TestError_OfANameThatCannotBeValidatedIsTheNames(t *testing.T) {
	t.Parallel()
	for kind, answer := range map[string]http.Handler{
		"connection": nil,
		"unauthorized": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte("somebody else's"))
		}),
	} {
		p := newPlace(t, acmetest.Options{})
		i := p.issuer()
		p.issue(i, "other.example.com")
		p.ca.Answer(answer)
		e := p.refused(t.Context(), i, name)
		assert.Equal(t, acme.NameRefused, e.Cause, kind)
		assert.Equal(t, kind, e.Type)
		assert.NotEmpty(t, e.Detail)
		assert.Contains(t, e.Error(), "pass validation for "+name+": the CA says "+kind)
		assert.Equal(t, 1, p.ca.Orders()[name])
	}
}

func TestError_OfACAThatIsAwayKeepsOtherNamesFromAskingForAMoment(t *testing.T) {
	t.Parallel()
	at := &clock{}
	p := newPlace(t, acmetest.Options{})
	i := p.issuer(func(o *acme.Options) { o.Now = at.now })
	p.ca.Stop()
	e := p.refused(t.Context(), i, name)
	assert.Equal(t, acme.CAUnwell, e.Cause)
	assert.ErrorContains(t, e, "read the CA's directory for "+name+": dial tcp")
	assert.False(t, e.Held(), "it was asked")
	p.ca.Restart()
	e = p.refused(t.Context(), i, "other.example.com")
	assert.Equal(t, acme.CAUnwell, e.Cause)
	assert.True(t, e.Held())
	assert.Zero(t, p.ca.Requests(""))
	at.advance(e.RetryAt().Sub(at.now()))
	p.issue(i, name)

	p.ca.Stop() // and with an account
	e = p.refused(t.Context(), i, name)
	assert.Equal(t, acme.CAUnwell, e.Cause)
	p.ca.Restart()
	p.issue(i, name)
}

func TestError_OfACAThatStaysAwayKeepsNamesFromAskingForLonger(t *testing.T) {
	t.Parallel()
	at := &clock{}
	p := newPlace(t, acmetest.Options{})
	i := p.issuer(func(o *acme.Options) { o.Now = at.now })
	held := func() time.Duration { // after a failure
		e := p.refused(t.Context(), i, name)
		require.True(t, e.Held(), e)
		return e.RetryAt().Sub(at.now())
	}
	p.ca.Stop()
	for _, seconds := range []time.Duration{2, 4, 8, 16, 32, 32} {
		require.False(t, p.refused(t.Context(), i, name).Held())
		require.Equal(t, seconds*time.Second, held())
		at.advance(seconds * time.Second)
	}
	p.ca.Restart()
	p.issue(i, name)

	p.ca.Forget() // the account, which has to be made anew
	for range 2 {
		mend := p.ca.Fail(acmetest.Fault{Endpoint: acmetest.NewAccount, Status: 400, Problem: "invalidContact"})
		for _, seconds := range []time.Duration{2, 4} {
			require.False(t, p.refused(t.Context(), i, name).Held())
			require.Equal(t, seconds*time.Second, held())
			at.advance(seconds * time.Second)
		}
		mend()
		p.issue(i, name) // what was well in between begins anew
		p.ca.Forget()
	}
}

func TestError_OfACAThatIsBusyIsObeyedByAllNames(t *testing.T) {
	t.Parallel()
	at := &clock{}
	p := newPlace(t, acmetest.Options{NonceReject: -1})
	i := p.issuer(func(o *acme.Options) { o.Now = at.now })
	p.issue(i, name)
	before := p.ca.Requests("")
	p.ca.Fail(acmetest.Fault{Endpoint: acmetest.NewOrder, Status: 503, RetryAfter: "120", Times: 1})
	for n := range 5 {
		e := p.refused(t.Context(), i, fmt.Sprintf("app-%d.example.com", n))
		assert.Equal(t, acme.CAUnwell, e.Cause)
		assert.Equal(t, at.now().Add(2*time.Minute), e.RetryAt())
		assert.Equal(t, n > 0, e.Held())
		assert.Equal(t, 503, e.Status)
	}
	assert.Equal(t, 1, p.ca.Requests("")-before)
	at.advance(2 * time.Minute)
	p.issue(i, name)
}

func TestError_OfOneNameHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	p := newPlace(t, acmetest.Options{})
	p.ca.Fail(acmetest.Fault{Name: name, Status: 429, Problem: "rateLimited", RetryAfter: "3600"})
	i := p.issuer()
	p.refused(t.Context(), i, name)
	p.issue(i, "other.example.com")
}

func TestCause_HasAWordForLogs(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "other", acme.Other.String())
	assert.Equal(t, "store failed", acme.StoreFailed.String())
}
