package balance

import (
	"bytes"
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
)

func TestEjector_LeavesOutABackendThatKeepsFailing(t *testing.T) {
	for does, out := range map[string]bool{
		"refuses":                        true,
		"cannot be connected to in time": true,
		"is too slow":                    true,
		"closes":                         true,
		"breaks off":                     true,
		"answers":                        false,
		"answers 500":                    false,
		"is left by its client":          false,
		"gets a broken request":          false,
		"is not asked for want of files": false,
		"is not asked":                   false,
		"meets a bug":                    false,
	} {
		t.Run(does, func(t *testing.T) {
			f := newFleet(t, Options{}, map[string]string{"a": does})
			route := routes("a b")
			a := health(route, "a")
			for failures := range maxFailures {
				if out {
					assert.Equal(t, failures, a.Condition().Failures())
				}
				assert.False(t, a.Condition().Ejected())
				asked, _ := f.serve(route)
				assert.Equal(t, "a", asked[0])
				route.Tiers[0].Turn.Store(0)
			}
			asked, _ := f.serve(route)
			if !out {
				assert.Zero(t, a.Condition())
				assert.Equal(t, "a", asked[0])
				return
			}
			assert.Equal(t, []string{"b"}, asked)
			assert.Equal(t, maxFailures, a.Condition().Failures())
			assert.EqualValues(t, 1, a.Ejections.Load())
			assert.WithinDuration(t, f.clock.now().Add(firstEjection), a.Condition().EjectedUntil(), time.Millisecond)
			assert.Zero(t, health(route, "b").Condition())
		})
	}
}

func TestEjector_HoldsNothingAgainstABackendWhenTheRequestsTimeIsUp(t *testing.T) {
	f := newFleet(t, Options{}, map[string]string{"a": "is too slow"})
	route := routes("a")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f.send(route, request().WithContext(ctx))
	assert.Zero(t, health(route, "a").Condition())
}

func TestEjector_CountsFailuresInARow(t *testing.T) {
	f := newFleet(t, Options{}, map[string]string{})
	route := routes("a")
	for range 20 {
		for range maxFailures - 1 {
			f.set("a", "refuses")
			f.serve(route)
		}
		assert.Equal(t, maxFailures-1, health(route, "a").Condition().Failures())
		f.set("a", "gets a broken request")
		f.serve(route)
		assert.Equal(t, maxFailures-1, health(route, "a").Condition().Failures())
		f.set("a", "answers 500")
		f.serve(route)
		assert.Zero(t, health(route, "a").Condition())
	}
	assert.Zero(t, health(route, "a").Ejections.Load())
}

func TestEjector_LeavesABackendOutForLongerEachTime(t *testing.T) {
	f := newFleet(t, Options{}, map[string]string{})
	route := routes("a|b")
	f.eject(route, "a")
	f.set("a", "refuses")
	for i, seconds := range []time.Duration{1, 2, 4, 8, 16, 30, 30, 30} {
		f.clock.advance(seconds*time.Second - 2*time.Millisecond)
		asked, _ := f.serve(route)
		assert.Equal(t, []string{"b"}, asked, "it is out for %d seconds", seconds)
		f.clock.advance(2 * time.Millisecond)
		asked, _ = f.serve(route)
		assert.Equal(t, []string{"a", "b!"}, asked, "it is tried after %d seconds", seconds)
		assert.Equal(t, maxFailures+1+i, health(route, "a").Condition().Failures())
	}
	f.clock.advance(30 * time.Second)
	f.set("a", "answers")
	for range 10 {
		asked, _ := f.serve(route)
		assert.Equal(t, []string{"a"}, asked)
	}
	assert.Zero(t, health(route, "a").Condition())
	assert.EqualValues(t, 1, health(route, "a").Ejections.Load())
	f.eject(route, "a")
	assert.WithinDuration(t, f.clock.now().Add(time.Second), health(route, "a").Condition().EjectedUntil(), time.Millisecond)
	assert.EqualValues(t, 2, health(route, "a").Ejections.Load())
}

