package acme_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs"
	"github.com/tricot-proxy/tricot/certs/acme"
	"github.com/tricot-proxy/tricot/certs/acme/acmetest"
	"github.com/tricot-proxy/tricot/certs/store"
	"github.com/tricot-proxy/tricot/certs/store/dir"
)

func TestNew_RefusesOptionsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	s, err := dir.Open(dir.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	good := acme.Options{Store: s, Email: "ops@example.com"}
	_, err = acme.New(good)
	require.NoError(t, err, "what is left out has a default")
	empty := filepath.Join(t.TempDir(), "empty.pem")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))

	for want, change := range map[string]func(*acme.Options){
		"no store is given":               func(o *acme.Options) { o.Store = nil },
		"an email address is needed":      func(o *acme.Options) { o.Email = "" },
		`"ops" is not an email address`:   func(o *acme.Options) { o.Email = "ops" },
		`"O <o@e.de>" is not an email`:    func(o *acme.Options) { o.Email = "O <o@e.de>" },
		`"o@e.de?cc=x" is not an email`:   func(o *acme.Options) { o.Email = "o@e.de?cc=x" },
		`"https://u@ca/" is not an https`: func(o *acme.Options) { o.Directory = "https://u@ca/" },
		`"http://ca/dir" is not an https`: func(o *acme.Options) { o.Directory = "http://ca/dir" },
		`"https:///dir" is not an https`:  func(o *acme.Options) { o.Directory = "https:///dir" },
		"has no place in the store":       func(o *acme.Options) { o.Directory = "https://ca/" + fmt.Sprintf("%0250d", 1) },
		`key type "rsa" is not one of`:    func(o *acme.Options) { o.KeyType = "rsa" },
		"a timeout of -1s":                func(o *acme.Options) { o.Timeout = -time.Second },
		"no such file":                    func(o *acme.Options) { o.CACert = filepath.Join(t.TempDir(), "none.pem") },
		"no certificate in PEM":           func(o *acme.Options) { o.CACert = empty },
		"needs a key ID and an HMAC key":  func(o *acme.Options) { o.EAB = &acme.EAB{KeyID: "kid"} },
		"is not base64url":                func(o *acme.Options) { o.EAB = &acme.EAB{KeyID: "kid", HMACKey: "s3cr*t"} },
		"is not ASCII":                    func(o *acme.Options) { o.EAB = &acme.EAB{KeyID: "kïd", HMACKey: "c2VjcmV0"} },
	} {
		o := good
		change(&o)
		_, err := acme.New(o)
		assert.ErrorContains(t, err, want)
		if err != nil {
			assert.NotContains(t, err.Error(), "s3cr*t")
		}
	}
}

func TestIssue_GivesACertificateWithAKeyOfItsOwnOfTheTypeThatIsSet(t *testing.T) {
	t.Parallel()
	p := newPlace(t, acmetest.Options{})
	for kind, is := range map[acme.KeyType]func(any) bool{
		"":           func(k any) bool { e, ok := k.(*ecdsa.PrivateKey); return ok && e.Curve == elliptic.P256() },
		acme.P384:    func(k any) bool { e, ok := k.(*ecdsa.PrivateKey); return ok && e.Curve == elliptic.P384() },
		acme.RSA2048: func(k any) bool { r, ok := k.(*rsa.PrivateKey); return ok && r.N.BitLen() == 2048 },
	} {
		i := p.issuer(func(o *acme.Options) { o.KeyType = kind })
		var keys []crypto.PublicKey
		for range 2 {
			leaf, pair := p.issue(i, "app.example.com")
			assert.Equal(t, []string{"app.example.com"}, leaf.DNSNames)
			cert, err := tls.X509KeyPair(pair.Chain, pair.Key)
			require.NoError(t, err)
			block, _ := pem.Decode(pair.Key)
			require.Equal(t, "PRIVATE KEY", block.Type)
			key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			require.NoError(t, err)
			assert.True(t, is(key), "%q: %T", kind, key)
			keys = append(keys, cert.Leaf.PublicKey)
		}
		assert.NotEqual(t, keys[0], keys[1])
	}
	assert.Empty(t, p.challenges())
	assert.Equal(t, "acme", p.issuer().Name())
}

