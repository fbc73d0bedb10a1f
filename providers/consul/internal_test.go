package consul

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/providers"
	"github.com/tricot-proxy/tricot/providers/tag"
)

func TestIsOurs_LooksAtTheFirstWordAlone(t *testing.T) {
	for text, want := range map[string]bool{
		"tricot": true, "tricot example.com": true, " tricot example.com": true, "tricot-https x": true,
		"tricot-add-header A b": true, "tricot-global-lb": true, "tricot-": true, "tricot-unknown": true,
		"": false, " ": false, "tricotage": false, "tricot.enable": false, "Tricot x": false, "tricot\tx": false,
		"v2": false, "not tricot": false, "tricot_x": false,
	} {
		assert.Equal(t, want, isOurs(text), "%q", text)
	}
}

// What is not ours, package tag has to ignore without a word.
func FuzzIsOurs_KnowsWhatTheLanguageIgnores(f *testing.F) {
	for _, seed := range []string{"tricot example.com", "tricotage", " tricot-site-lb", "tricot-x", "", "tricot\tx"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		config, malformed := tag.Parse([]string{text})
		if !isOurs(text) && (len(malformed) > 0 || len(config.Rules) > 0 || len(config.Headers) > 0 || config.Balance != 0) {
			t.Errorf("%q means something", text)
		}
	})
}

func entry(change func(*api.ServiceEntry)) *api.ServiceEntry {
	e := &api.ServiceEntry{
		Node:    &api.Node{Node: "n1", Address: "10.0.0.1", Meta: map[string]string{"site": "north"}},
		Service: &api.AgentService{ID: "web-1", Service: "web", Port: 80, Tags: []string{"tricot *"}},
	}
	change(e)
	return e
}

func TestInstance_SaysWhatTheEntrySays(t *testing.T) {
	good := providers.Instance{
		ID: "n1/web-1", Service: "web", Address: "10.0.0.1", Port: 80, Node: "n1", Site: "north",
		Tags: []string{"tricot *"}, Healthy: true,
	}
	with := func(change func(*providers.Instance)) providers.Instance { i := good; change(&i); return i }
	checks := func(statuses ...string) func(*api.ServiceEntry) {
		return func(e *api.ServiceEntry) {
			for _, status := range statuses {
				e.Checks = append(e.Checks, &api.HealthCheck{Status: status})
			}
		}
	}
	sick := with(func(i *providers.Instance) { i.Healthy = false })
	at := func(address string) providers.Instance {
		return with(func(i *providers.Instance) { i.Address = address })
	}
	port := func(port int) providers.Instance { return with(func(i *providers.Instance) { i.Port = port }) }
	for _, c := range []struct {
		name   string
		change func(*api.ServiceEntry)
		want   providers.Instance
		err    error
	}{
		{"without checks", func(*api.ServiceEntry) {}, good, nil},
		{"all passing", checks("passing", "passing"), good, nil},
		{"one warning", checks("passing", "warning"), sick, nil},
		{"one critical", checks("critical", "passing"), sick, nil},
		{"one of a status that nobody knows", checks("passing", "?"), sick, nil},
		{"address of its own", func(e *api.ServiceEntry) { e.Service.Address = "web.internal" }, at("web.internal"), nil},
		{"IPv6", func(e *api.ServiceEntry) { e.Service.Address = "2001:db8::1" }, at("2001:db8::1"), nil},
		{"IPv6 in brackets", func(e *api.ServiceEntry) { e.Service.Address = "[2001:db8::1]" }, at("2001:db8::1"), nil},
		{"no address at all", func(e *api.ServiceEntry) { e.Node.Address = "" }, at(""), errNoAddress},
		{"no port", func(e *api.ServiceEntry) { e.Service.Port = 0 }, port(0), errNoPort},
		{"a port that is none", func(e *api.ServiceEntry) { e.Service.Port = 65536 }, port(65536), errNoPort},
		{"no site", func(e *api.ServiceEntry) { e.Node.Meta = nil }, with(func(i *providers.Instance) { i.Site = "" }), nil},
	} {
		got, err := instance(entry(c.change))
		assert.Equal(t, c.want, got, c.name)
		assert.Equal(t, c.err, err, c.name)
	}
}

func TestSameInstance_SeesEachDifference(t *testing.T) {
	one, err := instance(entry(func(*api.ServiceEntry) {}))
	require.NoError(t, err)
	assert.True(t, sameInstance(one, one))
	for _, change := range []func(*providers.Instance){
		func(i *providers.Instance) { i.ID = "x" },
		func(i *providers.Instance) { i.Service = "x" },
		func(i *providers.Instance) { i.Address = "x" },
		func(i *providers.Instance) { i.Port = 1 },
		func(i *providers.Instance) { i.Node = "x" },
		func(i *providers.Instance) { i.Site = "x" },
		func(i *providers.Instance) { i.Tags = []string{"tricot x"} },
		func(i *providers.Instance) { i.Healthy = false },
	} {
		other := one
		change(&other)
		assert.False(t, sameInstance(one, other), "%+v", other)
	}
}

