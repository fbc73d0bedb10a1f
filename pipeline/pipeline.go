// Package pipeline is the chain that each request flows through: its stages, their order, and what they tell each
// other about one request.
//
// A [Stage] is a named func(http.Handler) http.Handler. It feels what comes after it, through the response that it
// wraps, and knows nothing of what came before, except through the request's [State]. [New] checks the order and builds
// the chain.
//
// The package imports nothing else of Tricot, so that a stage of one's own needs no more than this.
package pipeline

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/justinas/alice"
)

// A Stage is one link of the chain.
type Stage struct {
	// Name is what settings and logs call it: lower case, words joined by "_".
	Name string
	// Needs names the stages that have to be somewhere before this one.
	Needs []string
	// Provides names stages in whose place this one can stand: a stage of one's own that picks the backend provides
	// "balance", and transport works after it with the built-in balance switched off.
	Provides []string
	// Wrap builds the stage's handler around what comes after it. It is called once, at start.
	Wrap func(next http.Handler) http.Handler
}

// Last is the stage that must end the chain where it is part of it: nothing behind it would ever see a request.
const Last = "transport"

// New builds the chain of stages in the order given. A request that no stage answers gets a 404.
//
// Where log is enabled for [LevelTrace], the headers of request and response are logged at each stage.
//
// The error names both stages of each need that the order breaks.
func New(stages []Stage, log *slog.Logger) (http.Handler, error) {
	if err := Check(stages); err != nil {
		return nil, err
	}
	var chain alice.Chain
	for _, stage := range stages {
		if log.Enabled(context.Background(), LevelTrace) {
			chain = chain.Append(trace(stage.Name, log))
		}
		chain = chain.Append(alice.Constructor(stage.Wrap))
	}
	return begin(chain.ThenFunc(unanswered)), nil
}

func unanswered(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "404 page not found: no stage of the pipeline answers this request", http.StatusNotFound)
}

// Check says what is wrong with an order of stages: a name given twice, a need that nothing before it meets, a
// transport that is not the last.
func Check(stages []Stage) error {
	var wrong []string
	provided := func(need string, by []Stage) bool {
		return slices.ContainsFunc(by, func(s Stage) bool { return s.Name == need || slices.Contains(s.Provides, need) })
	}
	for i, stage := range stages {
		if first := slices.IndexFunc(stages, func(s Stage) bool { return s.Name == stage.Name }); first < i {
			wrong = append(wrong, fmt.Sprintf("%s is there twice", stage.Name))
		}
		for _, need := range stage.Needs {
			switch {
			case provided(need, stages[:i]):
			case provided(need, stages[i+1:]):
				wrong = append(wrong, fmt.Sprintf("%s needs %s before it, and comes ahead of it", stage.Name, need))
			default:
				wrong = append(wrong, fmt.Sprintf("%s needs %s before it, and %s is not part of the pipeline", stage.Name, need, need))
			}
		}
		if stage.Name == Last && i != len(stages)-1 {
			wrong = append(wrong, fmt.Sprintf("%s must be the last stage, and %s comes after it", Last, stages[i+1].Name))
		}
	}
	if wrong == nil {
		return nil
	}
	return fmt.Errorf("pipeline order: %s", strings.Join(wrong, "; "))
}
