package metrics

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
)

const patience = 30 * time.Second

// proxying stands in the place of route, balance and transport, and sets in the state what they do: the host app.example.com
// has a route to the backend, other ones have none and get a 404.
func proxying(backend *httptest.Server) pipeline.Stage {
	route := &pipeline.Route{Host: "app.example.com"}
	return pipeline.Stage{Name: "proxying", Wrap: func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			state := pipeline.StateOf(r)
			if r.Host != route.Host {
				http.NotFound(w, r)
				return
			}
			state.Route, state.Tries = route, 1
			if r.URL.Path == "/second" {
				state.Tries = 3
			}
			out, err := http.NewRequestWithContext(r.Context(), r.Method, backend.URL+r.URL.Path, r.Body)
			if err != nil {
				panic(err)
			}
			out.ContentLength = r.ContentLength
			state.Sent = time.Now()
			response, err := backend.Client().Do(out)
			if err != nil {
				state.Failure = &pipeline.Failure{Err: err, Status: http.StatusBadGateway}
				http.Error(w, "502", http.StatusBadGateway)
				return
			}
			defer response.Body.Close()
			state.Answered = time.Now()
			w.WriteHeader(response.StatusCode)
			_ = http.NewResponseController(w).Flush() // so that a client sees the head of what is cut short
			if _, err := io.Copy(w, response.Body); err != nil {
				panic(http.ErrAbortHandler)
			}
		})
	}}
}

// serve starts a server with the stage and others behind it.
func serve(t testing.TB, counts *Requests, stages ...pipeline.Stage) *httptest.Server {
	t.Helper()
	chain, err := pipeline.New(append([]pipeline.Stage{{Name: Name, Wrap: counts.Stage}}, stages...), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	server := httptest.NewServer(chain)
	t.Cleanup(server.Close)
	return server
}

// answering is a stage that is a handler.
func answering(handler http.HandlerFunc) pipeline.Stage {
	return pipeline.Stage{Name: "answering", Wrap: func(http.Handler) http.Handler { return handler }}
}

func ask(t testing.TB, server *httptest.Server, method, host, path string, body io.Reader) {
	t.Helper()
	request, err := http.NewRequest(method, server.URL+path, body)
	require.NoError(t, err)
	request.Host = host
	response, err := server.Client().Do(request)
	require.NoError(t, err)
	_, _ = io.Copy(io.Discard, response.Body)
	require.NoError(t, response.Body.Close())
}

// values gives what a registry shows, by name and labels; of a histogram its count and sum.
func values(t testing.TB, counts *Requests) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(counts))
	families, err := registry.Gather()
	require.NoError(t, err)
	all := make(map[string]float64)
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			name := family.GetName()
			for _, label := range metric.GetLabel() {
				name += " " + label.GetValue()
			}
			switch family.GetType() {
			case dto.MetricType_COUNTER:
				all[name] = metric.GetCounter().GetValue()
			case dto.MetricType_GAUGE:
				all[name] = metric.GetGauge().GetValue()
			default:
				all[name+" count"] = float64(metric.GetHistogram().GetSampleCount())
				all[name+" sum"] = metric.GetHistogram().GetSampleSum()
			}
		}
	}
	return all
}

// await waits until so many requests have been counted: a client has its answer a little before.
func await(t testing.TB, counts *Requests, requests uint64) map[string]float64 {
	t.Helper()
	require.Eventually(t, func() bool {
		var n uint64
		for _, host := range counts.Hosts() {
			n += host.Requests
		}
		return n >= requests
	}, patience, time.Millisecond)
	return values(t, counts)
}

