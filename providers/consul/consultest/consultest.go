// Package consultest runs a real Consul for tests: one agent ([Dev], [Shared]) or a cluster ([Cluster]), each a process of
// its own on loopback with free ports. It never stands in for Consul and never skips: where there is no binary it builds
// one ([Binary]).
//
// A test that may freeze, kill or reconfigure Consul takes an agent of its own:
//
//	agent := consultest.Dev(t, consultest.Options{Site: "north"})
//	agent.Client().Agent().ServiceRegister(...)
//	agent.Pause()
//	agent.Resume()
//
// Tests that only need some Consul share one and choose names that are theirs, which saves a second for each:
//
//	var consul consultest.Shared
//
//	func TestMain(m *testing.M) { os.Exit(consul.Run(m)) }
//
//	func TestX_DoesY(t *testing.T) { agent := consul.Agent(t) ... }
//
// Agents end with SIGKILL when their test does, and on Linux also when the test binary dies. The end of Consul's log is
// attached to a test that fails. What goes wrong ends the test with a sentence; so everything here that has no error to
// return is for the goroutine of the test.
package consultest

import "testing"

// Options says what a Consul is like beyond its defaults. The zero value is right for most tests.
type Options struct {
	// NodeName is the name of the agent's node; empty: one is made up. In a [Cluster] it is a prefix, and numbers follow.
	NodeName string
	// Site is the node's metadata key "site", Meta its other metadata.
	Site string
	Meta map[string]string
	// Persistent keeps the data on disk, so that [Agent.Restart] finds it again; the start then takes three seconds and
	// not one. Without it the data is in memory, and a restart gives a Consul that has forgotten everything and counts
	// its indexes from the beginning. A server of a [Cluster] is always persistent.
	Persistent bool
	// ACL turns access control on, with "deny" for everything that no token allows. [Agent.Token] may do everything;
	// [Agent.NewToken] makes others.
	ACL bool
	// TLS makes the agent speak HTTPS, and HTTPS alone; see [NewTLS]. Nil: HTTP alone.
	TLS *TLS
	// HCL is further configuration in Consul's own language. It wins over what is set here.
	HCL string
}

// Dev starts an agent that is a whole datacentre, and waits until it has a leader and its own node in the catalog. It
// ends with the test.
func Dev(tb testing.TB, options Options) *Agent {
	tb.Helper()
	mode := inMemory
	if options.Persistent {
		mode = onDisk
	}
	s := newServer(Binary(tb), tb.TempDir(), mode, options)
	a := own(tb, s)
	if err := s.start(); err != nil {
		tb.Fatal(err)
	}
	return a.filled()
}
