package main_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/tricot-proxy/tricot/providers/consul/consultest"
)

// What the log says of Consul.
const (
	goesAway  = "Consul does not answer as it should"
	comesBack = "Consul answers as it should again"
)

// Tricot runs as its users have it: beside an agent of its own machine, which passes on what it asks to the servers.
func TestConsul_RequestsDoNotNoticeTheEndOfTheLeaderNorThatOfAllServers(t *testing.T) {
	t.Parallel()
	servers := consultest.Cluster(t, 3)
	agent := servers.Join(consultest.Options{})
	web := naming(t, "web")
	web.registerWith(t, agent, "web", "tricot app.test")
	p := startOnConsul(t, agent, nil)
	p.awaitCertificate("app.test")
	load := p.load(4, 0, "https://app.test/", "web")
	load.goesOn(t, 100)

	first := servers.Leader()
	first.Stop()
	load.goesOn(t, 100)
	leader := servers.Leader()
	naming(t, "first").registerOn(t, leader.Client(), "machine", "", "first", "tricot first.test")
	p.awaitCertificate("first.test")
	p.awaitBody(p.client(t, http1), "https://first.test/", "first")

	awaitOver(p)
	before := len(p.logLines(goesAway))
	for _, server := range servers.Agents {
		server.Stop()
	}
	p.eventually(func() bool { return len(p.logLines(goesAway)) > before }, "Tricot does not notice that Consul is away")
	load.goesOn(t, 1000)
	p.awaitCertificate("app.test") // a handshake of its own

	// The first leader comes last. It may have been killed before it had it on disk that the agent is there; and where the
	// servers elect one of them before they have heard of an agent, Consul takes it for gone, with all of its services.
	for _, server := range servers.Agents {
		if server != first {
			server.Restart()
		}
	}
	first.Restart()
	leader = servers.Leader()
	naming(t, "second").registerOn(t, leader.Client(), "machine", "", "second", "tricot second.test")
	p.awaitCertificate("second.test")
	p.awaitBody(p.client(t, http1), "https://second.test/", "second")
	p.awaitBody(p.client(t, http1), "https://first.test/", "first")
	awaitOver(p)
	load.goesOn(t, 100)
	load.end(t)
}

// awaitOver waits until Consul is back, once for each time that it went away. Each query is tried again in its own time,
// and it is over when the last one works.
func awaitOver(p *proxy) {
	p.t.Helper()
	p.eventually(func() bool { return len(p.logLines(comesBack)) == len(p.logLines(goesAway)) }, "it is not over")
}

// Over HTTPS, a connection that is silent is given up after half a minute; over plain HTTP it takes the length of a
// blocking query and more, of which the provider has a test with shorter times.
func TestConsul_RequestsDoNotNoticeThatItIsFrozen(t *testing.T) {
	t.Parallel()
	credentials := consultest.NewTLS(t)
	credentials.VerifyIncoming = true
	agent := consultest.Dev(t, consultest.Options{TLS: credentials})
	naming(t, "web").registerWith(t, agent, "web", "tricot app.test")
	p := startOnConsul(t, agent, trusting(credentials))
	p.awaitCertificate("app.test")
	load := p.load(4, 10*time.Millisecond, "https://app.test/", "web")
	load.goesOn(t, 10)

	agent.Pause()
	eventually(t, time.Minute, func() bool { return len(p.logLines(goesAway)) > 0 }, "Tricot does not notice it")
	p.awaitCertificate("app.test") // a handshake of its own
	load.goesOn(t, 100)

	agent.Resume()
	p.awaitLog(comesBack)
	naming(t, "next").registerWith(t, agent, "next", "tricot next.test")
	p.awaitCertificate("next.test")
	p.awaitBody(p.client(t, http1), "https://next.test/", "next")
	load.end(t)
	assert.Len(t, p.logLines(goesAway), 1)
	assert.Len(t, p.logLines(comesBack), 1)
	assertOnce(t, p, "ERROR") // the store has lines of its own
	p.eventually(func() bool { return len(p.logLines("can be read again")) == len(p.logLines("cannot be read")) },
		"the store is not over it")
}

// trusting is what the YAML file has of an agent with HTTPS.
func trusting(credentials *consultest.TLS) config {
	return config{
		"consul.ca_cert":     credentials.CA,
		"consul.client_cert": credentials.ClientCert,
		"consul.client_key":  credentials.ClientKey,
	}
}
