package consultest

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// Servers are the servers of one datacentre.
type Servers struct {
	// Agents are all of them, running or not, always in the same order.
	Agents []*Agent

	tb      testing.TB
	options Options
}

// Cluster starts n servers that make up one datacentre, and waits until they have a leader and all of them in the
// catalog. Each keeps its data on disk, and its address, and can be stopped and restarted. At most one Options may
// follow, which is for each of them.
func Cluster(tb testing.TB, n int, options ...Options) *Servers {
	tb.Helper()
	c := &Servers{tb: tb}
	if len(options) > 0 {
		c.options = options[0]
	}
	if c.options.NodeName == "" {
		c.options.NodeName = name("server-")
	}
	token := uuid()
	for i := range n {
		options := c.options
		options.NodeName = fmt.Sprintf("%s-%d", options.NodeName, i+1)
		a := c.add(options, member, token)
		a.server.expect = n
		if err := a.server.launch(); err != nil {
			tb.Fatal(err)
		}
		a.filled()
	}
	c.Leader()
	for _, a := range c.Agents {
		if err := a.server.settled(); err != nil {
			tb.Fatal(err)
		}
	}
	return c
}

// Join starts an agent that is no server but passes requests on to these, as on every machine of a datacentre that has
// some. Of the options, ACL follows that of the servers.
func (c *Servers) Join(options Options) *Agent {
	c.tb.Helper()
	token := c.Agents[0].Token
	options.ACL = token != ""
	a := c.add(options, clientOnly, token)
	if err := a.server.start(); err != nil {
		c.tb.Fatal(err)
	}
	return a.filled()
}

// add makes an agent that is to join the servers; it does not start it.
func (c *Servers) add(options Options, mode mode, token string) *Agent {
	s := newServer(Binary(c.tb), c.tb.TempDir(), mode, options)
	if options.ACL {
		s.token = token
	}
	s.peers = func() []string {
		var peers []string
		for _, a := range c.Agents {
			if a.server != s && a.server.ports.serf != 0 {
				peers = append(peers, loopback(a.server.ports.serf))
			}
		}
		return peers
	}
	a := own(c.tb, s)
	if mode == member {
		c.Agents = append(c.Agents, a)
	}
	return a
}

// Leader waits until all servers that run and are not frozen agree that one of them is the leader, and that one
// knows all that was written before; it gives that one.
func (c *Servers) Leader() *Agent {
	c.tb.Helper()
	deadline := time.Now().Add(patience)
	for {
		if leader := c.leader(); leader != nil {
			return leader
		}
		if time.Now().After(deadline) {
			c.tb.Fatalf("after %s the Consul servers have no leader", patience)
		}
		time.Sleep(between)
	}
}

// leader is nil where there is none that all agree on.
func (c *Servers) leader() *Agent {
	var leader *Agent
	for _, a := range c.Agents {
		if !a.server.answering() {
			continue
		}
		named := c.at(a.server.leader())
		if named == nil || leader != nil && named != leader {
			return nil
		}
		leader = named
	}
	ctx, cancel := context.WithTimeout(context.Background(), look)
	defer cancel()
	if leader == nil || !leader.server.answering() || !leader.server.listed(ctx) {
		return nil
	}
	return leader
}

// at finds the server with an address for the others.
func (c *Servers) at(address string) *Agent {
	for _, a := range c.Agents {
		if loopback(a.server.ports.rpc) == address {
			return a
		}
	}
	return nil
}

// leader is the address of the server that this one takes for the leader, empty where it knows none.
func (s *server) leader() string {
	ctx, cancel := context.WithTimeout(context.Background(), look)
	defer cancel()
	var address string
	if _, err := s.client.Raw().Query("/v1/status/leader", &address, queryOptions(ctx)); err != nil {
		return ""
	}
	return address
}
