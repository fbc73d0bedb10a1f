package consul_test

import (
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/providers"
	"github.com/tricot-proxy/tricot/providers/consul"
	"github.com/tricot-proxy/tricot/providers/consul/consultest"
)

// The words of the log lines.
const (
	awayBegins    = "Consul does not answer as it should"
	awayEnds      = "Consul answers as it should again"
	refusalBegins = "Consul refuses what it is asked"
	refusalEnds   = "Consul does not refuse what it is asked any more"
	toServices    = "path=/v1/catalog/services"
)

// quietFor sees that nothing is published and nothing more is said while something happens.
func (f *follower) quietFor(t *testing.T, happens func()) {
	t.Helper()
	published, said := f.count(), len(f.log.lines("level=ERROR"))
	happens()
	assert.Equal(t, published, f.count(), "snapshots")
	assert.Len(t, f.log.lines("level=ERROR"), said, "errors")
}

func TestRun_KeepsTheLastSnapshotWhileConsulIsGoneAndGoesOnAfterwards(t *testing.T) {
	t.Parallel()
	agent := consultest.Dev(t, consultest.Options{Persistent: true})
	p, names := newPlace(t, agent.Client(), nil), []string{unique(), unique(), unique()}
	for _, name := range names {
		p.register(web(name))
	}
	f := followAt(t, consul.Connection{Host: agent.HTTP}, consul.Options{Node: agent.NodeName, AllowStale: true})
	f.until(t, "s-", number(3))

	agent.Stop()
	f.log.until(t, "level=ERROR", awayBegins, "the last good services stay in force")
	f.quietFor(t, func() {
		require.Eventually(t, func() bool { return len(f.log.lines(toServices, "refused")) > 4 }, patience, time.Millisecond)
	})
	agent.Restart()
	f.log.until(t, "level=INFO", awayEnds)
	assert.Equal(t, 1, f.count(), "it is as it was")
	assert.Len(t, f.log.lines("level=ERROR"), 1)
	assert.Len(t, f.log.lines(awayEnds), 1)

	p.register(web(unique()))
	f.until(t, "s-", number(4))
	assert.Len(t, f.log.lines("level=ERROR"), 1)
}

func TestRun_BelievesAConsulThatHasForgottenEverything(t *testing.T) {
	t.Parallel()
	agent := consultest.Dev(t, consultest.Options{})
	p := newPlace(t, agent.Client(), nil)
	p.register(web(unique()))
	for range 50 { // so that the indexes after the restart are lower
		p.register(nil, check("node-check", "passing"))
	}
	f := follow(t, consul.Options{Client: agent.Client(), AllowStale: true, RetryCeiling: 100 * time.Millisecond})
	f.until(t, "s-", number(1))
	agent.Restart()
	f.until(t, "s-", number(0))
	f.log.until(t, awayEnds)
	name := unique()
	p.register(web(name))
	f.until(t, name, number(1))
}

func TestRun_NoticesAConsulThatIsFrozenAndGoesOnWhenItThaws(t *testing.T) {
	t.Parallel()
	agent := consultest.Dev(t, consultest.Options{})
	p, name := newPlace(t, agent.Client(), nil), unique()
	p.register(web(name))
	f := followAt(t, consul.Connection{Host: agent.HTTP}, consul.Options{
		Node: agent.NodeName, AllowStale: true, Wait: time.Second, Timeout: 2 * time.Second,
	})
	f.until(t, name, number(1))

	agent.Pause()
	f.log.until(t, "level=ERROR", awayBegins, "no answer within")
	f.quietFor(t, func() {
		require.Eventually(t, func() bool { return len(f.log.lines(toServices, "no answer within")) > 3 }, patience, time.Millisecond)
	})
	agent.Resume()
	f.log.until(t, awayEnds)
	assert.Equal(t, 1, f.count())
	assert.Len(t, f.log.lines("level=ERROR"), 1)
	p.register(web(name), check(name, "critical"))
	f.until(t, name, healthy(0))
}

