package main_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/providers/consul/consultest"
)

// onConsul is what the YAML file of a Tricot has that runs beside an agent, and takes its services from there and keeps
// its certificates there. No snapshot is kept on disk.
func onConsul(agent *consultest.Agent, further config) config {
	all := config{
		"providers":            []string{"consul"},
		"node_name":            agent.NodeName,
		"consul.host":          agent.HTTP,
		"consul.snapshot_path": "none",
		"consul.token":         agent.Token,
		"file.path":            nil,
		"certs.store":          nil, // so it is consul
	}
	if agent.Token == "" {
		delete(all, "consul.token")
	}
	maps.Copy(all, further)
	return all
}

// startOnConsul runs Tricot beside an agent and waits until its ports are open.
func startOnConsul(t *testing.T, agent *consultest.Agent, further config) *proxy {
	t.Helper()
	p := newProxy(t, onConsul(agent, further))
	p.launch()
	p.awaitListening()
	return p
}

// snapshotFile is where the tests that want it have the snapshot kept.
func (p *proxy) snapshotFile() string { return filepath.Join(p.dir, "snapshot.json") }

// registerWith registers the backend as a service of the agent's node, with a check of its own that passes and that
// [setCheck] sets. A second time it changes the tags.
func (b backend) registerWith(t *testing.T, agent *consultest.Agent, name string, tags ...string) {
	t.Helper()
	entry := b.service(t, name, tags...)
	require.NoError(t, agent.Client().Agent().ServiceRegister(&api.AgentServiceRegistration{
		ID: name, Name: name, Address: entry.Address, Port: entry.Port, Tags: tags,
		Check: &api.AgentServiceCheck{CheckID: checkOf(name), TTL: "1h", Status: api.HealthPassing},
	}))
}

func checkOf(service string) string { return "check of " + service }

func setCheck(agent *consultest.Agent, service, output, status string) error {
	return agent.Client().Agent().UpdateTTL(checkOf(service), output, status)
}

// registerOn registers the backend in the catalog, on a node that needs no agent.
func (b backend) registerOn(t *testing.T, client *api.Client, node, site, name string, tags ...string) {
	t.Helper()
	entry := b.service(t, name, tags...)
	registration := placed(node, site)
	registration.Service = &api.AgentService{
		ID: name, Service: name, Address: entry.Address, Port: entry.Port, Tags: tags,
	}
	_, err := client.Catalog().Register(registration, nil)
	require.NoError(t, err)
}

// placed is a node in the catalog, at a site where that is not empty.
func placed(node, site string) *api.CatalogRegistration {
	registration := &api.CatalogRegistration{Node: node, Address: "127.0.0.1"}
	if site != "" {
		registration.NodeMeta = map[string]string{"site": site}
	}
	return registration
}

// awaitStatus waits until a URL is answered so.
func (p *proxy) awaitStatus(client *http.Client, url string, status int) {
	p.t.Helper()
	p.eventually(func() bool {
		return p.mustRun() && get(p.t, client, url).StatusCode == status
	}, fmt.Sprintf("%s is not answered with %d", url, status))
}

// awaitBody waits until a URL is answered so.
func (p *proxy) awaitBody(client *http.Client, url, body string) {
	p.t.Helper()
	p.eventually(func() bool {
		return p.mustRun() && get(p.t, client, url).body == body
	}, fmt.Sprintf("%s is not answered with %q", url, body))
}

// A load is several clients over HTTPS, half of them with HTTP/1.1 and half with HTTP/2, each of which asks for a URL
// again as soon as it has an answer.
type load struct {
	stop    chan struct{}
	clients sync.WaitGroup
	sent    atomic.Int64

	mu       sync.Mutex
	failures []string
}

// load begins one, which ends with [load.end]. Every answer has to be 200 with this body. A pause, where it is not 0, is
// made by each client between two requests, for the sake of what else runs on the machine.
func (p *proxy) load(clients int, pause time.Duration, url, body string) *load {
	p.t.Helper()
	l := &load{stop: make(chan struct{})}
	for i := range clients {
		client := p.client(p.t, []protocol{http1, http2}[i%2])
		l.clients.Go(func() {
			next := time.NewTimer(0)
			defer next.Stop()
			for {
				select {
				case <-l.stop:
					return
				case <-next.C:
				}
				if failure := askFor(client, url, body); failure != "" {
					l.failed(failure)
				}
				l.sent.Add(1)
				next.Reset(pause)
			}
		})
	}
	p.t.Cleanup(func() { // where the test fails before the load has ended
		select {
		case <-l.stop:
		default:
			close(l.stop)
		}
		l.clients.Wait()
	})
	return l
}

// askFor sends one request and says how it failed.
func askFor(client *http.Client, url, body string) string {
	response, err := client.Get(url)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return err.Error()
	case response.StatusCode != http.StatusOK || string(got) != body:
		return fmt.Sprintf("%s: %s", response.Status, got)
	}
	return ""
}

func (l *load) failed(failure string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures = append(l.failures, time.Now().Format(time.TimeOnly)+" "+failure)
}

// goesOn waits until as many further requests have been answered.
func (l *load) goesOn(t *testing.T, requests int64) {
	t.Helper()
	enough := l.sent.Load() + requests
	eventually(t, patience, func() bool { return l.sent.Load() >= enough }, "the load stands still")
}

// end ends the load, of which no request may have failed.
func (l *load) end(t *testing.T) {
	t.Helper()
	close(l.stop)
	l.clients.Wait()
	t.Logf("%d requests", l.sent.Load())
	assert.Empty(t, l.failures[:min(10, len(l.failures))], "%d of %d requests", len(l.failures), l.sent.Load())
}