func TestMetrics_CountAKnownMixOfRequests(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		switch {
		case r.URL.Path == "/missing":
			w.WriteHeader(http.StatusNotFound)
		case r.URL.Path == "/broken":
			w.WriteHeader(http.StatusInternalServerError)
		case r.URL.Path == "/cut":
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case r.Method == http.MethodPost:
			w.WriteHeader(http.StatusCreated)
		default:
			_, _ = io.WriteString(w, "hello")
		}
	}))
	defer backend.Close()
	counts := New()
	server := serve(t, counts, proxying(backend))
	const app = "app.example.com"
	ask(t, server, "GET", app, "/", nil)
	ask(t, server, "GET", app, "/?query", nil)
	ask(t, server, "GET", app, "/second", nil)
	ask(t, server, "HEAD", app, "/", nil)
	ask(t, server, "POST", app, "/", strings.NewReader("0123456789"))
	ask(t, server, "POST", app, "/", io.MultiReader(strings.NewReader("01234567890123456789"))) // chunked
	ask(t, server, "PUT", app, "/broken", nil)
	ask(t, server, "DELETE", app, "/missing", nil)
	ask(t, server, "PATCH", app, "/missing", nil)
	ask(t, server, "OPTIONS", app, "/missing", nil)
	ask(t, server, "BREW", app, "/missing", nil)
	ask(t, server, "PROPFIND", app, "/missing", nil)
	ask(t, server, "GET", app, "/cut", nil)
	ask(t, server, "GET", "unknown.example.com", "/", nil)
	ask(t, server, "BREW", "unknown.example.org", "/", nil)

	got := await(t, counts, 15)
	want := map[string]float64{
		"tricot_requests_total 200 app.example.com GET":                 4,
		"tricot_requests_total 200 app.example.com HEAD":                1,
		"tricot_requests_total 201 app.example.com POST":                2,
		"tricot_requests_total 500 app.example.com PUT":                 1,
		"tricot_requests_total 404 app.example.com DELETE":              1,
		"tricot_requests_total 404 app.example.com PATCH":               1,
		"tricot_requests_total 404 app.example.com OPTIONS":             1,
		"tricot_requests_total 404 app.example.com other":               2,
		"tricot_requests_total 404 (none) GET":                          1,
		"tricot_requests_total 404 (none) other":                        1,
		"tricot_requests_in_flight":                                     0,
		"tricot_upgraded_connections_open":                              0,
		"tricot_upgraded_connections_total app.example.com":             0,
		"tricot_upgraded_connections_total (none)":                      0,
		"tricot_request_content_bytes_total app.example.com":            30,
		"tricot_request_content_bytes_total (none)":                     0,
		"tricot_response_content_bytes_total app.example.com":           3*5 + 4,
		"tricot_response_content_bytes_total (none)":                    2 * float64(len("404 page not found\n")),
		"tricot_request_retries_total app.example.com":                  2,
		"tricot_request_retries_total (none)":                           0,
		"tricot_request_duration_seconds app.example.com count":         13,
		"tricot_request_duration_seconds (none) count":                  2,
		"tricot_request_backend_duration_seconds app.example.com count": 13,
		"tricot_request_backend_duration_seconds (none) count":          0,
		"tricot_request_own_duration_seconds count":                     14, // not that of the one with retries
	}
	for name := range got {
		if strings.HasSuffix(name, " sum") {
			delete(got, name)
		}
	}
	assert.Equal(t, want, got)

	hosts := make(map[string]HostCounts)
	for host, counts := range counts.Hosts() {
		hosts[host] = counts
	}
	assert.Len(t, hosts, 2)
	of := hosts[app]
	assert.Equal(t, [...]uint64{13, 1, 2, 30, 19}, [...]uint64{of.Requests, of.Errors, of.Retries, of.Received, of.Sent})
	assert.Equal(t, uint64(2), hosts[NoRoute].Requests)
	assert.Zero(t, hosts[NoRoute].Errors)
}

func TestMetrics_FollowPrometheusConventions(t *testing.T) {
	counts := New()
	counts.Stage(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	problems, err := testutil.CollectAndLint(counts)
	require.NoError(t, err)
	assert.Empty(t, problems)
}

func TestMetrics_TenThousandHostsMakeNoSeries(t *testing.T) {
	const hosts = 10_000
	counts := New()
	server := serve(t, counts, proxying(nil))
	ask(t, server, "GET", "first.example.com", "/", nil)
	before := len(await(t, counts, 1))

	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	var sending sync.WaitGroup
	sending.Go(func() {
		w := bufio.NewWriter(conn)
		for i := range hosts {
			_, _ = fmt.Fprintf(w, "GET /%d HTTP/1.1\r\nHost: random-%d.example.com\r\n\r\n", i, i)
		}
		assert.NoError(t, w.Flush())
	})
	reader := bufio.NewReader(conn)
	for range hosts {
		response, err := http.ReadResponse(reader, nil)
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, response.Body)
	}
	sending.Wait()
	got := await(t, counts, hosts+1)
	assert.Len(t, got, before)
	assert.Equal(t, float64(hosts+1), got["tricot_requests_total 404 (none) GET"])
}

