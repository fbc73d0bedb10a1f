package consul_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/providers"
	"github.com/tricot-proxy/tricot/providers/consul"
	"github.com/tricot-proxy/tricot/providers/consul/consultest"
)

var shared consultest.Shared

func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }

// patience is how long anything may take that happens at all.
const patience = 45 * time.Second

// connect makes a client as Tricot does.
func connect(t testing.TB, c consul.Connection) *api.Client {
	t.Helper()
	client, err := consul.Connect(c)
	require.NoError(t, err)
	return client
}

// A follower is a provider that runs, with all that it published, told and logged.
type follower struct {
	log *logged

	mu        sync.Mutex
	snapshots [][]providers.Instance
	sites     []string
	news      chan struct{} // closed and replaced at each of them

	stop  context.CancelFunc
	ended chan struct{}
}

// followAt runs a provider with short times, until the test ends, with a connection of its own that is logged too.
func followAt(t testing.TB, c consul.Connection, o consul.Options) *follower {
	t.Helper()
	log := &logged{}
	o.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c.Log = o.Log
	o.Client = connect(t, c)
	return begin(t, log, o)
}

// follow is the same with the test's client.
func follow(t testing.TB, o consul.Options) *follower {
	t.Helper()
	log := &logged{}
	o.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return begin(t, log, o)
}

func begin(t testing.TB, log *logged, o consul.Options) *follower {
	t.Helper()
	f := &follower{log: log, news: make(chan struct{}), ended: make(chan struct{})}
	if o.Node == "" && o.Site == "" {
		o.Site = "here"
	}
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	if o.RetryFloor == 0 {
		o.RetryFloor, o.RetryCeiling = 50*time.Millisecond, 400*time.Millisecond
	}
	o.Located = func(site string) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.sites = append(f.sites, site)
		f.tell()
	}
	provider, err := consul.New(o)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	go func() {
		defer close(f.ended)
		if err := provider.Run(ctx, f.publish); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	t.Cleanup(func() {
		f.end(t)
		if t.Failed() {
			t.Logf("the provider's log:\n%s", f.log.text())
		}
	})
	return f
}

func (f *follower) publish(s providers.Snapshot) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.snapshots = append(f.snapshots, s.Instances)
	f.tell()
}

func (f *follower) tell() {
	close(f.news)
	f.news = make(chan struct{})
}

// end stops the provider and waits for it. It may be called twice.
func (f *follower) end(t testing.TB) {
	t.Helper()
	f.stop()
	select {
	case <-f.ended:
	case <-time.After(patience):
		t.Fatal("Run does not return")
	}
}

// count says how many snapshots have been published.
func (f *follower) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.snapshots)
}

// now gives the latest instances of services whose names start with a prefix.
func (f *follower) now(prefix string) []providers.Instance {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.latest(prefix)
}

func (f *follower) latest(prefix string) []providers.Instance {
	if len(f.snapshots) == 0 {
		return nil
	}
	return of(f.snapshots[len(f.snapshots)-1], prefix)
}

// until waits until what is published last of a prefix is as it should be.
func (f *follower) until(t testing.TB, prefix string, is func([]providers.Instance) bool) []providers.Instance {
	t.Helper()
	late := time.After(patience)
	for {
		f.mu.Lock()
		news, published, instances := f.news, len(f.snapshots) > 0, f.latest(prefix)
		f.mu.Unlock()
		if published && is(instances) {
			return instances
		}
		select {
		case <-news:
		case <-late:
			t.Fatalf("what is published last of %q is %+v", prefix, instances)
		}
	}
}

// untilSite waits until the site that was told last is this one.
func (f *follower) untilSite(t testing.TB, site string) {
	t.Helper()
	late := time.After(patience)
	for {
		f.mu.Lock()
		news, sites := f.news, f.sites
		f.mu.Unlock()
		if len(sites) > 0 && sites[len(sites)-1] == site {
			return
		}
		select {
		case <-news:
		case <-late:
			t.Fatalf("the sites told are %q", sites)
		}
	}
}

func (f *follower) told() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string{}, f.sites...)
}

// These are for until.

func number(n int) func([]providers.Instance) bool {
	return func(i []providers.Instance) bool { return len(i) == n }
}

func healthy(n int) func([]providers.Instance) bool {
	return func(instances []providers.Instance) bool {
		found := 0
		for _, i := range instances {
			if i.Healthy {
				found++
			}
		}
		return found == n
	}
}

// logged is the text of a log.
type logged struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.Write(p)
}

func (l *logged) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.String()
}

