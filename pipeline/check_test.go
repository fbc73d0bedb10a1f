package pipeline

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func named(name string, needs ...string) Stage {
	return Stage{Name: name, Needs: needs, Wrap: func(next http.Handler) http.Handler { return next }}
}

func standsFor(stage Stage, names ...string) Stage {
	stage.Provides = names
	return stage
}

func TestCheck_NamesBothStagesOfWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		name   string
		stages []Stage
		want   string // empty: nothing is wrong
	}{
		{"no stages", nil, ""},
		{"a need met", []Stage{named("route"), named("balance", "route"), named("transport", "balance")}, ""},
		{"a need met from afar", []Stage{named("route"), named("x"), named("y"), named("headers", "route")}, ""},
		{
			"a need that comes later", []Stage{named("balance", "route"), named("route")},
			"pipeline order: balance needs route before it, and comes ahead of it",
		},
		{
			"a need that is not there", []Stage{named("balance", "route")},
			"pipeline order: balance needs route before it, and route is not part of the pipeline",
		},
		{
			"a stage that needs itself", []Stage{named("x", "x")},
			"pipeline order: x needs x before it, and x is not part of the pipeline",
		},
		{
			"a name given twice", []Stage{named("headers"), named("x"), named("headers")},
			"pipeline order: headers is there twice",
		},
		{
			"a stage behind transport", []Stage{named("transport"), named("headers"), named("x")},
			"pipeline order: transport must be the last stage, and headers comes after it",
		},
		{
			"several things at once",
			[]Stage{named("transport", "balance"), named("balance", "route"), named("balance", "route")},
			"pipeline order: transport needs balance before it, and comes ahead of it; " +
				"transport must be the last stage, and balance comes after it; " +
				"balance needs route before it, and route is not part of the pipeline; " +
				"balance is there twice; balance needs route before it, and route is not part of the pipeline",
		},
		{
			"a stage in another's place",
			[]Stage{named("route"), standsFor(named("canary", "route"), "balance"), named("transport", "balance")}, "",
		},
		{
			"a stage in another's place, too late",
			[]Stage{named("headers", "route"), standsFor(named("mine"), "route")},
			"pipeline order: headers needs route before it, and comes ahead of it",
		},
		{
			"a stage that stands for what it needs", []Stage{standsFor(named("canary", "balance"), "balance")},
			"pipeline order: canary needs balance before it, and balance is not part of the pipeline",
		},
		{
			"a stage that refines what it stands for",
			[]Stage{named("balance"), standsFor(named("canary", "balance"), "balance"), named("transport", "balance")}, "",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := Check(c.stages)
			if c.want == "" {
				assert.NoError(t, err)
				return
			}
			assert.EqualError(t, err, c.want)
		})
	}
}

func TestNew_RefusesWhatCheckRefuses(t *testing.T) {
	_, err := New([]Stage{named("balance", "route")}, discard())
	assert.EqualError(t, err, Check([]Stage{named("balance", "route")}).Error())
}

func TestNew_RunsTheStagesInTheOrderGiven(t *testing.T) {
	var order []string
	stage := func(name string) Stage {
		return Stage{Name: name, Wrap: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				order = append(order, name)
				next.ServeHTTP(w, r)
				order = append(order, "/"+name)
			})
		}}
	}
	chain, err := New([]Stage{stage("a"), stage("b"), stage("c")}, discard())
	require.NoError(t, err)
	answer := httptest.NewRecorder()
	chain.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/", nil))
	assert.Equal(t, []string{"a", "b", "c", "/c", "/b", "/a"}, order)
	assert.Equal(t, http.StatusNotFound, answer.Code, "no stage answered")
	assert.Contains(t, answer.Body.String(), "no stage of the pipeline answers")
}

func TestNew_MakesTheStateBeforeTheFirstStage(t *testing.T) {
	var state *State
	look := Stage{Name: "look", Wrap: func(http.Handler) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { state = StateOf(r) })
	}}
	chain, err := New([]Stage{look}, discard())
	require.NoError(t, err)
	chain.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	require.NotNil(t, state)
	assert.False(t, state.Received.IsZero())
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
