package admin_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/cmd/admin"
)

// tricot is a Source that says what a test has it say.
type tricot struct {
	mu       sync.Mutex
	unready  string
	revision uint64
	routes   []admin.Route
	traffic  []admin.Traffic
}

func (s *tricot) change(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
	s.revision++
}

func (s *tricot) Unready() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unready
}

func (s *tricot) Revision() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.revision
}

func (s *tricot) Routes() []admin.Route {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.routes
}

func (s *tricot) Traffic() []admin.Traffic {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.traffic
}

func (s *tricot) Status() admin.Status { return admin.Status{Version: "v1", Node: "n1"} }

func (s *tricot) Services() []admin.Service {
	return []admin.Service{{Service: "web", ID: "1", Tags: []string{"tricot a.example"}}}
}

func (s *tricot) Certificates() []admin.Certificate {
	return []admin.Certificate{{Name: "a.example", State: admin.Valid}, {Name: "b.example", State: admin.Missing, Problem: "rate limited"}}
}

func (s *tricot) Problems() []admin.Problem {
	return []admin.Problem{{Kind: "tag", Subject: "web", Reason: "<script>"}}
}

func (s *tricot) Settings() []admin.Setting {
	return []admin.Setting{{Key: "consul.token", Value: "***", Source: "flag --consul-token"}}
}

func (s *tricot) Explain(url string) (any, error) {
	if url == "nonsense" {
		return nil, errors.New(`"nonsense" is not a URL`)
	}
	return map[string]string{"outcome": "proxied", "url": url}, nil
}

func serve(t *testing.T, source *tricot, token string) *httptest.Server {
	server := httptest.NewServer(admin.New(admin.Options{Source: source, Token: token, Log: slog.New(slog.DiscardHandler)}))
	t.Cleanup(server.Close)
	return server
}

func get(t *testing.T, url string, change ...func(*http.Request)) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	for _, change := range change {
		change(r)
	}
	answer, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer, string(body)
}

func TestReadyz_GivesTheReasonUntilRequestsCanBeServed(t *testing.T) {
	source := &tricot{unready: "no table is in force yet"}
	server := serve(t, source, "")
	answer, body := get(t, server.URL+"/readyz")
	assert.Equal(t, 503, answer.StatusCode)
	assert.Equal(t, "503 not ready: no table is in force yet\n", body)
	answer, _ = get(t, server.URL+"/healthz")
	assert.Equal(t, 200, answer.StatusCode)
	source.change(func() { source.unready = "" })
	answer, _ = get(t, server.URL+"/readyz")
	assert.Equal(t, 200, answer.StatusCode)
}

func TestAPI_GivesWhatTheSourceHas(t *testing.T) {
	server := serve(t, &tricot{}, "")
	for path, want := range map[string]string{
		"/api/status":            `{"version":"v1","node":"n1","started":"0001-01-01T00:00:00Z","providers":null,"hosts":0,"rules":0}`,
		"/api/services":          `{"total":1,"matched":1,"offset":0,"services":[{"service":"web","id":"1","address":"","port":0,"healthy":false,"tags":["tricot a.example"]}]}`,
		"/api/problems":          `{"total":1,"matched":1,"offset":0,"problems":[{"kind":"tag","subject":"web","reason":"<script>"}]}`,
		"/api/settings":          `{"total":1,"matched":1,"offset":0,"settings":[{"key":"consul.token","value":"***","source":"flag --consul-token"}]}`,
		"/api/explain?url=a%2Fb": `{"outcome":"proxied","url":"a/b"}`,
		"/api/certificates?search=RATE": `{"total":2,"matched":1,"offset":0,"certificates":` +
			`[{"name":"b.example","state":"missing","problem":"rate limited"}]}`,
	} {
		answer, body := get(t, server.URL+path)
		assert.Equal(t, 200, answer.StatusCode, path)
		assert.Equal(t, "application/json", answer.Header.Get("Content-Type"))
		assert.JSONEq(t, want, body, path)
	}
}

