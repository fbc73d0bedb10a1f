package balance

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
)

// table is a row of groups for one host, in order.
type table struct {
	host, path string
	groups     []*pipeline.Route
}

func (t *table) Next(after *pipeline.Route, host, path string) *pipeline.Route {
	if host != t.host || path != t.path {
		return nil
	}
	for i, group := range t.groups[:len(t.groups)-1] {
		if group == after {
			return t.groups[i+1]
		}
	}
	return nil
}

// routes makes a row of groups of tiers of addresses: tiers are separated by "|", addresses by " ".
func routes(groups ...string) *pipeline.Route {
	t := &table{host: "app.example", path: "/a%2Fb"}
	for _, group := range groups {
		route := &pipeline.Route{Table: t}
		for _, tier := range strings.Split(group, "|") {
			var backends []*pipeline.Backend
			for _, address := range strings.Fields(tier) {
				backends = append(backends, &pipeline.Backend{
					Scheme: pipeline.HTTP, Address: address, Health: new(pipeline.Health),
				})
			}
			if backends != nil {
				route.Tiers = append(route.Tiers, pipeline.Tier{Backends: backends, Turn: new(atomic.Uint64)})
			}
		}
		t.groups = append(t.groups, route)
	}
	return t.groups[0]
}

// try is what stands in for transport: it refuses some addresses and notes what it is asked.
type try struct {
	refuse     []string // addresses
	repeatable bool
	asked      []string // with "!" where it is the last
	tries      int
}

func (x *try) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	state := pipeline.StateOf(r)
	address := state.Backend.Address
	x.tries = state.Tries
	state.Failure = nil
	if state.MayRetry {
		x.asked = append(x.asked, address)
	} else {
		x.asked = append(x.asked, address+"!")
	}
	if !slices.Contains(x.refuse, address) {
		_, _ = w.Write([]byte(address))
		return
	}
	state.Failure = &pipeline.Failure{
		Err: errors.New("refused"), Status: http.StatusBadGateway, Repeatable: x.repeatable, Unsent: true,
	}
	if !state.MayRetry || !x.repeatable {
		http.Error(w, "502", http.StatusBadGateway)
	}
}

func ask(route *pipeline.Route, next http.Handler, log *slog.Logger) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", "http://App.Example:443/a%2Fb?q", nil)
	recorder := httptest.NewRecorder()
	state, w, r := pipeline.Enter(recorder, r)
	state.Route = route
	New(Options{Log: log})(next).ServeHTTP(w, r)
	return recorder
}

func TestBalance_AsksInOrderUntilOneAnswers(t *testing.T) {
	for _, c := range []struct {
		name   string
		groups []string
		refuse string
		asked  string
		status int
	}{
		{"the first answers", []string{"a b"}, "", "a", 200},
		{"the only one answers", []string{"a"}, "", "a!", 200},
		{"the only one refuses", []string{"a"}, "a", "a!", 502},
		{"the rest of the tier", []string{"a b c"}, "a b", "a b c!", 200},
		{"all of the tier refuse", []string{"a b c"}, "a b c", "a b c!", 502},
		{"the next tier", []string{"a b|c d"}, "a b", "a b c", 200},
		{"the tier after", []string{"a|b|c"}, "a b", "a b c!", 200},
		{"the next group", []string{"a", "b c"}, "a", "a b", 200},
		{"the next group's next tier", []string{"a", "b|c"}, "a b", "a b c!", 200},
		{"the group after", []string{"a", "b", "c"}, "a b c", "a b c!", 502},
		{"a group without backends between", []string{"a", "", "c"}, "a", "a c!", 200},
		{"the same address in the tier", []string{"a a a b"}, "a", "a b!", 200},
		{"the same address in the next tier", []string{"a|a b"}, "a", "a b!", 200},
		{"the same address in the next group", []string{"a b", "b a|a c", "b"}, "a b", "a b c!", 200},
		{"nothing but the same address", []string{"a a|a", "a"}, "a", "a!", 502},
		{"more than a few", []string{"a b c d e f g", "g f h"}, "a b c d e f g", "a b c d e f g h!", 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			next := &try{refuse: strings.Fields(c.refuse), repeatable: true}
			recorder := ask(routes(c.groups...), next, nil)
			assert.Equal(t, strings.Fields(c.asked), next.asked)
			assert.Equal(t, c.status, recorder.Code)
			assert.Equal(t, len(next.asked), next.tries)
		})
	}
}

func TestBalance_StaysInTheGroupWhereTheHostIsNone(t *testing.T) {
	r := httptest.NewRequest("GET", "/a%2Fb", nil)
	r.Host = "no host"
	state, w, r := pipeline.Enter(httptest.NewRecorder(), r)
	state.Route = routes("a", "b")
	next := &try{}
	New(Options{})(next).ServeHTTP(w, r)
	assert.Equal(t, []string{"a!"}, next.asked)
}

func TestBalance_TreatsTheSchemeAsPartOfTheAddress(t *testing.T) {
	route := routes("a a")
	route.Tiers[0].Backends[1].Scheme = pipeline.HTTPS
	next := &try{refuse: []string{"a"}, repeatable: true}
	ask(route, next, nil)
	assert.Equal(t, []string{"a", "a!"}, next.asked)
}

func TestBalance_AsksNobodyElseWhereThatIsNotSafe(t *testing.T) {
	next := &try{refuse: []string{"a"}}
	recorder := ask(routes("a b|c", "d"), next, nil)
	assert.Equal(t, []string{"a"}, next.asked)
	assert.Equal(t, http.StatusBadGateway, recorder.Code)
}

