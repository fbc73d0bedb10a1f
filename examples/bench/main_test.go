//go:build linux

package main

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBench_GivesATableWithACostForEachScenario(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "tricot")
	built, err := exec.Command("go", "build", "-o", binary, "../../cmd/tricot").CombinedOutput()
	require.NoError(t, err, string(built))
	var out strings.Builder
	b := bench{tricot: binary, period: 400 * time.Millisecond, rounds: 1, only: []string{"tricot"}, out: &out}
	require.NoError(t, b.run(t.Context()), out.String())
	assert.Regexp(t, regexp.MustCompile(`(?m)^\| Tricot \|( \d+\.\d \|){6}$`), out.String())
}

func TestBench_RefusesAScenarioThatIsNone(t *testing.T) {
	b := bench{wanted: []string{"h1", "h3"}}
	assert.EqualError(t, b.run(t.Context()), `there is no scenario "h3"`)
}

func TestResults_GiveTheMedianAndItsRatio(t *testing.T) {
	all := make(results)
	for _, cost := range []time.Duration{10, 30, 20} {
		all.add("h1", "haproxy", cost*time.Microsecond)
		all.add("h1", "tricot", 2*cost*time.Microsecond)
	}
	var out strings.Builder
	all.print(&out, scenarios()[:1], []*proxy{{peer: peer{name: "haproxy", version: "HAProxy"}}, {peer: peer{name: "tricot", version: "Tricot"}}})
	assert.Contains(t, out.String(), "| HAProxy | 20.0 (1.00) |\n| Tricot | 40.0 (2.00) |\n")
}
