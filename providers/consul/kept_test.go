package consul_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/providers"
	"github.com/tricot-proxy/tricot/providers/consul"
	"github.com/tricot-proxy/tricot/providers/consul/consultest"
)

func TestRun_StartsFromTheDiskWhileConsulIsAway(t *testing.T) {
	t.Parallel()
	agent := consultest.Dev(t, consultest.Options{Site: "north", Persistent: true})
	p, one, other := newPlace(t, agent.Client(), map[string]string{"site": "south"}), unique(), unique()
	p.register(web(one), check(one, "passing"))
	p.register(web(other, "tricot other.example.com", "tricot-add-header X-By other"), check(other, "critical"))
	path := filepath.Join(t.TempDir(), "made", "state", "consul.json")
	options := consul.Options{Node: agent.NodeName, AllowStale: true, SnapshotPath: path}
	connection := consul.Connection{Host: agent.HTTP}

	first := followAt(t, connection, options)
	known := first.until(t, "s-", number(2))
	first.end(t)
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	info, err = os.Stat(filepath.Dir(path))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	assert.Empty(t, first.log.lines("level=WARN"), "there was no file yet, and no harm in that")

	agent.Stop()
	options.Now = func() time.Time { return time.Now().Add(3 * time.Hour) }
	second := followAt(t, connection, options)
	assert.Equal(t, known, second.until(t, "s-", number(2)))
	second.untilSite(t, "north")
	second.log.until(t, "level=WARN", "Consul does not answer: the services on disk are in force", "age=3h0m")
	second.log.until(t, "level=ERROR", awayBegins)

	agent.Restart()
	second.log.until(t, awayEnds)
	p.register(web(one), check(one, "critical"))
	second.until(t, "s-", healthy(0))
	assert.Equal(t, 2, second.count(), "the first answer was what the disk had")
	assert.Equal(t, []string{"north"}, second.told())
	assert.Len(t, second.log.lines("services on disk"), 1)
	second.end(t)
	assert.Equal(t, 0, strings.Count(read(t, path), `"healthy":true`), "the last one is written at the end")
}

func TestRun_StartsFromTheDiskWhileConsulIsSilent(t *testing.T) {
	t.Parallel()
	agent, name := shared.Agent(t), unique()
	newPlace(t, agent.Client(), nil).register(web(name))
	path := filepath.Join(t.TempDir(), "consul.json")
	front := newFront(t, agent)
	options := consul.Options{Client: front.client(t), AllowStale: true, SnapshotPath: path, Patience: 100 * time.Millisecond}
	first := follow(t, options)
	first.until(t, name, number(1))
	first.end(t)

	silent := make(chan struct{})
	front.set(func(_ http.ResponseWriter, r *http.Request) bool {
		select {
		case <-silent:
		case <-r.Context().Done():
		}
		return false
	}, nil)
	second := follow(t, options)
	second.until(t, name, number(1))
	second.log.until(t, "services on disk")
	assert.Empty(t, second.log.lines("level=ERROR"), "it may be on its way")
	close(silent)
	newer := unique()
	newPlace(t, agent.Client(), nil).register(web(newer))
	second.until(t, newer, number(1))
}

// Consul may say which services there are and no more.
func TestRun_TakesFromTheDiskWhatConsulDoesNotSayAtTheStart(t *testing.T) {
	t.Parallel()
	agent, good, broken, gone := shared.Agent(t), unique(), unique(), unique()
	p := newPlace(t, agent.Client(), map[string]string{"site": "north"})
	for _, name := range []string{good, broken, gone} {
		p.register(web(name))
	}
	path := filepath.Join(t.TempDir(), "consul.json")
	front := newFront(t, agent)
	options := consul.Options{
		Client: front.client(t), Node: p.node, AllowStale: true, SnapshotPath: path, Patience: 300 * time.Millisecond,
	}
	first := follow(t, options)
	for _, name := range []string{good, broken, gone} {
		first.until(t, name, number(1))
	}
	first.untilSite(t, "north")
	first.end(t)

	p.deregister(gone)
	front.set(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/v1/health/service/"+broken && r.URL.Path != "/v1/catalog/node/"+p.node {
			return false
		}
		http.Error(w, "broken", 500)
		return true
	}, nil)
	second := follow(t, options)
	second.until(t, gone, number(0))
	second.until(t, good, number(1))
	assert.Len(t, second.now(broken), 1)
	second.untilSite(t, "north")

	p.deregister(broken)
	front.set(nil, nil)
	second.until(t, broken, number(0))
	assert.Equal(t, []string{"north"}, second.told())
}

