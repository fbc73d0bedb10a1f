package balance

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBalance_RepeatsARequestAsOftenAsItMay(t *testing.T) {
	for _, c := range []struct {
		name    string
		retries *int
		groups  []string
		slow    string
		asked   string
		status  int
	}{
		{"twice by default", nil, []string{"a b c d"}, "a b c", "a b c", 504},
		{"no further than to one that answers", nil, []string{"a b c d"}, "a b", "a b c", 200},
		{"never", new(0), []string{"a b"}, "a", "a", 504},
		{"once", new(1), []string{"a b c"}, "a b", "a b", 504},
		{"in the next tier and the next group", new(3), []string{"a|b", "c d"}, "a b c", "a b c d!", 200},
		{"more often than there are backends", new(9), []string{"a b"}, "a b", "a b!", 504},
		{"a negative number is none", new(-1), []string{"a b"}, "a", "a", 504},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFleet(t, Options{Retries: c.retries}, map[string]string{})
			for _, address := range strings.Fields(c.slow) {
				f.set(address, "is too slow")
			}
			asked, recorder := f.serve(routes(c.groups...))
			assert.Equal(t, strings.Fields(c.asked), asked)
			assert.Equal(t, c.status, recorder.Code)
		})
	}
}

func TestBalance_CountsNoBackendThatGotNothing(t *testing.T) {
	f := newFleet(t, Options{Retries: new(1)}, map[string]string{
		"a": "refuses", "b": "is too slow", "c": "refuses", "d": "cannot be connected to in time", "e": "refuses", "f": "answers",
	})
	asked, recorder := f.serve(routes("a b c d", "e f g"))
	assert.Equal(t, []string{"a", "b", "c", "d", "e", "f"}, asked)
	assert.Equal(t, http.StatusOK, recorder.Code)
}

func TestBalance_AnswersAFailureThatIsNotRepeated(t *testing.T) {
	for does, status := range map[string]int{"is too slow": 504, "closes": 502} {
		var log bytes.Buffer
		f := newFleet(t, Options{Retries: new(0), Log: slog.New(slog.NewTextHandler(&log, nil))}, map[string]string{"a": does})
		_, recorder := f.serve(routes("a b"))
		assert.Equal(t, status, recorder.Code)
		assert.Equal(t, "text/plain; charset=utf-8", recorder.Header().Get("Content-Type"))
		assert.Contains(t, recorder.Body.String(), strings.ToLower(http.StatusText(status)))
		assert.NotContains(t, recorder.Body.String(), "transport")
		assert.Empty(t, recorder.Header().Get("Connection"))
		for _, part := range []string{"level=WARN", "backend=http://a", "cause=", "reason=", "host=app.example", "path=/a%2Fb"} {
			assert.Contains(t, log.String(), part)
		}
	}
}

func TestBalance_ClosesTheConnectionWhereABodyMayBeUnread(t *testing.T) {
	f := newFleet(t, Options{Retries: new(0)}, map[string]string{"a": "is too slow"})
	recorder := f.send(routes("a b"), httptest.NewRequest("PUT", "http://app.example/a%2Fb", strings.NewReader("body")))
	assert.Equal(t, http.StatusGatewayTimeout, recorder.Code)
	assert.Equal(t, "close", recorder.Header().Get("Connection"))
}

// slowFirst sends requests whose first backend is always too slow, and counts those that were repeated.
func slowFirst(f *fleet, requests int) (repeated int) {
	for range requests {
		route := routes("a b") // with a health of its own
		if asked, _ := f.serve(route); len(asked) == 2 {
			repeated++
		}
	}
	return repeated
}

func TestBalance_RepeatsATenthOfRecentRequests(t *testing.T) {
	f := newFleet(t, Options{}, map[string]string{"a": "is too slow"})
	const floor = budgetFloor * budgetWindow
	assert.Equal(t, floor+20, slowFirst(f, 200))
	assert.Equal(t, 10, slowFirst(f, 100))

	f.clock.advance((budgetWindow - 1) * time.Second)
	assert.Equal(t, 10, slowFirst(f, 100), "all of it is recent yet")
	f.clock.advance(time.Second)
	assert.Equal(t, floor+30-10, slowFirst(f, 200), "100 requests are recent besides these 200, and 10 repeats")
	f.clock.advance(time.Hour)
	assert.Equal(t, floor+20, slowFirst(f, 200), "nothing of it is recent any more")
}

func TestBalance_SpendsNothingOnBackendsThatGotNothing(t *testing.T) {
	f := newFleet(t, Options{}, map[string]string{"a": "refuses"})
	for range 1000 {
		asked, recorder := f.serve(routes("a b"))
		require.Equal(t, []string{"a", "b!"}, asked)
		require.Equal(t, http.StatusOK, recorder.Code)
	}
	f.set("a", "is too slow")
	assert.Equal(t, budgetFloor*budgetWindow+200, slowFirst(f, 1000), "a tenth of all 2000")
}

func TestBudget_IsNotOverspentByMany(t *testing.T) {
	start := time.Now()
	for range 300 { // for two to take the last one they have to meet
		b := newBudget(start)
		for range 100 {
			b.earn(start)
		}
		var spent atomic.Int64
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 40 {
					if b.spend(start) {
						spent.Add(1)
					}
				}
			})
		}
		all.Wait()
		require.EqualValues(t, budgetFloor*budgetWindow+100/10, spent.Load())
	}
}

func TestBudget_EarnsWhatManyBring(t *testing.T) {
	start := time.Now()
	b := newBudget(start)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				b.earn(start)
			}
		})
	}
	all.Wait()
	assert.EqualValues(t, 8000, b.earned.sum(0))
}

func TestCounter_CountsAWindow(t *testing.T) {
	var c counter
	for second := range uint32(100) {
		for range second + 1 {
			c.add(second)
		}
		var want uint64
		for s := range second + 1 {
			if second-s < budgetWindow {
				want += uint64(s) + 1
			}
		}
		require.Equal(t, want, c.sum(second))
	}
	c.add(99 - 16)
	assert.EqualValues(t, 955, c.sum(99), "what comes too late does not count as new")
	assert.EqualValues(t, 100, c.sum(108))
	assert.Zero(t, c.sum(109))
	b := newBudget(time.Now())
	b.earn(time.Now().Add(-time.Hour))
	assert.EqualValues(t, 1, b.earned.sum(0), "a request from before the stage was made")
}
