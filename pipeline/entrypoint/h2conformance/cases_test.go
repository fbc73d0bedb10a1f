package h2conformance

import (
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
)

// section is a table of cases on one section of an RFC.
type section struct {
	name  string
	cases []example
}

// example is one case: a connection on which prefaces were exchanged, what is done and sent on it, and the only answers
// that are right.
type example struct {
	name   string
	silent bool        // no prefaces
	do     func(*conn) // comes first, may be nil
	send   []frame
	want   expectation
	// calls is how many requests of the connection may reach the handler.
	calls int
}

// runEach runs each case on a connection of its own to one entrypoint, side by side, and counts those that pass.
func runEach(t *testing.T, sections []section) {
	s := serve(t)
	passed := make([]atomic.Int64, len(sections))
	t.Run("cases", func(t *testing.T) {
		for i, section := range sections {
			for _, c := range section.cases {
				t.Run(section.name+"/"+c.name, func(t *testing.T) {
					t.Parallel()
					s.try(t, c)
					passed[i].Add(1)
				})
			}
		}
	})
	all, allPassed := 0, 0
	for i, section := range sections {
		n := int(passed[i].Load())
		t.Logf("%3d of %3d  %s", n, len(section.cases), section.name)
		all, allPassed = all+len(section.cases), allPassed+n
	}
	t.Logf("%3d of %3d", allPassed, all)
}

func (s *server) try(t *testing.T, c example) {
	dial := s.dialSilent
	if !c.silent {
		dial = func(t *testing.T) *conn { return s.dial(t) }
	}
	connection := dial(t)
	if c.do != nil {
		c.do(connection)
	}
	connection.send(c.send...)
	connection.await(c.want)
	assert.LessOrEqual(t, len(s.callsOn(connection)), c.calls, "requests that reached the handler")
}

// The number of cases that h2spec has in each of its suites; one of the second is only in its strict mode.
func TestConformance_HasACaseForEachOfH2specs(t *testing.T) {
	for _, suite := range []struct {
		name  string
		cases int
		ours  []section
	}{
		{"generic", 44, generic()},
		{"http2", 95, append(append(connection(), frames()...), messages()...)},
		{"hpack", 8, compression()},
	} {
		n := 0
		for _, section := range suite.ours {
			n += len(section.cases)
		}
		assert.GreaterOrEqual(t, n, suite.cases, suite.name)
	}
}
