package pipeline

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestHasToken_LooksForAWholeElementInAnyCase(t *testing.T) {
	for _, c := range []struct {
		values []string
		want   bool
	}{
		{nil, false},
		{[]string{""}, false},
		{[]string{"upgrade"}, true},
		{[]string{"UPGRADE"}, true},
		{[]string{"keep-alive, \tUpgrade ,"}, true},
		{[]string{"keep-alive", "upgrade"}, true},
		{[]string{"upgrades, no-upgrade, up grade"}, false},
		{[]string{`upgrade=1`}, false},
	} {
		assert.Equal(t, c.want, HasToken(c.values, "Upgrade"), "%q", c.values)
	}
}

func TestHasToken_AllocatesNothing(t *testing.T) {
	values := []string{"keep-alive, x", "Upgrade"}
	assert.Zero(t, testing.AllocsPerRun(100, func() { HasToken(values, "upgrade") }))
}
