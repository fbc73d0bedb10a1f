package consultest

import (
	"testing"

	"github.com/hashicorp/consul/api"
)

// An Agent is one running Consul. Its address stays the same over [Agent.Restart].
type Agent struct {
	// HTTP is where its API is: "http://127.0.0.1:PORT", with [Options.TLS] "https://127.0.0.1:PORT".
	HTTP string
	// NodeName is the name of its node.
	NodeName string
	// Token may do everything, where [Options.ACL] is set; else it is empty.
	Token string

	tb     testing.TB
	server *server
}

// own gives an agent that ends with the test, and shows its log where the test failed.
func own(tb testing.TB, s *server) *Agent {
	tb.Cleanup(func() {
		s.stop()
		s.close()
		if tb.Failed() {
			tb.Logf("the log of Consul %s ends so:\n%s", s.options.NodeName, s.logFrom(0))
		}
	})
	return &Agent{tb: tb, server: s}
}

// filled sets what is known once the ports are.
func (a *Agent) filled() *Agent {
	a.HTTP, a.NodeName, a.Token = a.server.url(), a.server.options.NodeName, a.server.token
	return a
}

// Client talks to the agent with every right: [Agent.Token], and the client certificate of [Options.TLS]. It is always
// the same one, and may be used by several goroutines.
func (a *Agent) Client() *api.Client { return a.server.client }

// ClientWith is a new client with another token, which may be empty.
func (a *Agent) ClientWith(token string) *api.Client {
	a.tb.Helper()
	client, transport, err := a.server.newClient(token)
	if err != nil {
		a.tb.Fatal(err)
	}
	a.tb.Cleanup(transport.CloseIdleConnections)
	return client
}

// NewToken makes a policy of these rules, in Consul's language, and gives the secret of a token that has just this one.
func (a *Agent) NewToken(rules string) string {
	a.tb.Helper()
	policy, _, err := a.Client().ACL().PolicyCreate(&api.ACLPolicy{Name: name("policy-"), Rules: rules}, nil)
	if err != nil {
		a.tb.Fatalf("make a policy: %v", err)
	}
	token, _, err := a.Client().ACL().TokenCreate(&api.ACLToken{Policies: []*api.ACLLink{{ID: policy.ID}}}, nil)
	if err != nil {
		a.tb.Fatalf("make a token: %v", err)
	}
	return token.SecretID
}

// Pause freezes the agent (SIGSTOP): its connections stay open and nothing is answered.
func (a *Agent) Pause() {
	a.tb.Helper()
	if err := a.server.pause(); err != nil {
		a.tb.Fatal(err)
	}
}

// Resume thaws what [Agent.Pause] froze. It does not wait for a leader.
func (a *Agent) Resume() {
	a.tb.Helper()
	if err := a.server.resume(); err != nil {
		a.tb.Fatal(err)
	}
}

// Stop kills the agent (SIGKILL), so that it can say goodbye to nobody, and waits for its end. It may have ended before.
func (a *Agent) Stop() { a.server.stop() }

// Restart starts the agent again at the same address, after killing it where it still runs; [Options.Persistent] says
// what it remembers. It waits as [Dev] does; for a server of a [Cluster] only until its API answers, as it may have no
// leader before others are back: see [Servers.Leader].
func (a *Agent) Restart() {
	a.tb.Helper()
	if err := a.server.restart(); err != nil {
		a.tb.Fatal(err)
	}
}