func TestPeriod_EndsWhereItIsLongest(t *testing.T) {
	for _, failures := range []int{100, 1 << 16, 1 << 40} {
		assert.Equal(t, longestEjection, period(failures))
	}
	assert.Equal(t, firstEjection, period(0))
}

func TestEjector_AddsUpToHalfAtRandom(t *testing.T) {
	e := newBalancer(Options{}).ejector
	now := time.Now()
	e.now = func() time.Time { return now }
	different := map[time.Time]bool{}
	for range 100 {
		until := e.until(maxFailures + 2)
		assert.GreaterOrEqual(t, until.Sub(now), 4*time.Second)
		assert.Less(t, until.Sub(now), 6*time.Second)
		different[until] = true
	}
	assert.Greater(t, len(different), 1)
	e.random = func(n int64) int64 { return n - 1 }
	longest := pipeline.NewCondition(maxFailures+9, e.until(maxFailures+9))
	assert.True(t, e.leavesOut(longest))
	now = now.Add(-time.Hour)
	assert.False(t, e.leavesOut(longest), "the clock was set back")
}

func TestEjector_HasOneRequestTryABackend(t *testing.T) {
	f := newFleet(t, Options{}, map[string]string{})
	route := routes("a|b")
	f.eject(route, "a")
	f.clock.advance(firstEjection)

	tries, leave := make(chan bool, 1000), make(chan bool)
	f.gate = func(address string) {
		if address == "a" {
			tries <- true
			<-leave
		}
	}
	var trying sync.WaitGroup
	served := make(chan bool, 1000)
	for range 8 {
		trying.Go(func() {
			for range 100 {
				f.send(route, request())
				served <- true
			}
		})
	}
	for range 7 * 100 { // all but the one that tries
		<-served
	}
	assert.Len(t, tries, 1)

	f.clock.advance(firstEjection)
	trying.Go(func() { f.send(route, request()) })
	require.Eventually(t, func() bool { return len(tries) == 2 }, 30*time.Second, time.Millisecond,
		"one that takes for ever is not waited for")
	close(leave)
	trying.Wait()
	assert.Zero(t, health(route, "a").Condition())
	assert.EqualValues(t, 1, health(route, "a").Ejections.Load())
}

func TestEjector_HasOnlyTheFirstOfTwoTryThatMeet(t *testing.T) {
	e := newBalancer(Options{}).ejector
	now := time.Now()
	backend := &pipeline.Backend{Health: new(pipeline.Health)}
	backend.Health.Change(0, pipeline.NewCondition(maxFailures, now.Add(-time.Second)))
	var first pick
	var tries bool
	e.now = func() time.Time {
		e.now = func() time.Time { return now }
		first, tries = e.admit(backend) // while another request is at it
		return now
	}
	_, second := e.admit(backend)
	assert.True(t, tries)
	assert.NotZero(t, first.lease)
	assert.False(t, second)
}

func TestEjector_HasTheNextRequestTryWhereOneFoundNothingOut(t *testing.T) {
	for _, does := range []string{
		"is left by its client", "gets a broken request", "is not asked for want of files", "is not asked", "meets a bug",
	} {
		f := newFleet(t, Options{}, map[string]string{})
		route := routes("a|b")
		f.eject(route, "a")
		f.clock.advance(firstEjection)
		f.set("a", does)
		for range 3 {
			asked, _ := f.serve(route)
			assert.Equal(t, "a", asked[0], does)
			assert.Equal(t, maxFailures, health(route, "a").Condition().Failures(), does)
		}
		f.set("a", "answers")
		asked, _ := f.serve(route)
		assert.Equal(t, []string{"a"}, asked, does)
		assert.Zero(t, health(route, "a").Condition(), does)
	}
}