// A cluster's agent that is no server stays, whatever becomes of the servers.
func TestRun_OutlivesTheLeaderAndAllServers(t *testing.T) {
	t.Parallel()
	servers := consultest.Cluster(t, 3)
	agent := servers.Join(consultest.Options{Site: "north"})
	client := agent.Client()
	p, name := newPlace(t, client, nil), unique()
	p.register(web(name), check(name, "passing"))
	f := followAt(t, consul.Connection{Host: agent.HTTP}, consul.Options{
		Node: agent.NodeName, AllowStale: true, Wait: 2 * time.Second,
	})
	f.until(t, name, healthy(1))
	f.untilSite(t, "north")

	// eventually, because a write needs a leader.
	set := func(status string) {
		t.Helper()
		require.Eventually(t, func() bool {
			return writes(client, p.node, web(name), check(name, status)) == nil
		}, 2*patience, 50*time.Millisecond)
	}
	leader := servers.Leader()
	published := f.count()
	leader.Stop()
	set("critical")
	f.until(t, name, healthy(0))
	assert.Equal(t, published+1, f.count())
	leader.Restart()
	servers.Leader()

	for _, server := range servers.Agents {
		server.Stop()
	}
	f.awaitRefusals(t)
	assert.False(t, f.calm())
	begun := len(f.log.lines("level=ERROR")) // elections may have brought some
	f.awaitRefusals(t)
	assert.Len(t, f.log.lines("level=ERROR"), begun)
	for _, server := range servers.Agents {
		server.Restart()
	}
	servers.Leader()
	require.Eventually(t, func() bool { return f.calm() }, 2*patience, 10*time.Millisecond)
	assert.Equal(t, published+1, f.count(), "nothing is lost on the way")
	set("passing")
	f.until(t, name, healthy(1))
	assert.Equal(t, []string{"north"}, f.told())
}

// awaitRefusals waits until the agent has refused a few more queries because it has no server to ask.
func (f *follower) awaitRefusals(t *testing.T) {
	t.Helper()
	before := len(f.log.lines("status=500"))
	require.Eventually(t, func() bool { return len(f.log.lines("status=500")) > before+4 }, 2*patience, 10*time.Millisecond)
}

// calm says that all trouble that has begun is over.
func (f *follower) calm() bool {
	return len(f.log.lines("level=ERROR")) == len(f.log.lines(awayEnds))+len(f.log.lines(refusalEnds))
}

func TestRun_IgnoresAnswersThatAreWrong(t *testing.T) {
	t.Parallel()
	agent := shared.Agent(t)
	for _, wrong := range []struct {
		name   string
		answer func(http.ResponseWriter)
		reason string
	}{
		{"500", func(w http.ResponseWriter) { http.Error(w, "rpc error making call: no", 500) }, "no"},
		{"no leader", func(w http.ResponseWriter) { http.Error(w, "No cluster leader", 500) }, "No cluster leader"},
		{"404", func(w http.ResponseWriter) { http.NotFound(w, nil) }, "404"},
		{"redirect", func(w http.ResponseWriter) { w.Header().Set("Location", "/"); w.WriteHeader(301) }, "301"},
		{"a page", good(`<html>Welcome</html>`), "invalid character"},
		{"nothing", good(``), "EOF"},
		{"half", good(`[{"Node": {"Node": "x"`), ""},
		{"null", good(`null`), "not what Consul's API promises"},
		{"another type", good(`"yes"`), "cannot unmarshal"},
		{"no headers", func(w http.ResponseWriter) { _, _ = w.Write([]byte(`[]`)) }, "no index"},
		{"no leader known", func(w http.ResponseWriter) {
			header(w, "9999999", "false")
			_, _ = w.Write([]byte(`[]`))
		}, "there is no leader"},
		{"index 0", func(w http.ResponseWriter) { header(w, "0", "true"); _, _ = w.Write([]byte(`[]`)) }, "no index"},
		{"an entry without its service", good(`[{"Node": {"Node": "x"}}]`), "not what Consul's API promises"},
	} {
		t.Run(wrong.name, func(t *testing.T) {
			t.Parallel()
			p, name := newPlace(t, agent.Client(), nil), unique()
			p.register(web(name))
			front := newFront(t, agent)
			f := follow(t, consul.Options{Client: front.client(t), AllowStale: true})
			f.until(t, name, number(1))

			health := "/v1/health/service/" + name
			require.Eventually(t, func() bool { return front.asked(health) == 2 }, patience, time.Millisecond, "it waits")
			front.set(func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != health {
					return false
				}
				wrong.answer(w)
				return true
			}, nil)
			changed := web(name)
			changed.Port++
			p.register(changed) // ends the queries that wait, with their own answer
			f.until(t, name, func(i []providers.Instance) bool { return len(i) == 1 && i[0].Port == changed.Port })
			p.register(web(name))
			f.log.until(t, "level=ERROR", awayBegins, wrong.reason)
			before := front.asked(health)
			require.Eventually(t, func() bool { return front.asked(health) > before+3 }, patience, time.Millisecond)
			assert.Equal(t, changed.Port, f.now(name)[0].Port)
			assert.Len(t, f.log.lines("level=ERROR"), 1)

			front.set(nil, nil)
			f.until(t, name, func(i []providers.Instance) bool { return len(i) == 1 && i[0].Port == 8080 })
			f.log.until(t, "level=INFO", awayEnds)
			assert.Len(t, f.log.lines("level=ERROR"), 1)
		})
	}
}