func TestIssue_TakesTheChainThatTheCAPrefersAndAsksForNoOther(t *testing.T) {
	t.Parallel()
	for _, http1 := range []bool{false, true} {
		p := newPlace(t, acmetest.Options{AlternateChains: 2, NonceReject: -1, HTTP1: http1})
		i := p.issuer()
		for range 2 {
			_, pair := p.issue(i, "app.example.com")
			chain := parse(t, pair.Chain)
			require.Len(t, chain, 2)
			require.NoError(t, chain[1].CheckSignatureFrom(p.ca.Root()))
		}
		assert.Equal(t, 2, p.ca.Requests(acmetest.Certificate))
		assert.Equal(t, 0, p.ca.Requests(acmetest.RenewalInfo))
	}
}

func TestIssue_WorksWhereAThirdOfAllNoncesAreRejected(t *testing.T) {
	t.Parallel()
	p := newPlace(t, acmetest.Options{NonceReject: 33})
	p.issue(p.issuer(), "app.example.com")
	assert.Equal(t, map[string]int{"app.example.com": 1}, p.ca.Orders())
}

func TestIssue_OrdersTheProfileThatIsSet(t *testing.T) {
	t.Parallel()
	p := newPlace(t, acmetest.Options{Profiles: map[string]time.Duration{"short": time.Minute, "long": time.Hour}})
	leaf, _ := p.issue(p.issuer(func(o *acme.Options) { o.Profile = "short" }), "app.example.com")
	assert.Equal(t, time.Minute, leaf.NotAfter.Sub(leaf.NotBefore)+time.Second)

	e := p.refused(t.Context(), p.issuer(func(o *acme.Options) { o.Profile = "none" }), "app.example.com")
	assert.Equal(t, acme.AccountRefused, e.Cause)
	assert.ErrorContains(t, e, `no profile "none", only long, short`)
	assert.Equal(t, map[string]int{"app.example.com": 1}, p.ca.Orders())
}

func TestIssue_IsAnsweredByAnotherInstanceForManyNamesAtOnce(t *testing.T) {
	t.Parallel()
	p := newPlace(t, acmetest.Options{})
	i := p.issuer()
	var all sync.WaitGroup
	for n := range 8 {
		name := fmt.Sprintf("app-%d.example.com", n)
		all.Go(func() {
			_, err := i.Issue(t.Context(), name)
			assert.NoError(t, err)
			assert.Positive(t, p.ca.Validations(name))
			assert.Equal(t, 1, p.ca.Orders()[name])
		})
	}
	all.Wait()
	assert.Empty(t, p.challenges())
	assert.Equal(t, 1, p.ca.Accounts())
}

func TestIssue_GivesEveryInstanceTimeToSeeTheTokenBeforeTheCAAsks(t *testing.T) {
	t.Parallel()
	const settle = 400 * time.Millisecond
	p := newPlace(t, acmetest.Options{})
	s := &dated{Store: p.store()}
	i := p.issuer(func(o *acme.Options) { o.Store, o.Settle = s, settle })
	done := make(chan error, 1)
	go func() {
		_, err := i.Issue(t.Context(), "app.example.com")
		done <- err
	}()
	p.eventually(func() bool { return p.ca.Requests(acmetest.Challenge) > 0 })
	written := s.written.Load()
	require.NotNil(t, written)
	assert.GreaterOrEqual(t, time.Since(*written), settle)
	require.NoError(t, <-done)
}

// dated notes when a challenge was written.
type dated struct {
	store.Store
	written atomic.Pointer[time.Time]
}

