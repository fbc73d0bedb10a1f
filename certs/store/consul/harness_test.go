package consul_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/store"
	"github.com/tricot-proxy/tricot/certs/store/consul"
	"github.com/tricot-proxy/tricot/providers/consul/consultest"
)

// quick allows sessions that end within seconds, and many clients from one address.
const quick = `
	session_ttl_min = "1s"
	limits { http_max_conns_per_client = 2000 }
`

const (
	// patience is how long a test waits for what has to come.
	patience = 30 * time.Second
	// ttl is that of the sessions where a test waits for their end, which comes after one to two of it. It is long enough to
	// be renewed in time on a slow machine.
	ttl = 3 * time.Second
	// lasting is that of all others, which no test outlasts.
	lasting = time.Hour
)

var shared = consultest.Shared{Options: consultest.Options{HCL: quick}}

func TestMain(m *testing.M) {
	if runAsHolder() {
		return
	}
	os.Exit(shared.Run(m))
}

var places sync.Map // from *testing.T to the place that prefix gave it

// prefix is a place in the KV that only this run of this test has.
func prefix(t *testing.T) string {
	place, known := places.Load(t)
	if !known {
		name := strings.NewReplacer("/", "-", "'", "").Replace(t.Name())
		place, _ = places.LoadOrStore(t, fmt.Sprintf("%.80s-%x/", name, rand.Uint32()))
	}
	return place.(string)
}

// open opens a handle with a client of its own, as another process would. What o leaves out is set: a TTL that no
// test outlasts, and a prefix of the test's own.
func open(t *testing.T, agent *consultest.Agent, o consul.Options) *consul.Store {
	t.Helper()
	if o.Client == nil {
		o.Client = agent.ClientWith(agent.Token)
	}
	if o.Prefix == "" {
		o.Prefix = prefix(t)
	}
	if o.SessionTTL == 0 {
		o.SessionTTL = lasting
	}
	s, err := consul.Open(o)
	require.NoError(t, err)
	return s
}

// A log is what a store has logged.
type log struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// count is the number of lines with a text in them.
func (l *log) count(text string) int {
	count := 0
	for line := range strings.Lines(l.String()) {
		if strings.Contains(line, text) {
			count++
		}
	}
	return count
}

func newLog(level slog.Level) (*log, *slog.Logger) {
	l := &log{}
	return l, slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: level}))
}

func save(t *testing.T, s store.Store, key, value string) store.Record {
	t.Helper()
	saved, err := s.Save(t.Context(), store.Record{Key: key, Value: []byte(value)})
	require.NoError(t, err)
	return saved
}

func lock(t *testing.T, s store.Store, name string) store.Lock {
	t.Helper()
	lock, err := s.Lock(t.Context(), name)
	require.NoError(t, err)
	return lock
}

// closed waits for a channel to be closed or to give something.
func closed[T any](t *testing.T, channel <-chan T, what string) (got T) {
	t.Helper()
	select {
	case got = <-channel:
	case <-time.After(patience):
		require.Fail(t, what)
	}
	return got
}

// holding is the id of the session that holds the lock "a".
func holding(t *testing.T, client *api.Client, prefix string) string {
	t.Helper()
	pair, _, err := client.KV().Get(prefix+"locks/a", nil)
	require.NoError(t, err)
	require.NotNil(t, pair)
	return pair.Session
}

// sessions are those that name the lock of a name.
func sessions(t *testing.T, client *api.Client, prefix, name string) []*api.SessionEntry {
	t.Helper()
	all, _, err := client.Session().List(nil)
	require.NoError(t, err)
	var some []*api.SessionEntry
	for _, session := range all {
		if session.Name == prefix+"locks/"+name {
			some = append(some, session)
		}
	}
	return some
}

// A meddler passes requests on to Consul, but for those that do otherwise.
type meddler struct {
	inner http.RoundTripper
	mu    sync.Mutex
	do    func(*http.Request, http.RoundTripper) (*http.Response, error)
}

// meddle sets what is done instead; nil: nothing.
func (m *meddler) meddle(do func(*http.Request, http.RoundTripper) (*http.Response, error)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.do = do
}

func (m *meddler) RoundTrip(r *http.Request) (*http.Response, error) {
	m.mu.Lock()
	do := m.do
	m.mu.Unlock()
	if do == nil {
		return m.inner.RoundTrip(r)
	}
	return do(r, m.inner)
}

// meddled gives a client whose requests can be meddled with.
func meddled(t *testing.T, agent *consultest.Agent) (*api.Client, *meddler) {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	m := &meddler{inner: transport}
	config := api.DefaultConfig()
	config.Address, config.Token, config.HttpClient = agent.HTTP, agent.Token, &http.Client{Transport: m}
	client, err := api.NewClient(config)
	require.NoError(t, err)
	return client, m
}

// loseAnswer has the next request with a path be done and its answer be lost, and calls then after that.
func loseAnswer(m *meddler, path string, then func()) {
	var once sync.Once
	m.meddle(func(r *http.Request, inner http.RoundTripper) (*http.Response, error) {
		response, err := inner.RoundTrip(r)
		if err == nil && strings.HasPrefix(r.URL.Path, path) {
			once.Do(func() {
				_ = response.Body.Close()
				response, err = nil, errors.New("the answer was lost")
				then()
			})
		}
		return response, err
	})
}

// follow starts a Follow that ends with the test, and gives what it tells as lines "key=value".
func follow(t *testing.T, s store.Store, prefix string) <-chan string {
	t.Helper()
	told := make(chan string, 1000)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- s.Follow(ctx, prefix, func(records []store.Record) {
			var lines []string
			for _, record := range records {
				lines = append(lines, record.Key+"="+string(record.Value))
			}
			told <- strings.Join(lines, " ")
		})
	}()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, closed(t, ended, "Follow does not end"))
	})
	return told
}

// told waits until just this is told.
func told(t *testing.T, told <-chan string, want string) {
	t.Helper()
	deadline := time.After(patience)
	last := "nothing"
	for {
		select {
		case last = <-told:
			if last == want {
				return
			}
		case <-deadline:
			require.Fail(t, "Follow did not tell it", "want %q, last it told %q", want, last)
		}
	}
}

func eventually(t *testing.T, condition func() bool, what string, arguments ...any) {
	t.Helper()
	require.Eventually(t, condition, patience, 5*time.Millisecond, append([]any{what}, arguments...)...)
}

// hideQueries has every query wait for its context's end, those under way too, such that a holder learns of nothing.
func hideQueries(m *meddler) {
	m.meddle(func(r *http.Request, inner http.RoundTripper) (*http.Response, error) {
		if r.Method == http.MethodGet {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}
		return inner.RoundTrip(r)
	})
}