// lines gives those that have all of these in them.
func (l *logged) lines(with ...string) []string {
	var found []string
	for line := range strings.Lines(l.text()) {
		all := true
		for _, part := range with {
			all = all && strings.Contains(line, part)
		}
		if all {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

// until waits for a line that has all of these in it.
func (l *logged) until(t testing.TB, with ...string) {
	t.Helper()
	require.Eventually(t, func() bool { return len(l.lines(with...)) > 0 }, patience, 5*time.Millisecond,
		"a log line with %q", with)
}

// unique gives a name that no other test has.
func unique() string { return "s-" + strings.ToLower(rand.Text()[:10]) }

// A place is a node of the catalog that no agent looks after, with services put there by the test.
type place struct {
	t      testing.TB
	client *api.Client
	node   string
	meta   map[string]string
}

// newPlace makes one, which goes with the test.
func newPlace(t testing.TB, client *api.Client, meta map[string]string) *place {
	t.Helper()
	p := &place{t: t, client: client, node: "n" + unique(), meta: meta}
	p.register(nil)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second) // it may be dead or frozen
		defer cancel()
		_, _ = client.Catalog().Deregister(&api.CatalogDeregistration{Node: p.node}, new(api.WriteOptions).WithContext(ctx))
	})
	return p
}

// register writes a service, or only the node where there is none, with checks of the service.
func (p *place) register(s *api.AgentService, checks ...*api.HealthCheck) {
	p.t.Helper()
	for _, c := range checks {
		c.Node = p.node
		if s != nil && c.ServiceID == "" && !strings.HasPrefix(c.CheckID, "node-") {
			c.ServiceID = s.ID
		}
	}
	_, err := p.client.Catalog().Register(&api.CatalogRegistration{
		Node: p.node, Address: "10.1.2.3", NodeMeta: p.meta, Service: s, Checks: checks,
	}, nil)
	require.NoError(p.t, err)
}

// web is a service with one rule, whose id is its name.
func web(name string, tags ...string) *api.AgentService {
	if len(tags) == 0 {
		tags = []string{"tricot " + name + ".example.com"}
	}
	return &api.AgentService{ID: name, Service: name, Port: 8080, Tags: tags}
}

func (p *place) deregister(id string) {
	p.t.Helper()
	_, err := p.client.Catalog().Deregister(&api.CatalogDeregistration{Node: p.node, ServiceID: id}, nil)
	require.NoError(p.t, err)
}

func check(id, status string) *api.HealthCheck {
	return &api.HealthCheck{CheckID: id, Name: id, Status: status}
}

// A front is a proxy before a real agent that counts what goes through, and may alter or withhold it.
type front struct {
	URL  string
	open atomic.Int64 // requests that wait
	most atomic.Int64 // of these at any time

	mu       sync.Mutex
	requests map[string]int // by path
	headers  []http.Header
	queries  []url.Values
	answer   func(w http.ResponseWriter, r *http.Request) bool // true: it has
	alter    func(*http.Response) error
}

func newFront(t testing.TB, agent *consultest.Agent) *front {
	t.Helper()
	to, err := url.Parse(agent.HTTP)
	require.NoError(t, err)
	f := &front{requests: map[string]int{}}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) },
		ModifyResponse: func(r *http.Response) error {
			f.mu.Lock()
			alter := f.alter
			f.mu.Unlock()
			if alter == nil {
				return nil
			}
			return alter(r)
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
		Transport:    &http.Transport{MaxIdleConnsPerHost: 1000},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		open := f.open.Add(1)
		defer f.open.Add(-1)
		for most := f.most.Load(); open > most && !f.most.CompareAndSwap(most, open); most = f.most.Load() {
		}
		f.mu.Lock()
		f.requests[r.URL.Path]++
		f.headers = append(f.headers, r.Header.Clone())
		f.queries = append(f.queries, r.URL.Query())
		answer := f.answer
		f.mu.Unlock()
		if answer == nil || !answer(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	f.URL = server.URL
	return f
}

// set changes what it does.
func (f *front) set(answer func(http.ResponseWriter, *http.Request) bool, alter func(*http.Response) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer, f.alter = answer, alter
}

func (f *front) asked(path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests[path]
}

func (f *front) client(t testing.TB) *api.Client {
	t.Helper()
	return connect(t, consul.Connection{Host: f.URL})
}

// of gives the instances of services whose names start with a prefix.
func of(snapshot []providers.Instance, prefix string) []providers.Instance {
	found := []providers.Instance{}
	for _, i := range snapshot {
		if strings.HasPrefix(i.Service, prefix) {
			found = append(found, i)
		}
	}
	return found
}

// all gives everything that has been published.
func (f *follower) all() [][]providers.Instance {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([][]providers.Instance{}, f.snapshots...)
}

// countOf says how many snapshots differed in services whose names start with a prefix.
func (f *follower) countOf(prefix string) int {
	count := 0
	var last string
	for _, snapshot := range f.all() {
		if now := fmt.Sprint(of(snapshot, prefix)); now != last {
			count, last = count+1, now
		}
	}
	return count
}

// writes puts a service into the catalog.
func writes(client *api.Client, node string, s *api.AgentService, checks ...*api.HealthCheck) error {
	for _, c := range checks {
		c.Node, c.ServiceID = node, s.ID
	}
	_, err := client.Catalog().Register(&api.CatalogRegistration{
		Node: node, Address: "10.1.2.3", Service: s, Checks: checks,
	}, nil)
	return err
}
