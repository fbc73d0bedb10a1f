package route

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestLayers_FindEachByItsSuffixAndNoOther(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 1000} {
		l := newLayers(n)
		for i := range n {
			l.put(layer{suffix: strconv.Itoa(i), groups: make([]group, 1)})
		}
		for i := range n {
			if found := l.numbered(l.find(strconv.Itoa(i))); assert.NotNil(t, found) {
				assert.Equal(t, strconv.Itoa(i), found.suffix)
			}
		}
		for i := range 1000 {
			assert.Zero(t, l.find("none"+strconv.Itoa(i)))
		}
		count := 0
		for range l.every() {
			count++
		}
		assert.Equal(t, n, count)
	}
}

func TestLayers_CompareSuffixesWhereHashesAreEqual(t *testing.T) {
	l := newLayers(1)
	l.put(layer{suffix: "a.com", groups: make([]group, 1)})
	for found := range l.every() {
		found.suffix = "b.com" // as if it had the hash of a.com
	}
	assert.Zero(t, l.find("a.com"))
}
