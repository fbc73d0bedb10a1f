package main_test

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/providers/consul/consultest"
)

// A visitor is a client that takes up its last session with each new connection, wherever that leads.
type visitor struct {
	version uint16
	session *tls.ClientSessionState
}

func (v *visitor) Get(string) (*tls.ClientSessionState, bool) { return v.session, v.session != nil }

func (v *visitor) Put(_ string, session *tls.ClientSessionState) {
	if session != nil {
		v.session = session
	}
}

// resumes makes a request on a connection of its own, and says whether a session was resumed.
func (v *visitor) resumes(p *proxy, protocol protocol, name string) bool {
	p.t.Helper()
	client := p.client(p.t, protocol)
	config := client.Transport.(*http.Transport).TLSClientConfig
	config.ClientSessionCache, config.MinVersion, config.MaxVersion = v, v.version, v.version
	reply := get(p.t, client, "https://"+name+"/")
	client.CloseIdleConnections()
	assert.Equal(p.t, http.StatusOK, reply.StatusCode)
	assert.Equal(p.t, string(protocol), reply.Proto)
	return reply.TLS.DidResume
}

func TestTickets_AClientResumesAtEveryTricotAndAfterARestart(t *testing.T) {
	t.Parallel()
	for name, further := range map[string]config{
		"clear":  nil,
		"sealed": {"certs.encryption_key": []string{encryptionKey(1)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			agent := consultest.Dev(t, consultest.Options{})
			web := naming(t, "web")
			web.registerOn(t, agent.Client(), "machine", "", "web", "tricot app.test", "tricot other.test")
			one, two := startOnConsul(t, agent, further), startOnConsul(t, agent, further)
			for _, p := range []*proxy{one, two} {
				p.awaitCertificate("app.test")
				p.awaitCertificate("other.test")
			}
			require.Equal(t, serialOf(t, one, "app.test"), serialOf(t, two, "app.test"))

			visitors := map[protocol][]*visitor{}
			for _, protocol := range []protocol{http1, http2} {
				for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
					v := &visitor{version: version}
					visitors[protocol] = append(visitors[protocol], v)
					assert.False(t, v.resumes(one, protocol, "app.test"))
					assert.True(t, v.resumes(two, protocol, "app.test"), "%s, %s", protocol, tls.VersionName(version))
					assert.True(t, v.resumes(one, protocol, "app.test"), "%s, %s", protocol, tls.VersionName(version))
				}
			}
			require.Equal(t, 0, one.stop())
			require.Equal(t, 0, two.stop())
			again := startOnConsul(t, agent, further)
			again.awaitCertificate("app.test")
			for protocol, some := range visitors {
				for _, v := range some {
					assert.True(t, v.resumes(again, protocol, "app.test"), "%s, %s", protocol, tls.VersionName(v.version))
				}
			}
			// A Go client that verifies does not offer a session to a name that its certificate is not for.
			assert.False(t, visitors[http1][0].resumes(again, http1, "other.test"))

			pair, _, err := agent.Client().KV().Get("tricot/tickets/keys", nil)
			require.NoError(t, err)
			require.NotNil(t, pair)
			assert.Equal(t, further != nil, strings.HasPrefix(string(pair.Value), "tricot-sealed v1 "))
			renewed := 0
			for _, p := range []*proxy{one, two, again} {
				renewed += len(p.logLines("session ticket keys renewed"))
				assert.Empty(t, p.logLines("ERROR"))
			}
			assert.Equal(t, 1, renewed)
		})
	}
}