func TestEjector_TakesNoWordFromRequestsThatWereUnderWayBefore(t *testing.T) {
	f := newFleet(t, Options{}, map[string]string{})
	route := routes("a b")
	a := health(route, "a")
	arrived, leave := make(chan bool), make(chan bool)
	f.gate = func(address string) {
		if address == "a" {
			arrived <- true
			<-leave
		}
	}
	var slow sync.WaitGroup
	for _, does := range []string{"answers", "refuses"} {
		f.set("a", does)
		route.Tiers[0].Turn.Store(0)
		slow.Go(func() { f.send(route, request()) })
		<-arrived
	}
	f.gate = nil
	f.eject(route, "a")
	was := a.Condition()
	close(leave)
	slow.Wait()
	assert.Equal(t, was, a.Condition())
}

func TestEjector_SpreadsTheTurnsOfEjectedBackendsOverTheOthers(t *testing.T) {
	for _, c := range []struct{ all, out string }{
		{"a b", "a"}, {"a b c", "b"}, {"a b c d", "b c"}, {"a b c d e", "a c"}, {"a b c d e f g", "a b c e"}, {"a b c", ""},
	} {
		t.Run(c.all+" without "+c.out, func(t *testing.T) {
			route := ejected(routes(c.all), strings.Fields(c.out)...)
			n, out := len(strings.Fields(c.all)), len(strings.Fields(c.out))
			counts := map[string]*atomic.Int64{}
			for _, address := range strings.Fields(c.all) {
				counts[address] = new(atomic.Int64)
			}
			handler := New(Options{})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				counts[pipeline.StateOf(r).Backend.Address].Add(1)
				answer(w, r)
			}))
			// The turns of a round over all backends, as often as it takes until the ejected ones' are dealt out evenly.
			workers := n - out
			requests := 100 * n
			var all sync.WaitGroup
			for range workers {
				all.Go(func() {
					for range requests {
						state, w, r := pipeline.Enter(nil, request())
						state.Route = route
						handler.ServeHTTP(w, r)
					}
				})
			}
			all.Wait()
			for address, count := range counts {
				if strings.Contains(c.out, address) {
					assert.Zero(t, count.Load(), address)
				} else {
					assert.EqualValues(t, requests, count.Load(), address)
				}
			}
		})
	}
}

func TestEjector_IsFairAtEveryMoment(t *testing.T) {
	route := ejected(routes("a b c d e f g"), "b", "c", "g")
	f := newFleet(t, Options{}, nil)
	counts := map[string]int{"a": 0, "d": 0, "e": 0, "f": 0}
	for range 500 {
		asked, _ := f.serve(route)
		counts[asked[0]]++
		require.Len(t, counts, 4)
		least, most := 1000, 0
		for _, count := range counts {
			least, most = min(least, count), max(most, count)
		}
		require.LessOrEqual(t, most-least, 2, "one for a turn of its own, one for another's: %v", counts)
	}
}

func TestEjector_KeepsToTheOrderOfPreference(t *testing.T) {
	for _, c := range []struct {
		name    string
		groups  []string
		out     string
		refuse  string
		asked   string
		nothing bool
	}{
		{name: "the rest of the tier", groups: []string{"a b|c"}, out: "a", asked: "b"},
		{name: "the next tier", groups: []string{"a b|c", "d"}, out: "a b", asked: "c"},
		{name: "the next group", groups: []string{"a|b", "c"}, out: "a b", asked: "c"},
		{name: "the group after", groups: []string{"a", "b", "c d"}, out: "a b c", asked: "d"},
		{name: "ejected ones where all others refuse", groups: []string{"a b|c", "d"}, out: "a c", refuse: "b d", asked: "b d a"},
		{name: "the last one", groups: []string{"a"}, out: "a", asked: "a!"},
		{name: "the best where all are ejected", groups: []string{"a|b", "c"}, out: "a b c", asked: "a"},
		{name: "one after the other where all are ejected", groups: []string{"a|b", "c"}, out: "a b c", refuse: "a b c", asked: "a b c!"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFleet(t, Options{}, map[string]string{})
			for _, address := range strings.Fields(c.refuse) {
				f.set(address, "refuses")
			}
			asked, _ := f.serve(ejected(routes(c.groups...), strings.Fields(c.out)...))
			assert.Equal(t, strings.Fields(c.asked), asked)
		})
	}
}

