package main_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/acme/acmetest"
)

func TestACME_TheSettingsOfKeysProfileAndExternalAccountReachTheCA(t *testing.T) {
	t.Parallel()
	const week = 7 * 24 * time.Hour
	hmac := base64.RawURLEncoding.EncodeToString([]byte("a key of thirty-two bytes, exact"))
	curve := func(want elliptic.Curve) func(*testing.T, *x509.Certificate) {
		return func(t *testing.T, leaf *x509.Certificate) {
			key, is := leaf.PublicKey.(*ecdsa.PublicKey)
			require.True(t, is, "%T", leaf.PublicKey)
			assert.Equal(t, want, key.Curve)
		}
	}
	for name, tc := range map[string]struct {
		ca     acmetest.Options
		config config
		check  func(*testing.T, *x509.Certificate)
	}{
		"nothing set": {config: nil, check: curve(elliptic.P256())},
		"P-384":       {config: config{"acme.key_type": "p384"}, check: curve(elliptic.P384())},
		"RSA, bound to an account": {
			acmetest.Options{EAB: map[string]string{"customer-7": hmac}},
			config{"acme.key_type": "rsa2048", "acme.eab.kid": "customer-7", "acme.eab.hmac_key": hmac},
			func(t *testing.T, leaf *x509.Certificate) {
				key, is := leaf.PublicKey.(*rsa.PublicKey)
				require.True(t, is, "%T", leaf.PublicKey)
				assert.Equal(t, 2048, key.N.BitLen())
			},
		},
		"a profile": {
			acmetest.Options{Profiles: map[string]time.Duration{"classic": 13 * week, "shortlived": week}},
			config{"acme.profile": "shortlived"},
			func(t *testing.T, leaf *x509.Certificate) {
				assert.InDelta(t, week, leaf.NotAfter.Sub(leaf.NotBefore), float64(time.Hour))
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ca := acmetest.Start(t, tc.ca)
			p := startOnACME(t, ca, tc.config, naming(t, "web").service(t, "web", "tricot app.example.com"))
			tc.check(t, p.awaitSigned(ca, "app.example.com"))
			assert.NotContains(t, p.log(), hmac)
		})
	}
}

func TestACME_WithoutTheExternalAccountThatTheCAWantsTheLogSaysSo(t *testing.T) {
	t.Parallel()
	hmac := base64.RawURLEncoding.EncodeToString([]byte("a key of thirty-two bytes, exact"))
	ca := acmetest.Start(t, acmetest.Options{EAB: map[string]string{"customer-7": hmac}})
	p := startOnACME(t, ca, nil, naming(t, "web").service(t, "web", "tricot a.example.com", "tricot b.example.com"))
	for _, name := range []string{"a.example.com", "b.example.com"} {
		p.awaitLog("ERROR", "name="+name, "externalAccountRequired")
		p.showsSelfSigned(name)
	}
	assert.Empty(t, ca.NewOrders())
}

func TestACME_EncryptionKeysMayBeInAFile(t *testing.T) {
	t.Parallel()
	ca := acmetest.Start(t, acmetest.Options{})
	at := inDir(t)
	file := filepath.Join(t.TempDir(), "keys")
	require.NoError(t, os.WriteFile(file, []byte("# of the cluster\n"+encryptionKey(1)+"\n"), 0o600))
	at.config["certs.encryption_key_file"] = file
	p := startOnACME(t, ca, at.config, naming(t, "web").service(t, "web", "tricot app.example.com"))
	p.awaitSigned(ca, "app.example.com")
	require.Equal(t, 0, p.stop()) // such that no file goes away in between
	assertSealed(t, at.records(t), 2)
	assertNoSecret(t, p, encryptionKey(1))
}

func TestACME_WhatTheStoreHasAndCannotBeServedIsReplaced(t *testing.T) {
	t.Parallel()
	ca := acmetest.Start(t, acmetest.Options{})
	web := naming(t, "web").service(t, "web", "tricot a.example.com", "tricot b.example.com", "tricot c.example.com")
	first := startOnACME(t, ca, nil, web)
	first.awaitSigned(ca, "a.example.com", "b.example.com")
	kept := first.awaitSigned(ca, "c.example.com")
	require.Equal(t, 0, first.stop())
	record := func(name string) string { return filepath.Join(first.certsDir(), "certs", name) }
	other, err := os.ReadFile(record("a.example.com"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(record("a.example.com"), []byte("{"), 0o600))
	own, err := os.ReadFile(record("b.example.com"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(record("b.example.com"), withKeyOf(t, own, other), 0o600))

	second := newProxyIn(t, first.dir, onACME(ca, nil), web)
	validateAt(ca, second)
	second.launch()
	second.awaitListening()
	second.awaitSigned(ca, "a.example.com", "b.example.com")
	for _, name := range []string{"a.example.com", "b.example.com"} {
		assert.Len(t, second.logLines("WARN", "cannot be served and will be replaced", "name="+name), 1)
	}
	assert.Equal(t, kept.Raw, second.awaitSigned(ca, "c.example.com").Raw)
	assert.Equal(t, map[string]int{"a.example.com": 2, "b.example.com": 2, "c.example.com": 1}, ca.Orders())
	assert.Equal(t, 1, ca.Accounts())
}

// withKeyOf gives a record that has the private key of another.
func withKeyOf(t *testing.T, record, other []byte) []byte {
	t.Helper()
	key := func(record []byte) string {
		_, after, found := strings.Cut(string(record), `"key_pem":"`)
		require.True(t, found)
		key, _, _ := strings.Cut(after, `"`)
		return key
	}
	return []byte(strings.Replace(string(record), key(record), key(other), 1))
}
