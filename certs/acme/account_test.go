package acme_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs"
	"github.com/tricot-proxy/tricot/certs/acme"
	"github.com/tricot-proxy/tricot/certs/acme/acmetest"
	"github.com/tricot-proxy/tricot/certs/store"
)

func TestAccount_IsMadeOnceByInstancesThatRace(t *testing.T) {
	t.Parallel()
	p := newPlace(t, acmetest.Options{})
	var all sync.WaitGroup
	for _, name := range []string{"a.example.com", "b.example.com", "c.example.com", "d.example.com"} {
		all.Go(func() {
			_, err := p.issuer().Issue(t.Context(), name)
			assert.NoError(t, err)
		})
	}
	all.Wait()
	assert.Equal(t, 1, p.ca.Accounts())
	assert.Equal(t, 1, p.log.Count("ACME account made"))

	record := p.account()
	assert.Equal(t, p.ca.Directory(), record["directory"])
	assert.Contains(t, record["url"], "/my-account/")
	assert.Equal(t, "ops@example.com", record["email"])
	assert.Contains(t, record, "eab_key_id")
	assert.Contains(t, record["key_pem"], "BEGIN PRIVATE KEY")
	assert.Len(t, record, 5)
}

func TestAccount_IsNeitherTouchedNorLockedWhereItIsThere(t *testing.T) {
	t.Parallel()
	p := newPlace(t, acmetest.Options{})
	p.issue(p.issuer(), "app.example.com")
	before := p.account()
	lock, err := p.store().Lock(t.Context(), strings.ReplaceAll(p.accountKey(), "/", "~"))
	require.NoError(t, err)
	defer func() { assert.NoError(t, lock.Unlock(context.Background())) }()
	p.issue(p.issuer(), "app.example.com")
	assert.Equal(t, before, p.account())
}

func TestAccount_ThatAnInstanceDiedOverIsGoneOnWith(t *testing.T) {
	t.Parallel()
	p := newPlace(t, acmetest.Options{NonceReject: -1})
	mend := p.ca.Fail(acmetest.Fault{Endpoint: acmetest.NewAccount, Lose: true})
	ctx, died := context.WithCancel(t.Context())
	go func() {
		assert.Eventually(t, func() bool { return p.ca.Accounts() == 1 }, patience, time.Millisecond)
		died()
	}()
	p.refused(ctx, p.issuer(), "app.example.com")
	half := p.account()
	require.Empty(t, half["url"])
	mend()
	p.issue(p.issuer(), "app.example.com")
	assert.Equal(t, 1, p.ca.Accounts())
	assert.Equal(t, half["key_pem"], p.account()["key_pem"])
}

func TestAccount_ThatTheCADoesNotKnowAnyMoreIsMadeAnewOnce(t *testing.T) {
	t.Parallel()
	p := newPlace(t, acmetest.Options{})
	one, two := p.issuer(), p.issuer()
	p.issue(one, "a.example.com")
	p.issue(two, "b.example.com")
	before := p.account()
	p.ca.Forget()
	var all sync.WaitGroup
	for n, i := range []*acme.Issuer{one, two, one, two} {
		all.Go(func() {
			_, err := i.Issue(t.Context(), string(rune('a'+n))+".example.com")
			assert.NoError(t, err)
		})
	}
	all.Wait()
	assert.Equal(t, 2, p.ca.Accounts())
	assert.NotEqual(t, before["url"], p.account()["url"])
	assert.NotEqual(t, before["key_pem"], p.account()["key_pem"])
}

func TestAccount_IsNotMadeAgainAndAgainWhereTheCANeverKnowsIt(t *testing.T) {
	t.Parallel()
	p := newPlace(t, acmetest.Options{NonceReject: -1})
	p.ca.Fail(acmetest.Fault{Endpoint: acmetest.NewOrder, Status: 400, Problem: "accountDoesNotExist"})
	e := p.refused(t.Context(), p.issuer(), "app.example.com")
	assert.Equal(t, acme.AccountRefused, e.Cause)
	assert.Equal(t, 2, p.ca.Accounts())
}

func TestAccount_IsBoundToAnExternalOneWhereTheCAWantsIt(t *testing.T) {
	t.Parallel()
	const hmacKey = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"
	p := newPlace(t, acmetest.Options{EAB: map[string]string{"kid-1": hmacKey, "kid-2": hmacKey}})

	e := p.refused(t.Context(), p.issuer(), "app.example.com")
	assert.Equal(t, acme.AccountRefused, e.Cause)
	assert.Equal(t, "externalAccountRequired", e.Type)

	wrong := p.issuer(func(o *acme.Options) {
		o.EAB = &acme.EAB{KeyID: "kid-1", HMACKey: "d3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmc"}
	})
	e = p.refused(t.Context(), wrong, "app.example.com")
	assert.Equal(t, acme.AccountRefused, e.Cause)
	assert.NotContains(t, e.Error(), "d3Jvbmc")

	bound := p.issuer(func(o *acme.Options) { o.EAB = &acme.EAB{KeyID: "kid-1", HMACKey: hmacKey + "=="} })
	p.issue(bound, "app.example.com")
	assert.Equal(t, "kid-1", p.account()["eab_key_id"])
	p.issue(p.issuer(), "app.example.com") // without, what is in the store will do
	assert.Equal(t, 1, p.ca.Accounts())

	p.issue(p.issuer(func(o *acme.Options) { o.EAB = &acme.EAB{KeyID: "kid-2", HMACKey: hmacKey} }), "app.example.com")
	assert.Equal(t, "kid-2", p.account()["eab_key_id"])
	assert.Equal(t, 2, p.ca.Accounts())
	assert.NotContains(t, p.log.String(), hmacKey)
	assert.NotContains(t, p.log.String(), "PRIVATE")
}

