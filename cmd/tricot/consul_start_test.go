package main_test

import (
	"crypto/tls"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/providers/consul/consultest"
)

func TestConsul_AwayAtTheStartIsBridgedByTheSnapshotOnDisk(t *testing.T) {
	t.Parallel()
	for _, store := range []string{"dir", "consul"} {
		t.Run("certificates in "+store, func(t *testing.T) {
			t.Parallel()
			agent := consultest.Dev(t, consultest.Options{Persistent: true, Site: "north"})
			near, far := naming(t, "near"), naming(t, "far")
			near.registerOn(t, agent.Client(), "near", "north", "near", "tricot app.test")
			far.registerOn(t, agent.Client(), "far", "south", "far", "tricot app.test")
			dir := t.TempDir()
			run := func() *proxy {
				p := newProxyIn(t, dir, nil)
				p.writeConfig(onConsul(agent, config{"certs.store": store, "consul.snapshot_path": p.snapshotFile()}))
				p.launch()
				p.awaitListening()
				return p
			}
			first := run()
			first.awaitCertificate("app.test")
			roots, serial := first.roots(), serialOf(t, first, "app.test")
			require.Equal(t, 0, first.stop())

			agent.Stop()
			p := run()
			client := p.clientTrusting(t, http1, roots)
			if store == "consul" { // its certificates are away too
				client.Transport.(*http.Transport).TLSClientConfig.InsecureSkipVerify = true
			}
			for range 10 {
				reply := get(t, client, "https://app.test/")
				assert.Equal(t, "near", reply.body, "its own site is in the snapshot")
				if store == "consul" {
					assert.Equal(t, "Tricot self-signed", reply.TLS.PeerCertificates[0].Subject.CommonName)
				} else {
					assert.Equal(t, serial, reply.TLS.PeerCertificates[0].SerialNumber)
				}
			}
			assert.Len(t, p.logLines("Consul does not answer: the services on disk are in force", p.snapshotFile()), 1)
			assert.Len(t, p.logLines(goesAway), 1)

			agent.Restart()
			p.awaitLog(comesBack)
			p.eventually(func() bool { return serialOf(t, p, "app.test").Cmp(serial) == 0 }, "the certificate is not served")
			naming(t, "next").registerOn(t, agent.Client(), "far", "south", "next", "tricot next.test")
			p.awaitCertificate("next.test")
			trusting := p.client(t, http2)
			assert.Equal(t, "next", get(t, trusting, "https://next.test/").body)
			assert.Equal(t, "near", get(t, trusting, "https://app.test/").body)
			p.awaitLog("certificate issued", "name=next.test ") // which is said when it is served
			assert.Len(t, p.logLines("certificate issued"), 1, "that of the new name")
			assert.Len(t, p.logLines(comesBack), 1)
		})
	}
}

func TestConsul_AwayAtTheStartWithoutASnapshotIsAnEmptyTableUntilItIsThere(t *testing.T) {
	t.Parallel()
	agent := consultest.Dev(t, consultest.Options{})
	agent.Stop()
	p := startOnConsul(t, agent, config{"middleware.redirect.enabled": false})
	client := p.plainClient(t)
	assert.Equal(t, http.StatusNotFound, get(t, client, "http://app.test/").StatusCode)
	assert.Len(t, p.logLines(goesAway), 1)

	agent.Restart()
	naming(t, "web").registerWith(t, agent, "web", "tricot app.test")
	p.awaitBody(client, "http://app.test/", "web")
	p.awaitCertificate("app.test")
	assert.Equal(t, "web", get(t, p.client(t, http2), "https://app.test/").body)
	assert.Len(t, p.logLines(goesAway), 1)
	assert.Len(t, p.logLines(comesBack), 1)
}

func TestConsul_AllowsStaleReadsUnlessTheSettingSaysNo(t *testing.T) {
	t.Parallel()
	agent := consultest.Dev(t, consultest.Options{})
	to, err := url.Parse(agent.HTTP)
	require.NoError(t, err)
	for _, test := range []struct {
		name  string
		set   any
		stale bool
	}{{"by default", nil, true}, {"no", false, false}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			waiting := make(chan url.Values, 1) // the first query on the list of services that waits
			proxy := httputil.NewSingleHostReverseProxy(to)
			front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if query := r.URL.Query(); r.URL.Path == "/v1/catalog/services" && query.Has("index") {
					select {
					case waiting <- query:
					default:
					}
				}
				proxy.ServeHTTP(w, r)
			}))
			t.Cleanup(front.Close)
			t.Cleanup(front.CloseClientConnections)
			p := startOnConsul(t, agent, config{"consul.host": front.URL, "consul.allow_stale": test.set, "certs.store": "dir"})
			var query url.Values
			p.eventually(func() bool {
				select {
				case query = <-waiting:
				default:
				}
				return query != nil
			}, "there is no query that waits")
			assert.Equal(t, test.stale, query.Has("stale"))
		})
	}
}

// serialOf gives the serial number of the certificate that is served for a name, whoever vouches for it.
func serialOf(t *testing.T, p *proxy, name string) *big.Int {
	t.Helper()
	conn, err := tls.Dial("tcp", p.httpsAddress, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	require.NoError(t, err)
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber
}