func TestMetrics_MethodsAndCodesAreBounded(t *testing.T) {
	counts := New()
	handler := counts.Stage(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Sscan(r.URL.Query().Get("status"), &pipeline.StateOf(r).Status)
	}))
	for status := -1; status <= 2000; status++ {
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(fmt.Sprintf("M%d", status), fmt.Sprintf("/?status=%d", status), nil))
	}
	n := 0
	for name, value := range values(t, counts) {
		if !strings.HasPrefix(name, "tricot_requests_total") {
			continue
		}
		n++
		assert.Contains(t, name, " other", "the method")
		switch name {
		case "tricot_requests_total other (none) other":
			assert.Equal(t, 1+99+1401.0, value)
		case "tricot_requests_total 200 (none) other": // what a handler that wrote nothing is worth, too
			assert.Equal(t, 2.0, value)
		default:
			assert.Equal(t, 1.0, value, name)
		}
	}
	assert.Equal(t, 501, n)
}

func TestMetrics_SayWhatBecameOfARequestWithoutAResponse(t *testing.T) {
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		code    string
	}{
		"nothing was written": {func(http.ResponseWriter, *http.Request) {}, "200"},
		"aborted":             {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "other"},
		"aborted in the body": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "half")
			panic(http.ErrAbortHandler)
		}, "200"},
		"the client left": {func(_ http.ResponseWriter, r *http.Request) {
			pipeline.StateOf(r).Failure = &pipeline.Failure{Status: 499, Err: context.Canceled}
			panic(http.ErrAbortHandler)
		}, "499"},
	} {
		t.Run(name, func(t *testing.T) {
			counts := New()
			func() {
				defer func() { _ = recover() }()
				counts.Stage(c.handler).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
			}()
			got := values(t, counts)
			assert.Equal(t, 1.0, got["tricot_requests_total "+c.code+" (none) GET"], got)
			assert.Zero(t, got["tricot_requests_in_flight"])
		})
	}
}

func TestMetrics_CountAClientThatLeftBeforeItsAnswer(t *testing.T) {
	counts := New()
	came := make(chan struct{})
	server := serve(t, counts, answering(func(_ http.ResponseWriter, r *http.Request) {
		close(came)
		<-r.Context().Done()
	}))
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	require.NoError(t, err)
	<-came
	require.NoError(t, conn.Close())
	assert.Equal(t, 1.0, await(t, counts, 1)["tricot_requests_total 499 (none) GET"])
}

func TestMetrics_LetAPanicPass(t *testing.T) {
	handler := New().Stage(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	assert.PanicsWithValue(t, http.ErrAbortHandler, func() {
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	})
}

func TestMetrics_ShowRequestsInFlight(t *testing.T) {
	counts := New()
	came, end := make(chan struct{}), make(chan struct{})
	server := serve(t, counts, answering(func(http.ResponseWriter, *http.Request) {
		came <- struct{}{}
		<-end
	}))
	var clients sync.WaitGroup
	for range 3 {
		clients.Go(func() {
			response, err := server.Client().Get(server.URL)
			if assert.NoError(t, err) {
				assert.NoError(t, response.Body.Close())
			}
		})
	}
	for range 3 {
		<-came
	}
	got := values(t, counts)
	assert.Equal(t, 3.0, got["tricot_requests_in_flight"])
	assert.NotContains(t, got, "tricot_requests_total 200 (none) GET", "they have not ended")
	close(end)
	clients.Wait()
	assert.Zero(t, await(t, counts, 3)["tricot_requests_in_flight"])
}

func TestMetrics_ShowUpgradedConnections(t *testing.T) {
	for name, switching := range map[string]func(http.ResponseWriter) (net.Conn, error){
		"with a head": func(w http.ResponseWriter) (net.Conn, error) {
			w.WriteHeader(http.StatusSwitchingProtocols)
			conn, _, err := http.NewResponseController(w).Hijack()
			return conn, err
		},
		"by hand": func(w http.ResponseWriter) (net.Conn, error) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, err = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
			}
			return conn, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			counts := New()
			end := make(chan struct{})
			server := serve(t, counts, answering(func(w http.ResponseWriter, r *http.Request) {
				state := pipeline.StateOf(r)
				state.Sent, state.Answered = state.Received, state.Received.Add(time.Millisecond)
				conn, err := switching(w)
				if !assert.NoError(t, err) {
					return
				}
				defer conn.Close()
				<-end
			}))
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			require.NoError(t, err)
			defer conn.Close()
			_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
			require.NoError(t, err)
			_, err = bufio.NewReader(conn).ReadString('\n')
			require.NoError(t, err)
			assert.Equal(t, 1.0, values(t, counts)["tricot_upgraded_connections_open"])
			close(end)
			got := await(t, counts, 1)
			assert.Zero(t, got["tricot_upgraded_connections_open"])
			assert.Equal(t, 1.0, got["tricot_upgraded_connections_total (none)"])
			assert.Equal(t, 1.0, got["tricot_requests_total 101 (none) GET"])
			assert.Equal(t, 0.001, got["tricot_request_duration_seconds (none) sum"], "up to the answer")
		})
	}
}