func TestCheckEntries_RefusesWhatConsulWouldNotSay(t *testing.T) {
	good := entry(func(*api.ServiceEntry) {})
	require.NoError(t, checkEntries([]*api.ServiceEntry{}, nil))
	require.NoError(t, checkEntries([]*api.ServiceEntry{good}, nil))
	for _, wrong := range []*api.ServiceEntry{
		nil, {}, {Node: good.Node}, {Service: good.Service}, {Node: &api.Node{}, Service: good.Service},
		{Node: good.Node, Service: &api.AgentService{}}, {Node: good.Node, Service: good.Service, Checks: api.HealthChecks{nil}},
	} {
		require.ErrorIs(t, checkEntries([]*api.ServiceEntry{good, wrong}, nil), errNonsense)
	}
	require.ErrorIs(t, checkEntries(nil, nil), errNonsense)
}

func TestCatalog_PublishesEachInstanceOnceInAnOrderThatStays(t *testing.T) {
	var got []providers.Instance
	c := newCatalog(Options{Site: "here"}, func(s providers.Snapshot) { got = s.Instances }, new(providers.TroubleBook))
	i := func(id, service string) providers.Instance { return providers.Instance{ID: id, Service: service} }
	c.services = map[string]*service{
		"b": {instances: []providers.Instance{i("n/1", "b"), i("n/2", "b")}},
		"a": {instances: []providers.Instance{i("n/1", "a"), i("n/3", "a")}},
	}
	c.announce()
	assert.Equal(t, []providers.Instance{i("n/1", "a"), i("n/3", "a"), i("n/2", "b")}, got)
}

func TestCatalog_TakesTheSiteFromTheDiskUntilConsulTellsIt(t *testing.T) {
	for _, c := range []struct {
		name    string
		options Options
		kept    *diskSnapshot
		told    []string
	}{
		{"of this node", Options{Node: "n"}, &diskSnapshot{Node: "n", Site: "north"}, []string{"north", "south"}},
		{"of another node", Options{Node: "n"}, &diskSnapshot{Node: "m", Site: "north"}, []string{"south"}},
		{"nothing", Options{Node: "n"}, nil, []string{"south"}},
	} {
		var told []string
		c.options.Located = func(site string) { told = append(told, site) }
		c.options.Log = slog.New(slog.DiscardHandler)
		all := newCatalog(c.options, func(providers.Snapshot) {}, new(providers.TroubleBook))
		all.kept = c.kept
		all.announce()
		all.locate(&api.CatalogNode{Node: &api.Node{Meta: map[string]string{"site": "south"}}})
		assert.Equal(t, c.told, told, c.name)
	}
}

func TestCoalescer_WaitsForQuietButNotForLong(t *testing.T) {
	start := time.Now()
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	for _, c := range []struct {
		name    string
		changes []int // in ms
		due     int
	}{
		{"one", []int{0}, 10},
		{"two close together", []int{0, 9}, 19},
		{"a burst that ends", []int{0, 5, 10, 15, 20}, 30},
		{"the last just in time", []int{0, 30, 60, 90}, 100},
		{"a burst that does not end", []int{0, 8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 104, 112}, 100},
	} {
		all := coalescer{quiet: DefaultQuiet, latest: DefaultLatest}
		_, ok := all.due()
		assert.False(t, ok, c.name)
		for _, ms := range c.changes {
			all.changed(at(ms))
		}
		due, ok := all.due()
		assert.True(t, ok, c.name)
		assert.Equal(t, at(c.due), due, c.name)
		all.published()
		_, ok = all.due()
		assert.False(t, ok, c.name)
	}
}

func TestWatch_AsksAgainEverMoreSeldomWhatFailsUpToACeilingAndNeverInStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		provider, err := New(Options{Client: new(api.Client), Site: "here"})
		require.NoError(t, err)
		const tries = 40
		ctx, stop := context.WithCancel(t.Context())
		var at []time.Time
		w := newWatch(question[int]{name: "nothing", ask: func(*api.QueryOptions) (int, *api.QueryMeta, error) {
			if at = append(at, time.Now()); len(at) == tries {
				stop()
			}
			return 0, nil, errors.New("EOF")
		}}, &provider.options, newTrouble(slog.New(slog.DiscardHandler), new(providers.TroubleBook)))
		w.run(ctx)

		require.Len(t, at, tries)
		base, rests := DefaultRetryFloor, map[time.Duration]bool{}
		for i := range tries - 1 {
			between := at[i+1].Sub(at[i])
			assert.GreaterOrEqual(t, between, base/2, "rest %d", i)
			assert.LessOrEqual(t, between, min(base*3/2, DefaultRetryCeiling)+time.Nanosecond, "rest %d", i)
			rests[between] = true
			base = min(2*base, DefaultRetryCeiling)
		}
		assert.Greater(t, len(rests), tries/4, "they differ, so that many Tricots do not ask all at once")
	})
}

