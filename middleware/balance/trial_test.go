package balance

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
)

// answerTo ejects the backend, and has it give an answer when it is tried.
func answerTo(t *testing.T, give func(w http.ResponseWriter, f *fleet, condition func() pipeline.Condition)) *pipeline.Health {
	f := newFleet(t, Options{}, map[string]string{})
	route := routes("a|b")
	f.eject(route, "a")
	f.clock.advance(firstEjection)
	h := health(route, "a")
	outcome := func(w http.ResponseWriter, r *http.Request) {
		state := pipeline.StateOf(r)
		require.Equal(t, "a", state.Backend.Address)
		state.Failure, state.Answered = nil, f.clock.now()
		give(w, f, h.Condition)
	}
	b := newBalancer(Options{})
	b.now, b.ejector.now = f.clock.now, f.clock.now
	f.stage = b.wrap(http.HandlerFunc(outcome))
	f.send(route, request())
	return h
}

func TestTrial_ABackendIsBackWhenItHasSwitchedProtocols(t *testing.T) {
	answerTo(t, func(w http.ResponseWriter, _ *fleet, condition func() pipeline.Condition) {
		w.WriteHeader(http.StatusEarlyHints)
		assert.True(t, condition().Ejected())
		w.WriteHeader(http.StatusSwitchingProtocols)
		assert.Zero(t, condition())
	})
}

func TestTrial_ABackendIsBackWhenItsAnswerHasLasted(t *testing.T) {
	for name, use := range map[string]func(w http.ResponseWriter){
		"write":      func(w http.ResponseWriter) { _, _ = w.Write([]byte("event")) },
		"flush":      func(w http.ResponseWriter) { w.(http.Flusher).Flush() },
		"controller": func(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() },
	} {
		t.Run(name, func(t *testing.T) {
			answerTo(t, func(w http.ResponseWriter, f *fleet, condition func() pipeline.Condition) {
				w.WriteHeader(http.StatusOK)
				use(w)
				f.clock.advance(trialLength - 1)
				use(w)
				assert.True(t, condition().Ejected())
				f.clock.advance(1)
				use(w)
				assert.Zero(t, condition())
				f.clock.advance(time.Hour)
				use(w)
			})
		})
	}
}

func TestTrial_AnAnswerThatBreaksOffIsAFailureHoweverItBegan(t *testing.T) {
	f := newFleet(t, Options{}, map[string]string{})
	route := routes("a|b")
	f.eject(route, "a")
	f.clock.advance(firstEjection)
	f.set("a", "breaks off")
	f.serve(route)
	assert.Equal(t, maxFailures+1, health(route, "a").Condition().Failures())
}

func TestTrial_AFailureAfterItsEndIsOneLikeAnyOther(t *testing.T) {
	h := answerTo(t, func(w http.ResponseWriter, f *fleet, condition func() pipeline.Condition) {
		f.clock.advance(trialLength)
		_, _ = w.Write([]byte("event"))
		state := w.(*trial).state
		state.Failure = &pipeline.Failure{Err: http.ErrHandlerTimeout, Status: http.StatusBadGateway}
		panic(http.ErrAbortHandler)
	})
	assert.Equal(t, pipeline.NewCondition(1, time.Time{}), h.Condition())
}

func TestTrial_HidesNothingOfTheResponse(t *testing.T) {
	served := make(chan error, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w = &trial{ResponseWriter: w, state: &pipeline.State{}, ejector: newBalancer(Options{}).ejector}
		if err := http.NewResponseController(w).SetReadDeadline(time.Time{}); err != nil {
			served <- err
			return
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_ = conn.Close()
		}
		served <- err
	}))
	defer server.Close()
	_, err := server.Client().Get(server.URL)
	assert.Error(t, err)
	assert.NoError(t, <-served)
}