func TestMetrics_AnUpgradeThatIsRefusedIsNone(t *testing.T) {
	counts := New()
	server := serve(t, counts, answering(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "no")
		w.(http.Flusher).Flush()
	}))
	request, err := http.NewRequest(http.MethodGet, server.URL, nil)
	require.NoError(t, err)
	request.Header.Set("Connection", "upgrade")
	request.Header.Set("Upgrade", "echo")
	response, err := server.Client().Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	got := await(t, counts, 1)
	assert.Zero(t, got["tricot_upgraded_connections_open"])
	assert.Zero(t, got["tricot_upgraded_connections_total (none)"])
}

func TestMetrics_SplitTheTime(t *testing.T) {
	at := time.Unix(1000, 0)
	for name, c := range map[string]struct {
		sent, answered, ended time.Duration // after the request came; 0: never
		tries                 int
		total, backend, own   float64 // seconds
		backends, owns        float64 // how many have it
	}{
		"a backend answered":       {ms(1), ms(31), ms(100), 1, 0.1, 0.03, 0.001, 1, 1},
		"a backend gave no answer": {ms(1), 0, ms(100), 1, 0.1, 0.099, 0.001, 1, 1},
		"the second one answered":  {ms(50), ms(60), ms(100), 2, 0.1, 0.01, 0, 1, 0},
		"no backend was asked":     {0, 0, ms(100), 0, 0.1, 0, 0.1, 0, 1},
		"the clock was set back":   {0, 0, ms(-100), 0, 0, 0, 0, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			counts := New()
			counts.now = func() time.Time { return at.Add(c.ended) }
			counts.Stage(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				state := pipeline.StateOf(r)
				state.Received, state.Tries = at, c.tries
				if c.sent != 0 {
					state.Sent = at.Add(c.sent)
				}
				if c.answered != 0 {
					state.Answered = at.Add(c.answered)
				}
			})).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
			got := values(t, counts)
			for metric, want := range map[string][2]float64{
				"tricot_request_duration_seconds (none)":         {1, c.total},
				"tricot_request_backend_duration_seconds (none)": {c.backends, c.backend},
				"tricot_request_own_duration_seconds":            {c.owns, c.own},
			} {
				assert.Equal(t, want, [2]float64{got[metric+" count"], got[metric+" sum"]}, metric)
			}
		})
	}
}

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

func TestMetrics_CountContentThatIsReadOnlyInPart(t *testing.T) {
	counts := New()
	server := serve(t, counts, answering(func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadFull(r.Body, make([]byte, 5))
		assert.NoError(t, err)
	}))
	ask(t, server, "POST", "a", "/", io.MultiReader(strings.NewReader("0123456789")))
	assert.Equal(t, 5.0, await(t, counts, 1)["tricot_request_content_bytes_total (none)"])
}

func TestMetrics_LeaveARequestThatSaysItsLengthAsItIs(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("0123456789"))
	was := r.Body
	New().Stage(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		assert.True(t, was == r.Body)
	})).ServeHTTP(httptest.NewRecorder(), r)
}

func TestHistogram_PutsEachDurationWhereItBelongs(t *testing.T) {
	var h histogram
	for _, bound := range bounds {
		h.observe(bound - 1)
		h.observe(bound)
		h.observe(bound + 1)
	}
	var buckets [len(bounds)]uint64
	count, seconds := h.read(&buckets)
	for i := range bounds {
		assert.Equal(t, uint64(3*i+2), buckets[i], bounds[i])
	}
	assert.Equal(t, uint64(3*len(bounds)), count)
	var sum time.Duration
	for _, bound := range Bounds() {
		sum += 3 * bound
	}
	assert.InDelta(t, sum.Seconds(), seconds, 1e-9)
}

// routed serves a request that matches a rule of the host.
func routed(counts *Requests, host string) {
	counts.Stage(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		pipeline.StateOf(r).Route = &pipeline.Route{Host: host}
	})).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
}

func listed(counts *Requests) []string {
	var names []string
	for name := range counts.Hosts() {
		names = append(names, name)
	}
	return names
}

