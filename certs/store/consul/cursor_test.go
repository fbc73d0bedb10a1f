package consul

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestCursor_BeginsAnewWhereTheIndexGoesBackwardsOrTheQueryFailed(t *testing.T) {
	c := newCursor()
	for _, step := range []struct{ reached, want uint64 }{{5, 5}, {5, 5}, {9, 9}, {8, 0}, {8, 8}, {1, 0}} {
		c.reached(step.reached)
		assert.Equal(t, step.want, c.index)
	}
	c.reached(7)
	c.failed(t.Context())
	assert.Zero(t, c.index)
}
