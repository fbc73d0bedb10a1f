package acme_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs"
	"github.com/tricot-proxy/tricot/certs/acme"
	"github.com/tricot-proxy/tricot/certs/acme/acmetest"
	"github.com/tricot-proxy/tricot/certs/certstest"
	"github.com/tricot-proxy/tricot/certs/store"
	"github.com/tricot-proxy/tricot/certs/store/dir"
)

const patience = 30 * time.Second

// A place is a CA and a store, and an instance that answers the CA's questions and orders nothing itself.
type place struct {
	t   testing.TB
	ca  *acmetest.Server
	dir string
	log *certstest.Logbook
}

func newPlace(t testing.TB, o acmetest.Options) *place {
	p := &place{t: t, ca: acmetest.Start(t, o), dir: t.TempDir(), log: &certstest.Logbook{}}
	challenges := certs.NewChallenges(p.store(), nil)
	certstest.Run(t, challenges.Run)
	p.ca.Answer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := strings.CutPrefix(r.URL.Path, "/.well-known/acme-challenge/")
		answer, ok := challenges.Answer(r.Context(), token)
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(answer))
	}))
	return p
}

// store opens a handle, as another process would.
func (p *place) store() store.Store {
	s, err := dir.Open(dir.Options{Dir: p.dir, Poll: 20 * time.Millisecond})
	require.NoError(p.t, err)
	return s
}

// issuer makes one with a store handle of its own and without a pause before validation, unless options say otherwise.
func (p *place) issuer(change ...func(*acme.Options)) *acme.Issuer {
	p.t.Helper()
	o := acme.Options{
		Directory: p.ca.Directory(), CACert: p.ca.CACert(), Email: "ops@example.com", Store: p.store(), Settle: -1,
		Log: slog.New(slog.NewTextHandler(p.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, f := range change {
		f(&o)
	}
	i, err := acme.New(o)
	require.NoError(p.t, err)
	i.PollEvery(20 * time.Millisecond)
	return i
}

// issue has a certificate made and checks it as a client would.
func (p *place) issue(i *acme.Issuer, name string) (*x509.Certificate, certs.Pair) {
	p.t.Helper()
	pair, err := i.Issue(p.t.Context(), name)
	require.NoError(p.t, err)
	chain := parse(p.t, pair.Chain)
	between := x509.NewCertPool()
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	_, err = chain[0].Verify(x509.VerifyOptions{DNSName: name, Roots: p.ca.Roots(), Intermediates: between})
	require.NoError(p.t, err)
	return chain[0], pair
}

// refused has a certificate made that is not to be had, and gives the error after looking for what none may leave behind.
func (p *place) refused(ctx context.Context, i *acme.Issuer, name string) *acme.Error {
	p.t.Helper()
	pair, err := i.Issue(ctx, name)
	require.Error(p.t, err)
	assert.Empty(p.t, pair)
	assert.Empty(p.t, p.challenges(), "a challenge stays in the store")
	var e *acme.Error
	require.ErrorAs(p.t, err, &e)
	assert.Equal(p.t, name, e.Name)
	assert.NotContains(p.t, e.Error(), "\n")
	return e
}

// challenges are the keys of those in the store.
func (p *place) challenges() (keys []string) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	require.NoError(p.t, p.store().Follow(ctx, certs.ChallengePrefix, func(records []store.Record) {
		keys = nil
		for _, r := range records {
			keys = append(keys, r.Key)
		}
		cancel()
	}))
	return keys
}

// accountKey is where the store has the account.
func (p *place) accountKey() string {
	at := strings.TrimPrefix(p.ca.Directory(), "https://")
	return "account/" + strings.NewReplacer(":", "~", "/", "~", "?", "~").Replace(at)
}

func (p *place) account() map[string]string {
	p.t.Helper()
	record, err := p.store().Load(p.t.Context(), p.accountKey())
	require.NoError(p.t, err)
	var fields map[string]string
	require.NoError(p.t, json.Unmarshal(record.Value, &fields))
	return fields
}

func (p *place) eventually(holds func() bool, message ...any) {
	p.t.Helper()
	require.Eventually(p.t, holds, patience, 5*time.Millisecond, message...)
}

func parse(t testing.TB, inPEM []byte) (chain []*x509.Certificate) {
	t.Helper()
	for block, rest := pem.Decode(inPEM); block != nil; block, rest = pem.Decode(rest) {
		require.Equal(t, "CERTIFICATE", block.Type)
		cert, err := x509.ParseCertificate(block.Bytes)
		require.NoError(t, err)
		chain = append(chain, cert)
	}
	require.NotEmpty(t, chain)
	return chain
}

// A clock is set by hand.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at.IsZero() {
		c.at = time.Now()
	}
	return c.at
}

func (c *clock) advance(by time.Duration) {
	c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(by)
}