func TestMetrics_ForgetAHostThatHasNoRuleForAnHour(t *testing.T) {
	now := time.Unix(1000, 0)
	counts := New()
	counts.now = func() time.Time { return now }
	for _, host := range []string{"stays", "goes", "returns", NoRoute} {
		routed(counts, host)
	}
	all := []string{NoRoute, "goes", "returns", "stays"}
	counts.Retain(func(host string) bool { return host != "goes" && host != "returns" && host != NoRoute })
	now = now.Add(forgetAfter - 1)
	_ = values(t, counts)
	assert.Equal(t, all, listed(counts))
	counts.Retain(func(host string) bool { return host != "goes" && host != NoRoute })
	now = now.Add(1)
	got := values(t, counts)
	assert.Equal(t, []string{NoRoute, "returns", "stays"}, listed(counts), "no further table is needed")
	assert.NotContains(t, got, "tricot_requests_total 200 goes GET")
	assert.Contains(t, got, "tricot_requests_total 200 returns GET")

	routed(counts, "goes")
	assert.Equal(t, 1.0, values(t, counts)["tricot_requests_total 200 goes GET"], "from zero")
}

func TestMetrics_ManyHostsAreCountedAtTheSameTime(t *testing.T) {
	const hosts, clients, rounds = 200, 4, 5
	counts := New()
	var group sync.WaitGroup
	for range clients {
		group.Go(func() {
			for range rounds {
				for i := range hosts {
					routed(counts, fmt.Sprintf("host-%d", i))
				}
				counts.Retain(func(string) bool { return true })
				_ = values(t, counts)
			}
		})
	}
	group.Wait()
	n := 0
	for _, host := range counts.Hosts() {
		assert.Equal(t, uint64(clients*rounds), host.Requests)
		n++
	}
	assert.Equal(t, hosts, n)
	for i := range hosts * hosts { // as often as it takes: the last ones may have come after all were put there
		counts.hosts.of(fmt.Sprintf("host-%d", i%hosts))
	}
	assert.Equal(t, hosts, len(*counts.hosts.known.Load()), "no lock is needed for them any more")
}

func TestMetrics_AHostThatIsNoTextIsNoLabel(t *testing.T) {
	counts := New()
	routed(counts, "a\xff")
	routed(counts, "a\xfe")
	assert.Equal(t, 2.0, values(t, counts)["tricot_requests_total 200 (none) GET"])
}

func TestMetrics_HostsCanBeLeftInTheMiddle(t *testing.T) {
	counts := New()
	routed(counts, "a")
	routed(counts, "b")
	for range counts.Hosts() {
		break
	}
	assert.Equal(t, []string{"a", "b"}, listed(counts))
}

// proxied leaves what the other stages leave of a request that a backend answered.
func proxied() http.HandlerFunc {
	route := &pipeline.Route{Host: "app.example.com"}
	return func(_ http.ResponseWriter, r *http.Request) {
		state := pipeline.StateOf(r)
		state.Route, state.Tries, state.Status, state.Bytes = route, 1, http.StatusOK, 48211
		state.Sent, state.Answered = state.Received.Add(20*time.Microsecond), state.Received.Add(2*time.Millisecond)
	}
}

func TestMetrics_AllocateNothingForARequest(t *testing.T) {
	handler := New().Stage(proxied())
	_, w, r := pipeline.Enter(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	assert.Zero(t, testing.AllocsPerRun(1000, func() { handler.ServeHTTP(w, r) }))
}

func TestMetrics_AllocateNothingForARequestThatFails(t *testing.T) {
	route, failure := &pipeline.Route{Host: "app.example.com"}, &pipeline.Failure{Err: errors.New("refused"), Status: 502}
	handler := New().Stage(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		state := pipeline.StateOf(r)
		state.Route, state.Tries, state.Status, state.Failure = route, 3, http.StatusBadGateway, failure
	}))
	_, w, r := pipeline.Enter(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	assert.Zero(t, testing.AllocsPerRun(1000, func() { handler.ServeHTTP(w, r) }))
}

func BenchmarkMetrics(b *testing.B) {
	for _, hosts := range []int{1, 10_000} {
		b.Run(fmt.Sprintf("hosts=%d", hosts), func(b *testing.B) {
			counts := New()
			for i := range hosts {
				routed(counts, fmt.Sprintf("host-%d.example.com", i))
			}
			handler := counts.Stage(proxied())
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(loop *testing.PB) {
				_, w, r := pipeline.Enter(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
				for loop.Next() {
					handler.ServeHTTP(w, r)
				}
			})
		})
	}
	b.Run("alone", func(b *testing.B) {
		handler := New().Stage(proxied())
		_, w, r := pipeline.Enter(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
		b.ReportAllocs()
		for b.Loop() {
			handler.ServeHTTP(w, r)
		}
	})
}