func TestAccount_InTheStoreThatCannotBeReadIsReportedAndLeftAlone(t *testing.T) {
	t.Parallel()
	for want, value := range map[string]string{
		"not JSON":                  "sealed",
		"it is for the directory":   `{"directory":"https://other/"}`,
		"no PKCS #8 private key in": `{"directory":"DIRECTORY","url":"https://ca/1","key_pem":"hush"}`,
	} {
		p := newPlace(t, acmetest.Options{})
		value = strings.ReplaceAll(value, "DIRECTORY", p.ca.Directory())
		_, err := p.store().Save(t.Context(), store.Record{Key: p.accountKey(), Value: []byte(value)})
		require.NoError(t, err)
		e := p.refused(t.Context(), p.issuer(), "app.example.com")
		assert.Equal(t, acme.StoreFailed, e.Cause)
		assert.ErrorContains(t, e, want)
		assert.ErrorContains(t, e, p.accountKey())
		assert.NotContains(t, e.Error(), "hush")
		there, err := p.store().Load(t.Context(), p.accountKey())
		require.NoError(t, err)
		assert.Equal(t, value, string(there.Value))
		assert.Zero(t, p.ca.Accounts())
	}
}

func TestAccount_IsNotMadeByAnInstanceThatLosesTheLock(t *testing.T) {
	t.Parallel()
	p := newPlace(t, acmetest.Options{NonceReject: -1})
	p.ca.Fail(acmetest.Fault{Endpoint: acmetest.NewAccount, Hang: true})
	s := &losing{Store: p.store(), lost: make(chan struct{})}
	go func() {
		assert.Eventually(t, func() bool { return p.ca.Requests(acmetest.NewAccount) > 0 }, patience, time.Millisecond)
		close(s.lost)
	}()
	e := p.refused(t.Context(), p.issuer(func(o *acme.Options) { o.Store = s }), "app.example.com")
	assert.ErrorIs(t, e, store.ErrLockLost)
	assert.Equal(t, 1, p.ca.Requests(acmetest.NewAccount))
}

func TestAccount_IsAskedForByOneNameOfManyWhereTheCARefusesIt(t *testing.T) {
	t.Parallel()
	p := newPlace(t, acmetest.Options{NonceReject: -1})
	mend := p.ca.Fail(acmetest.Fault{
		Endpoint: acmetest.NewAccount, Status: 429, Problem: "rateLimited", Detail: "too many accounts", RetryAfter: "10800",
	})
	at := &clock{}
	i := p.issuer(func(o *acme.Options) { o.Now = at.now })
	for _, name := range []string{"a.example.com", "b.example.com", "c.example.com"} {
		e := p.refused(t.Context(), i, name)
		assert.Equal(t, acme.RateLimited, e.Cause)
		assert.Equal(t, at.now().Add(3*time.Hour), e.RetryAt())
	}
	assert.Equal(t, 1, p.ca.Requests(acmetest.NewAccount))

	mend()
	p.issue(p.issuer(), "d.example.com") // another instance may make it
	p.issue(i, "a.example.com")          // and this one use it
	assert.Equal(t, 1, p.ca.Accounts())
}

func TestAccount_WaitsForTheStore(t *testing.T) {
	t.Parallel()
	p := newPlace(t, acmetest.Options{})
	away := &away{Store: p.store()}
	e := p.refused(t.Context(), p.issuer(func(o *acme.Options) { o.Store = away }), "app.example.com")
	assert.Equal(t, acme.StoreFailed, e.Cause)
	assert.ErrorIs(t, e, errAway)
}

var errAway = errors.New("nobody answers")

// away is a store that is.
type away struct{ store.Store }

func (*away) Load(context.Context, string) (store.Record, error) { return store.Record{}, errAway }

// losing is a store whose locks are lost when the test says so.
type losing struct {
	store.Store
	lost chan struct{}
}

func (l *losing) Lock(ctx context.Context, name string) (store.Lock, error) {
	lock, err := l.Store.Lock(ctx, name)
	return &losingLock{lock, l.lost}, err
}

type losingLock struct {
	store.Lock
	lost chan struct{}
}

func (l *losingLock) Lost() <-chan struct{} { return l.lost }

// tokenThere is a store that has a record under the first token before its writer.
type tokenThere struct {
	store.Store
	value string
	met   int
}

func (s *tokenThere) Save(ctx context.Context, r store.Record) (store.Record, error) {
	if strings.HasPrefix(r.Key, certs.ChallengePrefix) && s.met == 0 {
		s.met++
		if _, err := s.Store.Save(ctx, store.Record{Key: r.Key, Value: []byte(s.value)}); err != nil {
			return r, err
		}
	}
	return s.Store.Save(ctx, r)
}