func TestPace_LetsABurstPassAndThenOneAtATime(t *testing.T) {
	var p pace
	now := time.Now()
	for range paceBurst {
		assert.Zero(t, p.delay(now))
	}
	for range 100 {
		delay := p.delay(now)
		assert.Equal(t, paceEvery, delay)
		now = now.Add(delay)
	}
	now = now.Add(time.Hour)
	for range paceBurst {
		assert.Zero(t, p.delay(now), "after a rest")
	}
	assert.Equal(t, paceEvery, p.delay(now))
}

func TestClassify_TellsWhoHasToDoSomething(t *testing.T) {
	for _, c := range []struct {
		err  error
		kind kind
		hint string
	}{
		{errors.New("connection refused"), away, ""},
		{errNoLeader, away, ""},
		{context.DeadlineExceeded, away, ""},
		{api.StatusError{Code: 500, Body: "No cluster leader"}, away, ""},
		{api.StatusError{Code: 403, Body: "ACL not found"}, refused, "consul.token"},
		{api.StatusError{Code: 401}, refused, "consul.token"},
		{api.StatusError{Code: 429}, refused, "http_max_conns_per_client"},
		{api.StatusError{Code: 400, Body: "Client sent an HTTP request to an HTTPS server."}, refused, "begin with https"},
		{api.StatusError{Code: 400, Body: "Invalid filter"}, away, ""},
		{errFiltered, refused, "service:read"},
		{x509.UnknownAuthorityError{}, refused, "consul.ca_cert"},
		{x509.HostnameError{Certificate: &x509.Certificate{}}, refused, "consul.host"},
		{x509.CertificateInvalidError{}, refused, "consul.ca_cert"},
		{&net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")}, refused, "consul.client_cert"},
		{errors.New("http: server gave HTTP response to HTTPS client"), refused, "not https"},
		{errClientCertificate, refused, "consul.client_cert"},
	} {
		kind, hint := classify(fmt.Errorf("ask: %w", &url.Error{Op: "Get", URL: "http://x", Err: c.err}))
		assert.Equal(t, c.kind, kind, "%v", c.err)
		if c.hint == "" {
			assert.Empty(t, hint, "%v", c.err)
		}
		assert.Contains(t, hint, c.hint, "%v", c.err)
	}
}

func TestTrouble_TellsEachKindOnceForAllQueries(t *testing.T) {
	var log bytes.Buffer
	book := new(providers.TroubleBook)
	trouble := newTrouble(slog.New(slog.NewTextHandler(&log, nil)), book)
	said := func() string {
		defer log.Reset()
		var words []string
		for line := range strings.Lines(log.String()) {
			switch {
			case strings.Contains(line, "does not answer"):
				words = append(words, "away")
			case strings.Contains(line, "refuses"):
				words = append(words, "refused")
			case strings.Contains(line, "level=INFO"):
				words = append(words, "over")
			}
		}
		return strings.Join(words, " ")
	}
	gone, denied := errors.New("EOF"), api.StatusError{Code: 403}
	trouble.worked("a")
	assert.Empty(t, said())
	trouble.failed("a", "a", gone)
	trouble.failed("b", "b", gone)
	trouble.failed("a", "a", errNoLeader)
	assert.Equal(t, "away", said())
	first := book.Trouble()
	assert.Equal(t, "Consul does not answer as it should: a: EOF", first.Reason)
	assert.False(t, first.Since.IsZero())
	recovery := trouble.recovery()
	trouble.worked("a")
	assert.Empty(t, said(), "b does not work yet")
	select {
	case <-recovery:
	default:
		t.Error("that a works is not told to b")
	}
	assert.Equal(t, first, book.Trouble(), "b does not work yet")
	trouble.forget("b")
	assert.Equal(t, "over", said())
	assert.Zero(t, book.Trouble())

	trouble.failed("a", "a", gone)
	trouble.failed("a", "a", denied)
	assert.Equal(t, "away over refused", said(), "one that refuses is there")
	trouble.failed("a", "a", gone)
	assert.Equal(t, "away", said(), "one that is away may refuse again")
	trouble.failed("a", "a", denied)
	assert.Equal(t, "over", said())
	trouble.worked("a")
	assert.Equal(t, "over", said())
	trouble.worked("a")
	assert.Empty(t, said())
}

func FuzzParseSnapshot_GivesWhatIsCompleteOrAnError(f *testing.F) {
	f.Add([]byte(`{"format":"tricot consul snapshot","version":1,"written":"2024-01-02T03:04:05Z","node":"n","site":"s","instances":` +
		`[{"id":"n/a","service":"a","address":"::1","port":80,"node":"n","tags":["tricot *"],"healthy":true}]}`))
	f.Add([]byte(`{"format":"tricot consul snapshot","version":1,"instances":null}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		s, err := parseSnapshot(content)
		if err != nil {
			return
		}
		for _, i := range s.instances() {
			if i.ID == "" || i.Service == "" || i.Address == "" || i.Port < 1 || i.Port > 65535 {
				t.Errorf("%+v is incomplete", i)
			}
		}
	})
}
