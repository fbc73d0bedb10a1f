package pipeline

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
)

// unasked is a context that must not be asked for its error.
type unasked struct {
	context.Context
	t *testing.T
}

func (u unasked) Err() error {
	u.t.Error("the context was asked")
	return nil
}

func TestOutcome_IsWhatTheClientGot(t *testing.T) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	left := &Failure{Status: StatusClientLeft}
	for _, c := range []struct {
		name    string
		state   State
		ctx     context.Context
		aborted bool
		want    int
	}{
		{"a status, and the context is left alone", State{Status: 204}, unasked{t.Context(), t}, false, 204},
		{"a status of what was cut short", State{Status: 200, Failure: left}, unasked{t.Context(), t}, true, 200},
		{"nothing written", State{}, t.Context(), false, 200},
		{"aborted before the head", State{}, t.Context(), true, 0},
		{"the client is gone", State{}, gone, true, StatusClientLeft},
		{"the client was gone when a backend was asked", State{Failure: left}, t.Context(), true, StatusClientLeft},
		{"another failure", State{Failure: &Failure{Status: 502}}, t.Context(), true, 0},
	} {
		assert.Equal(t, c.want, c.state.Outcome(c.ctx, c.aborted), c.name)
	}
}
