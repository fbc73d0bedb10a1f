// Package maintenance is an example of a stage of one's own: it answers 503 for chosen hosts, with a message, while
// their backends are worked on.
//
// It needs the route stage before it, whose rule's host it compares, and sets nothing. 503 and Retry-After are as RFC
// 9110 has them, sections 15.6.4 and 10.2.3.
package maintenance

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/tricot-proxy/tricot/pipeline"
)

const (
	// Name is what settings and logs call the stage.
	Name = "maintenance"
	// Needs is the stage that must come before it.
	Needs = "route"
)

// Options are the settings of the stage, below middleware.maintenance.
type Options struct {
	Hosts      []string      `usage:"hosts, as their tags name them, that answer 503 for now"`
	Message    string        `usage:"what their visitors read"`
	RetryAfter time.Duration `usage:"when visitors are told to come back; 0: they are not told"`
}

// Defaults are the options that a user who sets none has: no host is down.
func Defaults() Options {
	return Options{Message: "Down for maintenance. Please come back later."}
}

// Stage builds the stage of these options. A negative RetryAfter is an error.
func (o *Options) Stage() (func(http.Handler) http.Handler, error) {
	if o.RetryAfter < 0 {
		return nil, fmt.Errorf("retry_after: expected a duration of 0 or more, not %v", o.RetryAfter)
	}
	options := *o
	return func(next http.Handler) http.Handler { return &stage{options, next} }, nil
}

type stage struct {
	Options
	next http.Handler
}

func (s *stage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	state, w, r := pipeline.Enter(w, r)
	if state.Route == nil || !slices.Contains(s.Hosts, state.Route.Host) {
		s.next.ServeHTTP(w, r)
		return
	}
	if s.RetryAfter > 0 {
		seconds := int((s.RetryAfter + time.Second - 1) / time.Second)
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
	}
	http.Error(w, s.Message, http.StatusServiceUnavailable)
}
