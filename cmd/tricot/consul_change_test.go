package main_test

import (
	"net/http"
	"testing"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/providers/consul/consultest"
)

func TestConsul_EachKindOfChangeReachesRequests(t *testing.T) {
	t.Parallel()
	agent := consultest.Dev(t, consultest.Options{})
	p := startOnConsul(t, agent, config{"middleware.redirect.enabled": false})
	plain := p.plainClient(t)
	assert.Equal(t, http.StatusNotFound, get(t, plain, "http://app.test/").StatusCode)

	web, consul := naming(t, "web"), agent.Client().Agent()
	web.registerWith(t, agent, "web", "tricot app.test")
	p.awaitBody(plain, "http://app.test/", "web")
	p.awaitCertificate("app.test")
	secure := p.client(t, http2)
	serial := get(t, secure, "https://app.test/").TLS.PeerCertificates[0].SerialNumber

	register := func(name, tag string) func() error {
		return func() error {
			web.registerWith(t, agent, name, tag)
			return nil
		}
	}
	for _, step := range []struct {
		name   string
		change func() error
		path   string
		status int
	}{
		{"the check turns critical", func() error { return setCheck(agent, "web", "", api.HealthCritical) }, "/", 503},
		{"the check passes again", func() error { return setCheck(agent, "web", "", api.HealthPassing) }, "/", 200},
		{"the check warns", func() error { return setCheck(agent, "web", "", api.HealthWarning) }, "/", 503},
		{"the check passes after a warning", func() error { return setCheck(agent, "web", "", api.HealthPassing) }, "/", 200},
		{"the node is in maintenance", func() error { return consul.EnableNodeMaintenance("a test") }, "/", 503},
		{"the node is back", consul.DisableNodeMaintenance, "/", 200},
		{"the service is in maintenance", func() error { return consul.EnableServiceMaintenance("web", "a test") }, "/", 503},
		{"the service is back", func() error { return consul.DisableServiceMaintenance("web") }, "/", 200},
		{"a tag is edited", register("web", "tricot app.test/new"), "/", 404},
		{"the edited tag", func() error { return nil }, "/new", 200},
		{"another service comes", register("more", "tricot app.test"), "/", 200},
		{"and goes", func() error { return consul.ServiceDeregister("more") }, "/", 404},
	} {
		require.NoError(t, step.change(), step.name)
		p.eventually(func() bool {
			return p.mustRun() && get(t, plain, "http://app.test"+step.path).StatusCode == step.status
		}, step.name)
		reply := get(t, secure, "https://app.test"+step.path)
		assert.Equal(t, step.status, reply.StatusCode, step.name)
		assert.Equal(t, serial, reply.TLS.PeerCertificates[0].SerialNumber, step.name)
		p.awaitCertificate("app.test") // in a handshake of its own
	}
	require.NoError(t, consul.ServiceDeregister("web"))
	p.awaitStatus(plain, "http://app.test/new", http.StatusNotFound)
	assert.Len(t, p.logLines("certificate issued"), 1)
	assert.Empty(t, p.logLines("WARN"))
	assert.Empty(t, p.logLines("ERROR"))
}

func TestConsul_WhatIsNoneOfTricotsBusinessChangesNothing(t *testing.T) {
	t.Parallel()
	agent := consultest.Dev(t, consultest.Options{})
	p := startOnConsul(t, agent, config{"middleware.redirect.enabled": false})
	plain := p.plainClient(t)
	web, other := naming(t, "web"), naming(t, "other")
	web.registerOn(t, agent.Client(), "machine", "", "web", "tricot app.test")
	p.awaitBody(plain, "http://app.test/", "web")
	p.awaitLog("msg=rule ", "host=app.test") // which is said when the rules serve, after how many have changed
	before := len(p.logLines("rules changed"))

	other.registerWith(t, agent, "postgres", "primary", "urlprefix-app.test/", "tricots app.test")
	require.NoError(t, setCheck(agent, "postgres", "slow", api.HealthWarning))
	require.NoError(t, setCheck(agent, "postgres", "gone", api.HealthCritical))
	other.registerWith(t, agent, "postgres", "replica")
	require.NoError(t, agent.Client().Agent().EnableServiceMaintenance("postgres", "a test"))
	require.NoError(t, agent.Client().Agent().EnableNodeMaintenance("not the node of web"))
	_, err := agent.Client().KV().Put(&api.KVPair{Key: "tricots/certs/app.test", Value: []byte("{}")}, nil)
	require.NoError(t, err)
	// What is written again as it was, and a check that says the same in other words.
	web.registerOn(t, agent.Client(), "machine", "", "web", "tricot app.test")
	ping := placed("machine", "")
	ping.Check = &api.AgentCheck{Node: "machine", CheckID: "ping", Name: "ping", Status: api.HealthPassing, Output: "3 ms"}
	_, err = agent.Client().Catalog().Register(ping, nil)
	require.NoError(t, err)
	require.NoError(t, agent.Client().Agent().ServiceDeregister("postgres"))

	// A change that comes after all of these is the next one.
	other.registerOn(t, agent.Client(), "machine", "", "other", "tricot other.test")
	p.awaitBody(plain, "http://other.test/", "other")
	assert.Equal(t, "web", get(t, plain, "http://app.test/").body)
	p.awaitLog("msg=rule ", "host=other.test")
	assert.Len(t, p.logLines("rules changed"), before+1)
	for _, alien := range []string{"postgres", "urlprefix", "tricots"} {
		assert.NotContains(t, p.log(), alien)
	}
}
