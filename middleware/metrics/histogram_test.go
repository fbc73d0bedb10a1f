package metrics

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/tricot-proxy/tricot/pipeline"
)

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
