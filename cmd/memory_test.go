package cmd

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestPace_CostsNoMoreThanItsSpareMemory(t *testing.T) {
	for live, want := range map[uint64]int{
		0: 400, 1 << 20: 400, 16 << 20: 400, 32 << 20: 200, 64 << 20: 100, 1 << 30: 100, 1 << 40: 100,
	} {
		assert.Equal(t, want, pace(live), "%d", live)
	}
}