func TestEjector_GoesOnAskingWhereAllAreEjected(t *testing.T) {
	f := newFleet(t, Options{}, map[string]string{"a": "refuses", "b": "refuses"})
	route := routes("a b")
	counts := map[string]int{}
	for range 100 {
		asked, recorder := f.serve(route)
		assert.Len(t, asked, 2)
		assert.Equal(t, http.StatusBadGateway, recorder.Code)
		counts[asked[0]]++
	}
	assert.Equal(t, 50, counts["a"], "%v", counts)
	for _, address := range []string{"a", "b"} {
		condition := health(route, address).Condition()
		assert.Equal(t, maxFailures, condition.Failures(), "that nobody else could be asked makes nothing worse")
		assert.WithinDuration(t, f.clock.now().Add(firstEjection), condition.EjectedUntil(), time.Millisecond)
	}
	f.set("b", "answers")
	f.serve(route)
	assert.Zero(t, health(route, "b").Condition(), "it is back at the first answer")
	assert.True(t, health(route, "a").Condition().Ejected())
}

func TestEjector_LogsTheBeginningAndTheEnd(t *testing.T) {
	var log bytes.Buffer
	f := newFleet(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil))}, map[string]string{})
	route := routes("a|b")
	for range 3 {
		log.Reset()
		f.eject(route, "a")
		f.set("a", "refuses")
		for range 20 {
			f.clock.advance(10 * time.Second)
			f.serve(route)
		}
		assert.Equal(t, 1, strings.Count(log.String(), "\n"), log.String())
		for _, part := range []string{"level=WARN", "left out", "backend=http://a", "service=", "failures=5", "refused"} {
			assert.Contains(t, log.String(), part)
		}
		log.Reset()
		f.set("a", "answers")
		f.clock.advance(time.Minute)
		for range 10 {
			f.serve(route)
		}
		assert.Equal(t, 1, strings.Count(log.String(), "\n"), log.String())
		for _, part := range []string{"level=INFO", "works again", "backend=http://a"} {
			assert.Contains(t, log.String(), part)
		}
	}
}

func TestEjector_KeepsNothingOfABackendWithoutHealth(t *testing.T) {
	f := newFleet(t, Options{}, map[string]string{"a": "refuses"})
	route := routes("a b")
	route.Tiers[0].Backends[0].Health = nil
	for range 10 * maxFailures {
		route.Tiers[0].Turn.Store(0)
		asked, _ := f.serve(route)
		assert.Equal(t, []string{"a", "b!"}, asked)
	}
}

// Nothing but the race detector and the sums at the end see what goes wrong here.
func TestEjector_IsRightUnderConcurrency(t *testing.T) {
	var log lines
	f := newFleet(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil))}, map[string]string{})
	route := routes("a b c|d")
	f.eject(route, "a")
	stop := make(chan bool)
	var requests, changes sync.WaitGroup
	for range 8 {
		requests.Go(func() {
			for range 2000 {
				f.send(route, request())
			}
		})
	}
	changes.Go(func() {
		random := rand.New(rand.NewPCG(1, 2))
		what := []string{"refuses", "is too slow", "breaks off", "answers", "answers", "is left by its client"}
		for {
			select {
			case <-stop:
				return
			default:
				f.set(string("abc"[random.IntN(3)]), what[random.IntN(len(what))])
				f.clock.advance(time.Duration(random.IntN(300)) * time.Millisecond)
			}
		}
	})
	requests.Wait()
	close(stop)
	changes.Wait()

	for _, address := range []string{"a", "b", "c"} {
		f.set(address, "answers")
	}
	for range 20 {
		f.clock.advance(time.Minute)
		f.serve(route)
	}
	var ejections uint64
	for _, address := range []string{"a", "b", "c"} {
		assert.Zero(t, health(route, address).Condition())
		ejections += health(route, address).Ejections.Load()
	}
	assert.Positive(t, ejections)
	assert.Equal(t, ejections, log.count("left out"))
	assert.Equal(t, ejections, log.count("works again"))
}