func TestRun_WarnsOnceOfAFileThatIsNoUse(t *testing.T) {
	t.Parallel()
	agent, name := shared.Agent(t), unique()
	newPlace(t, agent.Client(), nil).register(web(name))
	for _, file := range []struct{ name, content, reason string }{
		{"empty", "", "unexpected end"},
		{"half", `{"format":"tricot consul snapshot","version":1,"ins`, "unexpected end"},
		{"no JSON", "services: []", "invalid character"},
		{"foreign", `{"services": []}`, "no snapshot of Consul's services"},
		{"newer", `{"format":"tricot consul snapshot","version":2,"instances":{"x":1}}`, "expected version 1, found 2"},
		{"further field", `{"format":"tricot consul snapshot","version":1,"x":1}`, "unknown field"},
		{"incomplete", `{"format":"tricot consul snapshot","version":1,"instances":[{"id":"a"}]}`, "incomplete"},
	} {
		path := filepath.Join(t.TempDir(), "consul.json")
		require.NoError(t, os.WriteFile(path, []byte(file.content), 0o600))
		f := follow(t, consul.Options{Client: agent.Client(), AllowStale: true, SnapshotPath: path})
		f.until(t, name, number(1))
		assert.Len(t, f.log.lines("level=WARN", "on disk is ignored", file.reason), 1, file.name)
		f.end(t)
		assert.Contains(t, read(t, path), name, "it is replaced")
	}
}

func TestRun_WritesNothingToDiskThatConsulHasNotSaid(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "consul.json")
	f := followAt(t, consul.Connection{Host: "http://127.0.0.1:1"}, consul.Options{SnapshotPath: path})
	f.log.until(t, "level=ERROR", awayBegins, "there are no services from it")
	f.end(t)
	assert.NoFileExists(t, path)
	assert.Zero(t, f.count())
}

func TestRun_SaysOnceThatTheDiskCannotBeWritten(t *testing.T) {
	t.Parallel()
	agent, name := shared.Agent(t), unique()
	p := newPlace(t, agent.Client(), nil)
	p.register(web(name))
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	f := follow(t, consul.Options{Client: agent.Client(), AllowStale: true, SnapshotPath: filepath.Join(file, "consul.json")})
	f.until(t, name, number(1))
	f.log.until(t, "level=WARN", "cannot be kept on disk")
	p.register(web(name), check(name, "critical"))
	f.until(t, name, healthy(0))
	f.end(t)
	assert.Len(t, f.log.lines("cannot be kept on disk"), 1)
}

func TestRun_WritesToDiskSeldomAndTheLastSnapshotAlways(t *testing.T) {
	t.Parallel()
	agent, name := shared.Agent(t), unique()
	p := newPlace(t, agent.Client(), nil)
	path := filepath.Join(t.TempDir(), "consul.json")
	start := time.Now()
	f := follow(t, consul.Options{Client: agent.Client(), AllowStale: true, SnapshotPath: path})
	p.register(web(name))
	f.until(t, name, number(1))
	require.Eventually(t, func() bool { _, err := os.Stat(path); return err == nil }, patience, time.Millisecond)
	written, err := os.Stat(path)
	require.NoError(t, err)
	s := web(name)
	for s.Port = 1; s.Port < 6; s.Port++ {
		p.register(s)
		f.until(t, name, func(i []providers.Instance) bool { return i[0].Port == s.Port })
	}
	now, err := os.Stat(path)
	require.NoError(t, err)
	if time.Since(start) < 500*time.Millisecond { // on a machine that is very busy it may be due
		assert.True(t, os.SameFile(written, now))
	}
	f.end(t)
	var kept struct{ Instances []providers.Instance }
	require.NoError(t, json.Unmarshal([]byte(read(t, path)), &kept))
	assert.Equal(t, f.now(name), of(kept.Instances, name))
	assert.Equal(t, 5, of(kept.Instances, name)[0].Port)
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(content)
}
