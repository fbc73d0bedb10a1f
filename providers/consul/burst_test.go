package consul_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/providers"
	"github.com/tricot-proxy/tricot/providers/consul"
	"github.com/tricot-proxy/tricot/providers/consul/consultest"
)

func TestRun_PublishesABurstOfChangesTogether(t *testing.T) {
	t.Parallel()
	agent := consultest.Dev(t, consultest.Options{})
	p, prefix := newPlace(t, agent.Client(), nil), unique()
	names := make([]string, 50)
	for i := range names {
		names[i] = fmt.Sprintf("%s-%02d", prefix, i)
		p.register(web(names[i]), check(names[i], "passing"))
	}
	// Times that do not depend on how busy the machine is; what they are in truth is for the coalescer's own tests.
	f := follow(t, consul.Options{
		Client: agent.Client(), Node: agent.NodeName, AllowStale: true, Quiet: 5 * time.Second, Latest: time.Minute,
		Patience: time.Minute,
	})
	f.until(t, prefix, healthy(50))
	assert.Equal(t, 1, f.count(), "the first snapshot has all of them")
	for _, name := range names {
		p.register(web(name), check(name, "critical"))
	}
	f.until(t, prefix, healthy(0))
	assert.Equal(t, 2, f.count())
}

func TestRun_PublishesInTimeThoughChangesNeverCease(t *testing.T) {
	t.Parallel()
	agent, name := shared.Agent(t), unique()
	p := newPlace(t, agent.Client(), nil)
	p.register(web(name))
	f := follow(t, consul.Options{Client: agent.Client(), AllowStale: true, Quiet: time.Hour, Latest: 300 * time.Millisecond})
	f.until(t, name, number(1))
	s := web(name)
	for s.Port = 1; f.countOf(name) < 3; s.Port++ {
		require.Less(t, s.Port, 60000)
		p.register(s)
	}
}

func TestRun_PublishesNothingWhenNothingHasChanged(t *testing.T) {
	t.Parallel()
	agent := consultest.Dev(t, consultest.Options{})
	p, name, untagged := newPlace(t, agent.Client(), nil), unique(), unique()
	p.register(web(name), check(name, "passing"))
	front := newFront(t, agent)
	f := follow(t, consul.Options{Client: front.client(t), Node: agent.NodeName, AllowStale: true})
	f.until(t, name, number(1))

	noise := check(name, "passing")
	for i := range 5 {
		noise.Output = fmt.Sprint("the output of the check is another ", i)
		p.register(web(name), noise)
		p.register(web(untagged, fmt.Sprint("v", i)))
	}
	p.register(web(untagged, "tricotage", "traefik.enable"))
	require.Eventually(t, func() bool { // all of it has been seen
		return front.asked("/v1/health/service/"+name) > 2 && front.asked("/v1/catalog/services") > 2
	}, patience, time.Millisecond)
	p.register(web(name), check(name, "critical"))
	f.until(t, name, healthy(0))
	assert.Equal(t, 2, f.count())
	assert.Zero(t, front.asked("/v1/health/service/"+untagged))
}

func TestRun_EndsTheQueryOfAServiceThatHasLostItsTags(t *testing.T) {
	t.Parallel()
	agent := consultest.Dev(t, consultest.Options{})
	p, prefix := newPlace(t, agent.Client(), nil), unique()
	for i := range 10 {
		p.register(web(fmt.Sprint(prefix, i)))
	}
	front := newFront(t, agent)
	f := follow(t, consul.Options{Client: front.client(t), Node: agent.NodeName, AllowStale: true})
	f.until(t, prefix, number(10))
	waiting := func(n int64) func() bool { return func() bool { return front.open.Load() == n } }
	require.Eventually(t, waiting(12), patience, time.Millisecond, "the services, the node and ten times health")
	for i := range 7 {
		p.register(web(fmt.Sprint(prefix, i), "v2"))
	}
	f.until(t, prefix, number(3))
	require.Eventually(t, waiting(5), patience, time.Millisecond)
	p.deregister(prefix + "9")
	require.Eventually(t, waiting(4), patience, time.Millisecond)
	f.end(t)
	require.Eventually(t, waiting(0), patience, time.Millisecond, "the end of ctx ends all requests")
}

func TestRun_AllowsStaleReadsForWaitingOnly(t *testing.T) {
	t.Parallel()
	agent, name := shared.Agent(t), unique()
	newPlace(t, agent.Client(), nil).register(web(name))
	for _, allow := range []bool{true, false} {
		front := newFront(t, agent)
		f := follow(t, consul.Options{Client: front.client(t), Node: agent.NodeName, AllowStale: allow, Wait: 7 * time.Minute})
		f.until(t, name, number(1))
		require.Eventually(t, func() bool { return front.asked("/v1/health/service/"+name) == 2 }, patience, time.Millisecond)
		front.mu.Lock()
		waiting := 0
		for _, query := range front.queries {
			if query.Get("index") == "" {
				assert.False(t, query.Has("stale"))
				assert.True(t, query.Has("consistent"))
				continue
			}
			waiting++
			assert.Equal(t, allow, query.Has("stale"))
			assert.False(t, query.Has("consistent"))
			assert.Equal(t, "420000ms", query.Get("wait"))
		}
		front.mu.Unlock()
		assert.NotZero(t, waiting)
		f.end(t)
	}
}

// Whoever uses the snapshots may hold them for ever.
func TestRun_ChangesNothingThatItHasPublished(t *testing.T) {
	t.Parallel()
	agent, name := shared.Agent(t), unique()
	p := newPlace(t, agent.Client(), nil)
	p.register(web(name))
	f := follow(t, consul.Options{Client: agent.Client(), AllowStale: true})
	f.until(t, name, number(1))
	before := f.all()[f.count()-1]
	copied := append([]providers.Instance{}, before...)
	p.register(web(name, "tricot other.example.com"), check(name, "critical"))
	f.until(t, name, healthy(0))
	assert.Equal(t, copied, before)
}