// good answers as Consul does, with another body.
func good(body string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		header(w, "9999999", "true")
		_, _ = w.Write([]byte(body))
	}
}

func header(w http.ResponseWriter, index, leader string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Consul-Index", index)
	w.Header().Set("X-Consul-Knownleader", leader)
	w.Header().Set("X-Consul-Lastcontact", "0")
}

func TestRun_BelievesAnEmptyCatalogAfterAnErrorOnlyWhenItIsConfirmed(t *testing.T) {
	t.Parallel()
	agent, name := shared.Agent(t), unique()
	p := newPlace(t, agent.Client(), nil)
	p.register(web(name))
	front := newFront(t, agent)
	f := follow(t, consul.Options{Client: front.client(t), AllowStale: true})
	f.until(t, name, number(1))

	// Each of the two queries is told that there was an error, then that everything is gone, then the truth.
	const whole, wrong, lied = 0, 1, 2
	state, lies := map[string]int{}, make(chan string, 2)
	var mu sync.Mutex
	front.set(func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		path := r.URL.Path
		body := map[string]string{"/v1/catalog/services": "{}", "/v1/health/service/" + name: "[]"}[path]
		switch {
		case body != "" && state[path] == whole && r.URL.Query().Get("index") != "":
			state[path] = wrong
			http.Error(w, "gone", 500)
		case body != "" && state[path] == wrong:
			state[path] = lied
			good(body)(w)
			lies <- path
		default:
			return false
		}
		return true
	}, nil)
	p.register(web(name), check(name, "passing")) // lets the queries return and be asked again
	p.register(web(unique()))
	f.log.until(t, "level=ERROR", awayBegins)
	for range 2 {
		select {
		case <-lies:
		case <-time.After(patience):
			t.Fatal("one of them is not asked any more")
		}
	}
	front.set(nil, nil)
	f.log.until(t, awayEnds)
	for i, snapshot := range f.all() {
		assert.NotEmpty(t, of(snapshot, name), "snapshot %d", i)
	}
}

func TestRun_EmptiesTheTableWhenConsulConfirmsThatThereIsNothing(t *testing.T) {
	t.Parallel()
	agent, name := shared.Agent(t), unique()
	newPlace(t, agent.Client(), nil).register(web(name))
	front := newFront(t, agent)
	f := follow(t, consul.Options{Client: front.client(t), AllowStale: true, Wait: 300 * time.Millisecond})
	f.until(t, name, number(1))
	consistent := make(chan bool, 100)
	front.set(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/v1/catalog/services" {
			return false
		}
		select {
		case consistent <- r.URL.Query().Has("consistent") && !r.URL.Query().Has("stale"):
		default:
		}
		if r.URL.Query().Get("index") == "" {
			good(`{"consul": []}`)(w)
		} else {
			http.Error(w, "once", 500)
		}
		return true
	}, nil)
	f.until(t, "s-", number(0))
	assert.False(t, <-consistent, "the query that waited")
	assert.True(t, <-consistent, "the first read after trouble")
	assert.True(t, <-consistent, "the one that confirms it")
}

