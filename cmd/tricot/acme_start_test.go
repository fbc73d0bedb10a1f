package main_test

import (
	"encoding/json"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/acme/acmetest"
)

func TestACME_ACertificateIsOrderedOnceAndServedAfterARestart(t *testing.T) {
	t.Parallel()
	ca := acmetest.Start(t, acmetest.Options{})
	web := naming(t, "web")
	first := newProxy(t, onACME(ca, config{"log.level": "trace"}), web.service(t, "web", "tricot app.example.com"))
	asked := validateAt(ca, first)
	first.launch()
	first.awaitListening()
	certificate := first.awaitSigned(ca, "app.example.com")
	client := first.clientTrusting(t, http2, ca.Roots())
	assert.Equal(t, "web", get(t, client, "https://app.example.com/").body)
	assert.NotEmpty(t, asked.of("app.example.com"))
	require.Equal(t, 0, first.stop())
	assert.Equal(t, once("app.example.com"), ca.Orders())

	// The second name shows that the second run has looked at what is due.
	both := web.service(t, "web", "tricot app.example.com", "tricot late.example.com")
	second := newProxyIn(t, first.dir, onACME(ca, config{"log.level": "trace"}), both)
	askedLater := validateAt(ca, second)
	second.launch()
	second.awaitListening()
	again, err := second.shown("app.example.com")
	require.NoError(t, err)
	assert.Equal(t, certificate.Raw, again.Raw)
	second.awaitSigned(ca, "late.example.com")
	require.Equal(t, 0, second.stop())
	assert.Equal(t, once("app.example.com", "late.example.com"), ca.Orders())
	assert.Equal(t, 1, ca.Accounts())
	assert.Len(t, second.logLines("certificate issued"), 1)

	tokens := append(asked.seen(), askedLater.seen()...)
	assert.Len(t, tokens, 2)
	for _, p := range []*proxy{first, second} {
		assertNoSecret(t, p, secretsIn(t, p.certsDir(), tokens)...)
	}
	left, err := os.ReadDir(filepath.Join(first.certsDir(), "challenge"))
	require.NoError(t, err)
	assert.Empty(t, left, "challenges stay in the store")
}

// secretsIn gives what nobody but the instances may know of what is in a directory store: of each private key the first
// and the last line, and of each token the answer.
func secretsIn(t *testing.T, dir string, tokens []string) []string {
	t.Helper()
	secrets := []string{"PRIVATE KEY"}
	for _, token := range tokens {
		secrets = append(secrets, token+".")
	}
	keys := 0
	walkFiles(t, dir, func(_ string, _ os.FileInfo, content string) {
		var record struct {
			KeyPEM string `json:"key_pem"`
		}
		if json.Unmarshal([]byte(content), &record) != nil || record.KeyPEM == "" {
			return
		}
		block, _ := pem.Decode([]byte(record.KeyPEM))
		require.NotNil(t, block)
		keys++
		lines := strings.Split(strings.TrimSpace(record.KeyPEM), "\n")
		secrets = append(secrets, lines[1], lines[len(lines)-2])
	})
	assert.GreaterOrEqual(t, keys, 2, "an account's and a certificate's")
	return secrets
}

func assertNoSecret(t *testing.T, p *proxy, secrets ...string) {
	t.Helper()
	for _, secret := range secrets {
		assert.NotContains(t, p.log(), secret)
	}
}

func TestACME_NamesThatNoCASignsGetTheSelfSignedCertificateAndAreNotAskedFor(t *testing.T) {
	t.Parallel()
	ca := acmetest.Start(t, acmetest.Options{})
	web := naming(t, "web")
	unsigned := []string{"localhost", "intranet", "app.test", "printer.local", "under_score.example.com", "127.0.0.2", "::1"}
	tags := []string{"tricot good.example.com", "tricot *.example.com"}
	for _, name := range unsigned {
		if strings.Contains(name, ":") {
			name = "[" + name + "]"
		}
		tags = append(tags, "tricot "+name)
	}
	p := startOnACME(t, ca, nil, web.service(t, "web", tags...))
	p.awaitSigned(ca, "good.example.com")
	p.writeServices(web.service(t, "web", append(tags, "tricot late.example.com")...)) // all names are looked at again
	p.awaitSigned(ca, "late.example.com")
	for _, name := range append(unsigned, "one-of-the-wildcard.example.com") {
		p.showsSelfSigned(name)
	}
	client := p.clientTrusting(t, http1, nil)
	client.Transport.(*http.Transport).TLSClientConfig.InsecureSkipVerify = true
	for _, name := range unsigned {
		if strings.Contains(name, ":") {
			name = "[" + name + "]"
		}
		assert.Equal(t, "web", get(t, client, "https://"+name+"/").body, name)
	}
	for _, name := range unsigned {
		assert.Len(t, p.logLines("does not sign for a name", "name="+name, "reason="), 1, name)
	}
	assert.Equal(t, once("good.example.com", "late.example.com"), ca.Orders())
	assert.Empty(t, p.logLines("ERROR"))
}