func TestAPI_CutsTenThousandRoutesIntoParts(t *testing.T) {
	source := &tricot{}
	for i := range 10_000 {
		source.routes = append(source.routes, admin.Route{Host: fmt.Sprintf("h%04d.example", i), Path: "/p",
			Backends: []admin.Backend{{Service: fmt.Sprintf("s%d", i%10), URL: "http://127.0.0.1:1", State: admin.Serving}}})
	}
	server := serve(t, source, "")
	for _, c := range []struct {
		query          string
		matched, count int
		first          string
	}{
		{"", 10_000, 100, "h0000.example"},
		{"?offset=9950", 10_000, 50, "h9950.example"},
		{"?offset=10000", 10_000, 0, ""},
		{"?limit=10000", 10_000, 10_000, "h0000.example"},
		{"?limit=0", 10_000, 0, ""},
		{"?search=H12", 100, 100, "h1200.example"},
		{"?search=h12&offset=99&limit=5", 100, 1, "h1299.example"},
		{"?search=.example/p", 10_000, 100, "h0000.example"},
		{"?search=s7", 1000, 100, "h0007.example"},
		{"?search=nothing", 0, 0, ""},
	} {
		_, body := get(t, server.URL+"/api/routes"+c.query)
		var part struct {
			Total, Matched int
			Routes         []admin.Route
		}
		require.NoError(t, json.Unmarshal([]byte(body), &part))
		assert.Equal(t, 10_000, part.Total)
		assert.Equal(t, c.matched, part.Matched, c.query)
		if assert.Len(t, part.Routes, c.count, c.query) && c.count > 0 {
			assert.Equal(t, c.first, part.Routes[0].Host, c.query)
		}
	}
}

func TestAPI_GivesRulesOneByOneAndEachBackendOnce(t *testing.T) {
	one := admin.Backend{Service: "web", ID: "1", URL: "http://10.0.0.1:80", State: admin.Standby}
	serving := one
	serving.State = admin.Serving
	two := admin.Backend{Service: "api", ID: "2", URL: "http://10.0.0.2:80", State: admin.Ejected}
	server := serve(t, &tricot{routes: []admin.Route{
		{Host: "a.example", Path: "/x", Priority: 100, Backends: []admin.Backend{one, two}},
		{Host: "b.example", Priority: 50, Backends: []admin.Backend{serving}},
	}}, "")
	_, body := get(t, server.URL+"/api/rules?search=web")
	assert.JSONEq(t, `{"total":3,"matched":2,"offset":0,"rules":[
		{"host":"a.example","path":"/x","priority":100,"backend":{"service":"web","id":"1","url":"http://10.0.0.1:80","balance":"","state":"standby"}},
		{"host":"b.example","path":"","priority":50,"backend":{"service":"web","id":"1","url":"http://10.0.0.1:80","balance":"","state":"serving"}}]}`, body)
	_, body = get(t, server.URL+"/api/backends")
	assert.JSONEq(t, `{"total":2,"matched":2,"offset":0,"backends":[
		{"service":"api","id":"2","url":"http://10.0.0.2:80","balance":"","state":"ejected"},
		{"service":"web","id":"1","url":"http://10.0.0.1:80","balance":"","state":"serving"}]}`, body)
}

func TestAPI_RefusesWhatMakesNoSense(t *testing.T) {
	server := serve(t, &tricot{}, "")
	for path, want := range map[string]string{
		"/api/routes?offset=-1":     `{"error":"offset: \"-1\" is not a number from 0 to 2147483648"}`,
		"/api/routes?limit=x":       `{"error":"limit: \"x\" is not a number from 0 to 10000"}`,
		"/api/routes?limit=10001":   `{"error":"limit: \"10001\" is not a number from 0 to 10000"}`,
		"/api/explain":              `{"error":"url is missing: /api/explain?url=https://app.example.com/path"}`,
		"/api/explain?url=nonsense": `{"error":"\"nonsense\" is not a URL"}`,
	} {
		answer, body := get(t, server.URL+path)
		assert.Equal(t, 400, answer.StatusCode, path)
		assert.JSONEq(t, want, body, path)
	}
	unready := serve(t, &tricot{unready: "no table is in force yet"}, "")
	answer, body := get(t, unready.URL+"/api/explain?url=a")
	assert.Equal(t, 503, answer.StatusCode)
	assert.JSONEq(t, `{"error":"not ready: no table is in force yet"}`, body)
	answer, _ = get(t, server.URL+"/api/none")
	assert.Equal(t, 404, answer.StatusCode)
	answer, err := http.Post(server.URL+"/api/routes", "text/plain", nil)
	require.NoError(t, err)
	answer.Body.Close()
	assert.Equal(t, 405, answer.StatusCode)
}

