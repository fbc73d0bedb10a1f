package route

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestLedger_ASuccessorChangesNothingOfTheOneBefore(t *testing.T) {
	var empty ledger[int, string]
	assert.Empty(t, empty.get(1))
	assert.False(t, empty.has(1))

	first := empty.revise()
	for n := range 5000 {
		first.put(n, "first")
	}
	second := first.ledger.revise()
	for n := range 5000 {
		switch n % 3 {
		case 0:
			second.put(n, "second")
		case 1:
			second.remove(n)
		}
	}
	second.put(5000, "new")
	second.remove(6000)

	before, after := first.ledger, second.ledger
	for n := range 5000 {
		assert.Equal(t, "first", before.get(n))
		assert.Equal(t, []string{"second", "", "first"}[n%3], after.get(n))
		assert.Equal(t, n%3 != 1, after.has(n))
	}
	assert.False(t, before.has(5000))
	assert.Equal(t, "new", after.get(5000))
	assert.False(t, empty.has(1))
}
