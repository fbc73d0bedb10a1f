package acme_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	protocol "github.com/mholt/acmez/v3/acme"

	"github.com/tricot-proxy/tricot/certs/acme"
	"github.com/tricot-proxy/tricot/certs/acme/acmetest"
	"github.com/tricot-proxy/tricot/certs/certstest"
)

// known waits until an issuer knows when a certificate is to be renewed.
func (p *place) known(i *acme.Issuer, name string, leaf *x509.Certificate) (at time.Time) {
	p.t.Helper()
	p.eventually(func() bool {
		at = i.RenewAt(name, leaf)
		return !at.IsZero()
	}, "the CA has not said")
	return at
}

func TestRenewAt_IsATimeInTheWindowTheSameForAllInstances(t *testing.T) {
	t.Parallel()
	p := newPlace(t, acmetest.Options{})
	one, two := p.issuer(), p.issuer()
	certstest.Run(t, one.Run)
	certstest.Run(t, two.Run)
	times := map[time.Time]bool{}
	for _, name := range []string{"a.example.com", "b.example.com", "c.example.com"} {
		leaf, _ := p.issue(one, name)
		start := time.Now().Add(time.Hour).Truncate(time.Second)
		p.ca.SetRenewalWindow(leaf, start, start.Add(48*time.Hour), "")
		assert.Zero(t, two.RenewAt(name, leaf), "it does not block")
		at := p.known(one, name, leaf)
		assert.False(t, at.Before(start) || at.After(start.Add(48*time.Hour)), at)
		assert.Equal(t, at, p.known(two, name, leaf))
		assert.Equal(t, at, one.RenewAt(name, leaf))
		times[at] = true
	}
	assert.Len(t, times, 3)
	assert.Equal(t, 6, p.ca.Requests(acmetest.RenewalInfo), "each instance asks once for each certificate")
}

func TestRenewAt_TellsOfAWindowThatHasPassedAndWhy(t *testing.T) {
	t.Parallel()
	p := newPlace(t, acmetest.Options{})
	i := p.issuer()
	certstest.Run(t, i.Run)
	leaf, _ := p.issue(i, name)
	p.ca.SetRenewalWindow(leaf, time.Now().Add(-time.Hour), time.Now().Add(-time.Minute), "https://ca.example.com/why")
	assert.True(t, p.known(i, name, leaf).Before(time.Now()))
	p.eventually(func() bool { return strings.Contains(p.log.String(), "https://ca.example.com/why") })
}

func TestRenewAt_IsZeroForCertificatesOfAnotherCAAndForNone(t *testing.T) {
	t.Parallel()
	p := newPlace(t, acmetest.Options{})
	i := p.issuer()
	certstest.Run(t, i.Run)
	assert.Zero(t, i.RenewAt(name, nil))
	assert.Zero(t, i.RenewAt(name, &x509.Certificate{}))

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), NotAfter: time.Now().Add(time.Hour), AuthorityKeyId: []byte("somebody"),
		SubjectKeyId: []byte("somebody"), DNSNames: []string{name}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	other, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	other.AuthorityKeyId = []byte("somebody")
	assert.Zero(t, i.RenewAt(name, other))
	p.eventually(func() bool { return p.ca.Requests(acmetest.RenewalInfo) == 1 })
	leaf, _ := p.issue(i, "b.example.com")
	p.known(i, "b.example.com", leaf)
	assert.Zero(t, i.RenewAt(name, other))
	assert.Equal(t, 2, p.ca.Requests(acmetest.RenewalInfo), "it is not asked for again soon")
	assert.NotContains(t, p.log.String(), "no renewal information")
}

func TestOrder_NamesTheCertificateThatItReplaces(t *testing.T) {
	t.Parallel()
	p := newPlace(t, acmetest.Options{NonceReject: -1})
	i := p.issuer()
	certstest.Run(t, i.Run)
	first, _ := p.issue(i, name)
	for first.SerialNumber.BitLen()%8 == 0 { // Pebble does not find a serial whose encoding begins with a zero byte
		first, _ = p.issue(i, name)
	}
	p.issue(i, name)
	assert.Empty(t, p.ca.Replaced(), "nobody has said that the first is in use")
	orders, asked := p.ca.Orders()[name], p.ca.NewOrders()[name]

	p.known(i, name, first)
	p.issue(i, name)
	id, err := protocol.ARIUniqueIdentifier(first)
	require.NoError(t, err)
	assert.Equal(t, []string{id}, p.ca.Replaced())

	p.issue(i, name) // though that has been replaced, as the CA says
	assert.Equal(t, []string{id}, p.ca.Replaced())
	p.issue(i, "other.example.com")
	assert.Equal(t, []string{id}, p.ca.Replaced())
	assert.Equal(t, 2, p.ca.Orders()[name]-orders)
	assert.Equal(t, 3, p.ca.NewOrders()[name]-asked)
}

func TestRun_LogsOnceThatThereIsNoRenewalInformation(t *testing.T) {
	t.Parallel()
	p := newPlace(t, acmetest.Options{NonceReject: -1})
	i := p.issuer()
	leaves := map[string]*x509.Certificate{}
	for _, name := range []string{"a.example.com", "b.example.com", "c.example.com"} {
		leaves[name], _ = p.issue(i, name)
	}
	mend := p.ca.Fail(acmetest.Fault{Endpoint: acmetest.RenewalInfo, Status: 500})
	certstest.Run(t, i.Run)
	for name, leaf := range leaves {
		assert.Zero(t, i.RenewAt(name, leaf))
	}
	p.eventually(func() bool { return p.ca.Requests(acmetest.RenewalInfo) == 3 })
	p.eventually(func() bool { return strings.Contains(p.log.String(), "gives no renewal information") })
	mend()
	leaf, _ := p.issue(i, "d.example.com")
	p.known(i, "d.example.com", leaf)
	p.eventually(func() bool { return strings.Contains(p.log.String(), "gives renewal information again") })
	assert.Equal(t, 1, p.log.Count("gives no renewal information"))
	assert.Equal(t, 4, p.ca.Requests(acmetest.RenewalInfo), "those that failed are left alone for a minute")
}