func (d *dated) Save(ctx context.Context, record store.Record) (store.Record, error) {
	saved, err := d.Store.Save(ctx, record)
	if now := time.Now(); err == nil && strings.HasPrefix(record.Key, certs.ChallengePrefix) {
		d.written.Store(&now)
	}
	return saved, err
}

func TestIssue_NeverAsksForANameThatNoCASigns(t *testing.T) {
	t.Parallel()
	p := newPlace(t, acmetest.Options{})
	i := p.issuer()
	for _, name := range []string{"localhost", "127.0.0.1", "*.example.com", "web", "a_b.example.com", "nas.local"} {
		e := p.refused(t.Context(), i, name)
		assert.True(t, e.NameRefused())
		assert.ErrorContains(t, e, i.Refuses(name))
		assert.NotEmpty(t, i.Refuses(name))
	}
	assert.Empty(t, i.Refuses("app.example.com"))
	assert.Zero(t, p.ca.Requests(""))
}

func TestIssue_EndsWithItsContextAndLeavesNoToken(t *testing.T) {
	t.Parallel()
	for _, at := range []acmetest.Endpoint{
		acmetest.NewAccount, acmetest.NewOrder, acmetest.Authorization, acmetest.Challenge, acmetest.Order,
		acmetest.Finalize, acmetest.Certificate,
	} {
		t.Run(string(at), func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, acmetest.Options{NonceReject: -1})
			p.ca.Fail(acmetest.Fault{Endpoint: at, Hang: true})
			ctx, cancel := context.WithCancelCause(t.Context())
			go func() {
				assert.Eventually(t, func() bool { return p.ca.Requests(at) > 0 }, patience, time.Millisecond)
				cancel(assert.AnError)
			}()
			e := p.refused(ctx, p.issuer(), "app.example.com")
			assert.ErrorIs(t, e, assert.AnError)
			assert.Equal(t, acme.Other, e.Cause)
			assert.Equal(t, 1, p.ca.Requests(at))
		})
	}
}

func TestIssue_GoesOnWhereTheTokenOfAnEarlierTryIsThere(t *testing.T) {
	t.Parallel()
	p := newPlace(t, acmetest.Options{NonceReject: -1})
	// Whoever writes the token first is taken for one who died: the same, or another answer.
	s := &tokenThere{Store: p.store(), value: "stale"}
	p.ca.Answer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // by one who has seen the last write
		there, err := s.Load(r.Context(), certs.ChallengePrefix+path.Base(r.URL.Path))
		assert.NoError(t, err)
		_, _ = w.Write(there.Value)
	}))
	p.issue(p.issuer(func(o *acme.Options) { o.Store = s }), "app.example.com")
	assert.Equal(t, 1, s.met)
}

func TestIssue_RefusesACertificateThatIsNotForTheNameAndTheKey(t *testing.T) {
	t.Parallel()
	p := newPlace(t, acmetest.Options{})
	later := &clock{}
	later.advance(10 * 365 * 24 * time.Hour)
	e := p.refused(t.Context(), p.issuer(func(o *acme.Options) { o.Now = later.now }), "app.example.com")
	assert.Equal(t, acme.CAUnwell, e.Cause)
	assert.ErrorContains(t, e, "use the certificate that the CA gave for app.example.com: it expired at")
}

func TestIssue_WaitsNoLongerForTheCAThanItsTimeout(t *testing.T) {
	t.Parallel()
	p := newPlace(t, acmetest.Options{NonceReject: -1})
	p.issue(p.issuer(), "other.example.com") // there is an account: little else is asked within the timeout
	p.ca.Fail(acmetest.Fault{Endpoint: acmetest.NewOrder, Hang: true})
	e := p.refused(t.Context(), p.issuer(func(o *acme.Options) { o.Timeout = 3 * time.Second }), "app.example.com")
	assert.Equal(t, acme.CAUnwell, e.Cause)
	assert.Zero(t, e.Status, "there was no answer")
	assert.Equal(t, 1, p.ca.NewOrders()["app.example.com"], "an order that may have arrived is not placed again")
}