func TestRun_WaitsWithTheFirstSnapshotForTheHealthOfEachService(t *testing.T) {
	t.Parallel()
	agent, quick, slow := shared.Agent(t), unique(), unique()
	p := newPlace(t, agent.Client(), nil)
	p.register(web(quick))
	p.register(web(slow))
	front := newFront(t, agent)
	told := make(chan struct{})
	front.set(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/v1/health/service/"+slow {
			select {
			case <-told:
			case <-r.Context().Done():
			}
		}
		return false
	}, nil)
	f := follow(t, consul.Options{Client: front.client(t), AllowStale: true, Patience: time.Minute})
	require.Eventually(t, func() bool { return front.asked("/v1/health/service/"+quick) == 2 }, patience, time.Millisecond)
	require.Never(t, func() bool { return f.count() > 0 }, 100*time.Millisecond, 5*time.Millisecond)
	close(told)
	f.until(t, slow, number(1))
	for _, snapshot := range f.all() {
		assert.NotEmpty(t, of(snapshot, slow))
		assert.NotEmpty(t, of(snapshot, quick))
	}
}

func TestRun_GoesOnWithoutAServiceWhoseHealthIsNotToBeHad(t *testing.T) {
	t.Parallel()
	agent, good, broken := shared.Agent(t), unique(), unique()
	p := newPlace(t, agent.Client(), nil)
	p.register(web(good))
	p.register(web(broken))
	front := newFront(t, agent)
	front.set(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/v1/health/service/"+broken {
			return false
		}
		http.Error(w, "broken", 500)
		return true
	}, nil)
	f := follow(t, consul.Options{Client: front.client(t), AllowStale: true, Patience: 200 * time.Millisecond})
	f.until(t, good, number(1))
	assert.Empty(t, f.now(broken))
	f.log.until(t, "level=ERROR", "health of service "+broken)

	p.register(web(good), check(good, "critical"))
	f.until(t, good, healthy(0))
	assert.Len(t, f.log.lines("level=ERROR"), 1)
	front.set(nil, nil)
	f.until(t, broken, number(1))
	f.log.until(t, "level=INFO", awayEnds)
}

func TestRun_AsksAgainFromTheBeginningWhenTheIndexGoesBackwards(t *testing.T) {
	t.Parallel()
	agent, name := shared.Agent(t), unique()
	p := newPlace(t, agent.Client(), nil)
	p.register(web(name))
	front := newFront(t, agent)
	f := follow(t, consul.Options{Client: front.client(t), AllowStale: true})
	f.until(t, name, number(1))
	health := "/v1/health/service/" + name
	response, err := http.Get(agent.HTTP + health)
	require.NoError(t, err)
	old, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	front.set(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != health || r.URL.Query().Get("index") == "" {
			return false
		}
		header(w, "2", "true")
		_, _ = w.Write(old) // what a server says that lags behind
		return true
	}, nil)
	published := f.countOf(name)
	p.register(web(name), check(name, "critical"))
	f.until(t, name, healthy(0))
	before := front.asked(health)
	require.Eventually(t, func() bool { return front.asked(health) > before+4 }, patience, time.Millisecond)
	assert.Equal(t, published+1, f.countOf(name))
	assert.Empty(t, f.log.lines("level=ERROR"))
}

func TestRun_SlowsDownAQueryThatReturnsAtOnceWithoutNews(t *testing.T) {
	t.Parallel()
	agent, name := shared.Agent(t), unique()
	newPlace(t, agent.Client(), nil).register(web(name))
	front := newFront(t, agent)
	health := "/v1/health/service/" + name
	front.set(func(w http.ResponseWriter, r *http.Request) bool {
		index := r.URL.Query().Get("index")
		if r.URL.Path != health || index == "" {
			return false
		}
		header(w, index, "true")
		_, _ = w.Write([]byte(`[]`))
		return true
	}, nil)
	f := follow(t, consul.Options{
		Client: front.client(t), AllowStale: true, RetryFloor: 100 * time.Millisecond, RetryCeiling: time.Hour,
	})
	f.until(t, name, number(1))
	require.Eventually(t, func() bool { return front.asked(health) >= 5 }, patience, time.Millisecond)
	start := time.Now()
	require.Eventually(t, func() bool { return front.asked(health) >= 7 }, patience, time.Millisecond)
	assert.Greater(t, time.Since(start), 500*time.Millisecond, "the fifth and the sixth rest take 1.6 s and 3.2 s, or half")
	assert.Len(t, f.now(name), 1)
	assert.Empty(t, f.log.lines("level=ERROR"))
}