func TestToken_IsAskedForByAllButTheHealthChecks(t *testing.T) {
	server := serve(t, &tricot{}, "correct horse")
	with := func(field string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", field) }
	}
	for _, path := range []string{"/", "/app.js", "/api/status", "/api/settings", "/api/events", "/debug/pprof/", "/debug/pprof/cmdline"} {
		answer, body := get(t, server.URL+path)
		assert.Equal(t, 401, answer.StatusCode, path)
		assert.NotContains(t, body, "correct horse")
		assert.Contains(t, answer.Header.Get("WWW-Authenticate"), "Basic ")
		for _, wrong := range []string{"Bearer wrong", "Bearer ", "Bearer", "Basic eDp4", "correct horse"} {
			answer, _ = get(t, server.URL+path, with(wrong))
			assert.Equal(t, 401, answer.StatusCode, "%s %s", path, wrong)
		}
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		answer, _ := get(t, server.URL+path)
		assert.Equal(t, 200, answer.StatusCode, path)
	}
	answer, _ := get(t, server.URL+"/api/status", with("Bearer correct horse"))
	assert.Equal(t, 200, answer.StatusCode)
	answer, _ = get(t, server.URL+"/", func(r *http.Request) { r.SetBasicAuth("anybody", "correct horse") })
	assert.Equal(t, 200, answer.StatusCode)
}

func TestSite_IsForNoForeignPage(t *testing.T) {
	server := serve(t, &tricot{}, "")
	as := func(host string) func(*http.Request) { return func(r *http.Request) { r.Host = host } }
	for host, want := range map[string]int{
		"127.0.0.1:9335": 200, "[::1]:9335": 200, "localhost": 200, "LOCALHOST.:9335": 200, "a.localhost:1": 200, "10.0.0.1": 200, "[::1]": 200,
		"evil.example": 421, "evil.example:9335": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example": 421, "notlocalhost": 421,
	} {
		answer, _ := get(t, server.URL+"/api/routes", as(host))
		assert.Equal(t, want, answer.StatusCode, host)
	}
	guarded := serve(t, &tricot{}, "secret")
	answer, _ := get(t, guarded.URL+"/api/routes", as("tricot.internal"), func(r *http.Request) { r.Header.Set("Authorization", "Bearer secret") })
	assert.Equal(t, 200, answer.StatusCode, "whoever has the token may use a name")

	answer, _ = get(t, server.URL+"/")
	assert.Contains(t, answer.Header.Get("Content-Security-Policy"), "default-src 'self'")
	assert.Contains(t, answer.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'")
	assert.Empty(t, answer.Header.Get("Access-Control-Allow-Origin"))
}

func TestPage_LoadsNothingFromElsewhere(t *testing.T) {
	server := serve(t, &tricot{}, "")
	for _, path := range []string{"/", "/app.js", "/dom.js", "/list.js", "/explain.js", "/style.css", "/icon.svg"} {
		answer, body := get(t, server.URL+path)
		require.Equal(t, 200, answer.StatusCode, path)
		for _, elsewhere := range []string{"src=\"http", "src=\"//", "href=\"http", "href=\"//", "url(", "@import", "from \"http"} {
			assert.NotContains(t, body, elsewhere, path)
		}
	}
}

func TestEvents_TellOfChangesAndOfRates(t *testing.T) {
	source := &tricot{traffic: []admin.Traffic{
		{Host: "a.example", Requests: 100, Latency: []uint64{100, 0}, LatencyBounds: []float64{0.01}},
		{Host: "b.example", Requests: 5, Latency: []uint64{5, 0}, LatencyBounds: []float64{0.01}},
	}}
	server := serve(t, source, "")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/api/events?hosts=a.example", nil)
	require.NoError(t, err)
	answer, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer answer.Body.Close()
	assert.Equal(t, "text/event-stream", answer.Header.Get("Content-Type"))
	lines := bufio.NewScanner(answer.Body)
	next := func(event string) string {
		for lines.Scan() {
			if lines.Text() == "event: "+event {
				require.True(t, lines.Scan())
				return strings.TrimPrefix(lines.Text(), "data: ")
			}
		}
		require.NoError(t, lines.Err())
		return ""
	}
	assert.JSONEq(t, `{"revision":0}`, next("changed"), "who has just come knows nothing")
	assert.JSONEq(t, `[{"host":"a.example","requests_per_second":0,"error_share":0,"p50_seconds":0,"p99_seconds":0}]`, next("traffic"))
	source.change(func() {
		source.traffic = []admin.Traffic{{Host: "a.example", Requests: 150, Errors: 10, Latency: []uint64{140, 10}, LatencyBounds: []float64{0.01}}}
	})
	assert.JSONEq(t, `{"revision":1}`, next("changed"))
	var rates []admin.Rate
	require.NoError(t, json.Unmarshal([]byte(next("traffic")), &rates))
	require.Len(t, rates, 1)
	assert.Positive(t, rates[0].Requests)
	assert.LessOrEqual(t, rates[0].Requests, 50.0)
	assert.InDelta(t, 0.2, rates[0].Errors, 1e-9)
	assert.Equal(t, 0.01, rates[0].Median)
	assert.Zero(t, rates[0].P99, "it is above all bounds")
}
