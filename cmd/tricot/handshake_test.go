package main_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/store/dir"
)

// shown gives the certificate that Tricot shows for a name, verified or not; an empty name sends no SNI.
func (p *proxy) shown(name string) (*x509.Certificate, error) {
	conn, err := tls.Dial("tcp", p.httpsAddress, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0], nil
}

func assertSelfSigned(t *testing.T, certificate *x509.Certificate) {
	t.Helper()
	assert.NoError(t, certificate.CheckSignature(certificate.SignatureAlgorithm, certificate.RawTBSCertificate, certificate.Signature))
}

func TestHandshake_ForANameThatNoRuleWantsShowsASelfSignedCertificate(t *testing.T) {
	t.Parallel()
	p := start(t, nil, naming(t, "web").service(t, "web", "tricot app.test"))
	for _, name := range []string{"other.test", "sub.app.test", ""} {
		certificate, err := p.shown(name)
		require.NoError(t, err, name)
		assertSelfSigned(t, certificate)
	}
}

func TestHandshake_ForANameThatNoRuleWantsIsRefusedWithStrictSNI(t *testing.T) {
	t.Parallel()
	p := start(t, config{"tls.strict_sni": true}, naming(t, "web").service(t, "web", "tricot app.test"))
	for _, name := range []string{"other.test", "sub.app.test", ""} {
		_, err := p.shown(name)
		assert.Error(t, err, name)
	}
	certificate, err := p.shown("app.test")
	require.NoError(t, err)
	assert.Equal(t, []string{"app.test"}, certificate.DNSNames)
}

func TestHandshake_BelowTLS12IsRefused(t *testing.T) {
	t.Parallel()
	p := start(t, nil, naming(t, "web").service(t, "web", "tricot app.test"))
	for version, accepted := range map[uint16]bool{
		tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true,
	} {
		conn, err := tls.Dial("tcp", p.httpsAddress, &tls.Config{
			ServerName: "app.test", RootCAs: p.roots(), MinVersion: version, MaxVersion: version,
		})
		if !accepted {
			assert.ErrorContains(t, err, "protocol version", tls.VersionName(version))
			continue
		}
		require.NoError(t, err, tls.VersionName(version))
		require.NoError(t, conn.Close())
	}
}

func TestHandshake_DoesNotWaitForTheCertificate(t *testing.T) {
	t.Parallel()
	web := naming(t, "web").service(t, "web", "tricot app.test")
	p := newProxy(t, nil, web)
	// Another process of the cluster is at work on the same name.
	store, err := dir.Open(dir.Options{Dir: p.certsDir()})
	require.NoError(t, err)
	lock, err := store.Lock(t.Context(), "app.test")
	require.NoError(t, err)

	p.launch()
	p.awaitListening()
	certificate, err := p.shown("app.test")
	require.NoError(t, err)
	assertSelfSigned(t, certificate)

	require.NoError(t, lock.Unlock(context.Background()))
	p.awaitCertificate("app.test")
}

func TestCerts_AreTheSameAfterARestart(t *testing.T) {
	t.Parallel()
	web := naming(t, "web").service(t, "web", "tricot app.test")
	first := start(t, nil, web)
	root, err := os.ReadFile(first.root())
	require.NoError(t, err)
	certificate, err := first.shown("app.test")
	require.NoError(t, err)
	require.Equal(t, 0, first.stop())

	second := newProxyIn(t, first.dir, nil, web)
	second.launch()
	second.awaitReady(web)
	again, err := second.shown("app.test")
	require.NoError(t, err)
	assert.Equal(t, certificate.Raw, again.Raw)
	rootAgain, err := os.ReadFile(second.root())
	require.NoError(t, err)
	assert.Equal(t, string(root), string(rootAgain))
}

func TestCerts_KeepPrivateKeysFromOtherUsers(t *testing.T) {
	t.Parallel()
	p := start(t, nil, naming(t, "web").service(t, "web", "tricot app.test", "tricot b.test"))
	require.Equal(t, 0, p.stop()) // such that no file goes away in between
	private := 0
	walkFiles(t, p.certsDir(), func(path string, info os.FileInfo, content string) {
		if strings.Contains(content, "PRIVATE KEY") || !strings.HasSuffix(path, ".pem") {
			assert.Equal(t, os.FileMode(0o600), info.Mode(), path)
		}
		if strings.Contains(content, "PRIVATE KEY") {
			private++
		}
	})
	assert.GreaterOrEqual(t, private, 3, "the root's and two certificates'")
	for _, name := range []string{"app.test", "b.test"} {
		assert.FileExists(t, filepath.Join(p.certsDir(), "certs", name))
	}
}
