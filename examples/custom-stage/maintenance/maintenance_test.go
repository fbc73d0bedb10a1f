package maintenance_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/examples/custom-stage/maintenance"
	"github.com/tricot-proxy/tricot/pipeline"
)

func TestStage_Answers503ForItsHostsAndPassesOthersOn(t *testing.T) {
	options := maintenance.Options{Hosts: []string{"down.example.com"}, Message: "Back at noon.", RetryAfter: 1500 * time.Millisecond}
	wrap, err := options.Stage()
	require.NoError(t, err)
	handler := wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))

	ask := func(route *pipeline.Route) *httptest.ResponseRecorder {
		recorder := httptest.NewRecorder()
		state, w, r := pipeline.Enter(recorder, httptest.NewRequest("GET", "/", nil))
		state.Route = route
		handler.ServeHTTP(w, r)
		return recorder
	}
	require.Equal(t, http.StatusNoContent, ask(nil).Code)
	require.Equal(t, http.StatusNoContent, ask(&pipeline.Route{Host: "up.example.com"}).Code)
	down := ask(&pipeline.Route{Host: "down.example.com"})
	require.Equal(t, http.StatusServiceUnavailable, down.Code)
	require.Equal(t, "2", down.Header().Get("Retry-After"), "whole seconds, rounded up")
	require.Equal(t, "Back at noon.\n", down.Body.String())
}

func TestStage_RefusesANegativeRetryAfter(t *testing.T) {
	_, err := (&maintenance.Options{RetryAfter: -time.Second}).Stage()
	require.EqualError(t, err, "retry_after: expected a duration of 0 or more, not -1s")
}
