package consul_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/providers"
	"github.com/tricot-proxy/tricot/providers/consul"
	"github.com/tricot-proxy/tricot/providers/consul/consultest"
)

// crowd registers services on a hundred nodes, the first of them with a tag for Tricot.
func crowd(b *testing.B, client *api.Client, services, tagged int) {
	b.Helper()
	const nodes, atOnce = 100, 64 // Consul takes so many operations in one transaction
	var operations api.TxnOps
	send := func() {
		ok, answer, _, err := client.Txn().Txn(operations, nil)
		require.NoError(b, err)
		require.True(b, ok, "%+v", answer)
		operations = nil
	}
	add := func(o *api.TxnOp) {
		if operations = append(operations, o); len(operations) == atOnce {
			send()
		}
	}
	for i := range nodes {
		add(&api.TxnOp{Node: &api.NodeTxnOp{Verb: api.NodeSet, Node: api.Node{
			Node: fmt.Sprintf("crowd-%d", i), Address: fmt.Sprintf("10.0.1.%d", i),
		}}})
	}
	for i := range services {
		name := fmt.Sprintf("crowd-%05d", i)
		s := web(name)
		if i >= tagged {
			s.Tags = []string{"v2", "traefik.enable=true"}
		}
		node := fmt.Sprintf("crowd-%d", i%nodes)
		add(&api.TxnOp{Service: &api.ServiceTxnOp{Verb: api.ServiceSet, Node: node, Service: *s}})
	}
	if len(operations) > 0 {
		send()
	}
}

// BenchmarkChange measures the time from a change, its write to Consul included, to the snapshot that has it, over 200
// changes of five kinds.
func BenchmarkChange(b *testing.B) {
	for _, size := range []struct{ services, tagged int }{{1, 1}, {1000, 50}, {10000, 100}} {
		b.Run(fmt.Sprintf("%dServices", size.services), func(b *testing.B) { benchmarkChange(b, size.services, size.tagged) })
	}
}

func benchmarkChange(b *testing.B, services, tagged int) {
	agent := consultest.Dev(b, consultest.Options{})
	crowd(b, agent.Client(), services, tagged)
	news := make(chan []providers.Instance, 1000)
	provider, err := consul.New(consul.Options{
		Client: connect(b, consul.Connection{Host: agent.HTTP}), Node: agent.NodeName, AllowStale: true,
	})
	require.NoError(b, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = provider.Run(ctx, func(s providers.Snapshot) { news <- s.Instances })
	}()
	defer func() { stop(); <-ended }()
	require.Len(b, <-news, tagged)

	p, name := newPlace(b, agent.Client(), nil), ""
	at := func(is func(i providers.Instance) bool) func([]providers.Instance) bool {
		return func(all []providers.Instance) bool {
			i := slices.IndexFunc(all, func(i providers.Instance) bool { return i.Service == name })
			return i >= 0 && is(all[i])
		}
	}
	port := 0
	kinds := []struct {
		change func()
		seen   func([]providers.Instance) bool
	}{
		{func() { name = unique(); p.register(web(name)) }, at(func(i providers.Instance) bool { return i.Healthy })},
		{func() {
			p.register(nil, &api.HealthCheck{CheckID: "c", Name: "c", Status: "critical", ServiceID: name})
		},
			at(func(i providers.Instance) bool { return !i.Healthy })},
		{func() {
			port++
			p.register(web(name, fmt.Sprintf("tricot example.com/%d", port)),
				&api.HealthCheck{CheckID: "c", Name: "c", Status: "passing"})
		}, at(func(i providers.Instance) bool {
			return i.Healthy && i.Tags[0] == fmt.Sprintf("tricot example.com/%d", port)
		})},
		{func() { p.register(nil, check("node-_node_maintenance", "critical")) },
			at(func(i providers.Instance) bool { return !i.Healthy })},
		{func() { p.deregister(name) }, func(all []providers.Instance) bool {
			return !slices.ContainsFunc(all, func(i providers.Instance) bool { return i.Service == name })
		}},
	}
	var took []time.Duration
	for b.Loop() {
		for n := range 200 {
			kind := kinds[n%len(kinds)]
			start := time.Now()
			kind.change()
			for !kind.seen(<-news) {
			}
			took = append(took, time.Since(start))
			if n%len(kinds) == len(kinds)-1 { // the node is well again, which changes nothing that is published
				p.register(nil, check("node-_node_maintenance", "passing"))
			}
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkStart measures the time to the first snapshot of 10,000 services, 100 of them tagged, and what following them
// costs afterwards: requests that wait in Consul, memory in use, requests in the first seconds of rest.
func BenchmarkStart_10000Services100Tagged(b *testing.B) {
	agent := consultest.Dev(b, consultest.Options{})
	crowd(b, agent.Client(), 10000, 100)
	front := newFront(b, agent)
	heap := func() float64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	var first time.Duration
	for b.Loop() {
		provider, err := consul.New(consul.Options{
			Client: connect(b, consul.Connection{Host: agent.HTTP}), Node: agent.NodeName, AllowStale: true,
		})
		require.NoError(b, err)
		ctx, stop := context.WithCancel(context.Background())
		news, ended := make(chan int, 10), make(chan struct{})
		before, start := heap(), time.Now()
		go func() {
			defer close(ended)
			_ = provider.Run(ctx, func(s providers.Snapshot) { news <- len(s.Instances) })
		}()
		require.Equal(b, 100, <-news)
		first += time.Since(start)
		b.ReportMetric((heap()-before)/1024, "heap-KiB")
		stop()
		<-ended
	}
	b.ReportMetric(first.Seconds()*1000/float64(b.N), "first-ms")

	// Once more, to count.
	f := follow(b, consul.Options{Client: front.client(b), Node: agent.NodeName, AllowStale: true})
	f.until(b, "crowd", number(100))
	require.Eventually(b, func() bool { return front.open.Load() == 102 }, patience, time.Millisecond)
	b.ReportMetric(float64(front.open.Load()), "waiting-requests")
	front.mu.Lock()
	b.ReportMetric(float64(len(front.queries)), "requests")
	front.mu.Unlock()
	b.ReportMetric(0, "ns/op")
}