func TestBalance_StartsAfterTheOneThatFailed(t *testing.T) {
	route := routes("a b c|d e")
	next := &try{refuse: []string{"b", "c", "a"}, repeatable: true}
	route.Tiers[0].Turn.Store(1)
	route.Tiers[1].Turn.Store(1)
	ask(route, next, nil)
	assert.Equal(t, []string{"b", "c", "a", "e"}, next.asked)
}

func TestBalance_CountsATurnOnlyWhereTheTierIsAsked(t *testing.T) {
	route := routes("a|b c", "d")
	for range 5 {
		ask(route, &try{}, nil)
	}
	assert.EqualValues(t, 5, route.Tiers[0].Turn.Load())
	assert.Zero(t, route.Tiers[1].Turn.Load())
	for range 4 {
		ask(route, &try{refuse: []string{"a"}, repeatable: true}, nil)
	}
	assert.EqualValues(t, 4, route.Tiers[1].Turn.Load())
}

func TestBalance_LogsEachFurtherTry(t *testing.T) {
	var log bytes.Buffer
	debug := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ask(routes("a b c"), &try{refuse: []string{"a", "b"}, repeatable: true}, debug)
	assert.Equal(t, 2, strings.Count(log.String(), "level=DEBUG"))
	for _, part := range []string{"failed=http://a", "next=http://b", "failed=http://b", "next=http://c", "cause=refused"} {
		assert.Contains(t, log.String(), part)
	}
}

func TestBalance_AnswersWhereNobodyCanServe(t *testing.T) {
	for name, route := range map[string]*pipeline.Route{"no route": nil, "no backend": routes(""), "no table": {}} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			next := &try{}
			recorder := ask(route, next, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
			assert.Equal(t, http.StatusServiceUnavailable, recorder.Code)
			assert.Equal(t, "text/plain; charset=utf-8", recorder.Header().Get("Content-Type"))
			assert.Less(t, recorder.Body.Len(), 100)
			assert.Empty(t, next.asked)
			assert.Equal(t, 1, strings.Count(log.String(), "level=DEBUG"))
		})
	}
}

func TestBalance_FindsTheNextGroupsBackendWhereTheRouteHasNone(t *testing.T) {
	next := &try{}
	ask(routes("", "b"), next, nil)
	assert.Equal(t, []string{"b!"}, next.asked)
}

func TestBalance_IsFairToWithinOneRequestUnderConcurrency(t *testing.T) {
	const workers, each = 8, 1003
	for _, n := range []int{1, 2, 3, 7} {
		var addresses []string
		for i := range n {
			addresses = append(addresses, fmt.Sprint(i))
		}
		route := routes(strings.Join(addresses, " "))
		counts := make([]atomic.Int64, n)
		handler := New(Options{})(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			backend := pipeline.StateOf(r).Backend
			counts[slices.Index(route.Tiers[0].Backends, backend)].Add(1)
		}))
		var all sync.WaitGroup
		for range workers {
			all.Go(func() {
				for range each {
					state, w, r := pipeline.Enter(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
					state.Route = route
					handler.ServeHTTP(w, r)
				}
			})
		}
		all.Wait()
		least, most := counts[0].Load(), counts[0].Load()
		for i := range counts {
			least, most = min(least, counts[i].Load()), max(most, counts[i].Load())
		}
		assert.LessOrEqual(t, most-least, int64(1))
	}
}

func TestBalance_AllocatesNothingWhereTheFirstAnswers(t *testing.T) {
	for name, route := range map[string]*pipeline.Route{
		"several": routes("a b c"), "one": routes("a"), "a further group": routes("a", "b"), "a further tier": routes("a|b"),
		"an ejected one": ejected(routes("a b c"), "b"), "an ejected tier": ejected(routes("a|b c"), "a"),
	} {
		handler := New(Options{})(http.HandlerFunc(answer))
		state, w, r := pipeline.Enter(httptest.NewRecorder(), httptest.NewRequest("GET", "http://app.example/a%2Fb", nil))
		r.RequestURI = "/a%2Fb"
		state.Route = route
		require.Zero(t, testing.AllocsPerRun(1000, func() { handler.ServeHTTP(w, r) }), name)
	}
}

func answer(_ http.ResponseWriter, r *http.Request) { pipeline.StateOf(r).Answered = time.Now() }

// ejected has some addresses of a route ejected for longer than a test lasts, as far as that goes.
func ejected(route *pipeline.Route, addresses ...string) *pipeline.Route {
	for _, group := range route.Table.(*table).groups {
		for _, tier := range group.Tiers {
			for _, backend := range tier.Backends {
				if slices.Contains(addresses, backend.Address) {
					backend.Health.Change(0, pipeline.NewCondition(maxFailures+5, time.Now().Add(longestEjection)))
				}
			}
		}
	}
	return route
}

func BenchmarkBalance(b *testing.B) {
	handler := New(Options{})(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for name, route := range map[string]*pipeline.Route{
		"three backends": routes("a b c"), "one backend": routes("a"), "one of three ejected": ejected(routes("a b c"), "b"),
	} {
		b.Run(name, func(b *testing.B) {
			state, w, r := pipeline.Enter(httptest.NewRecorder(), httptest.NewRequest("GET", "http://app.example/a%2Fb", nil))
			r.RequestURI = "/a%2Fb"
			state.Route = route
			b.ReportAllocs()
			for b.Loop() {
				handler.ServeHTTP(w, r)
			}
		})
		b.Run(name+", in parallel", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				state, w, r := pipeline.Enter(httptest.NewRecorder(), httptest.NewRequest("GET", "http://app.example/a%2Fb", nil))
				r.RequestURI = "/a%2Fb"
				state.Route = route
				for pb.Next() {
					handler.ServeHTTP(w, r)
				}
			})
		})
	}
}
