package hpack

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestInteger_IsWrittenAsAppendixC1HasIt(t *testing.T) {
	assert.Equal(t, []byte{0xea}, appendInteger(nil, 0xe0, 5, 10))
	assert.Equal(t, []byte{0x1f, 0x9a, 0x0a}, appendInteger(nil, 0, 5, 1337))
	assert.Equal(t, []byte{0x2a}, appendInteger(nil, 0, 8, 42))
}

func TestInteger_ComesBackAsItWas(t *testing.T) {
	for prefix := uint(4); prefix <= 7; prefix++ {
		full := uint32(1)<<prefix - 1
		for _, n := range []uint32{
			0, 1, full - 1, full, full + 1, full + 127, full + 128, 4096, 1 << 21, math.MaxUint32 - 1, math.MaxUint32,
		} {
			pattern := byte(0xff) << prefix
			d := NewDecoder(0)
			d.Reset(append(appendInteger([]byte{}, pattern, prefix, n), "rest"...))
			assert.Equal(t, pattern, d.block[0]&pattern)
			got, ok := d.integer(prefix)
			require.True(t, ok)
			assert.Equal(t, n, got)
			assert.Equal(t, "rest", string(d.block[d.at:]))
		}
	}
}

func TestString_IsInTheShorterOfBothForms(t *testing.T) {
	for _, c := range []struct {
		s     string
		first byte
		size  int
	}{
		{"", 0x00, 1},
		{"a", 0x01, 2},
		{"aa", 0x02, 3}, // ten bits are two bytes: no gain
		{"aaa", 0x82, 3},
		{"\x00\x01\x02", 0x03, 4},
		{strings.Repeat("a", 203), 0xff, 2 + 127},
		{strings.Repeat("\x00", 127), 0x7f, 2 + 127},
	} {
		got := appendString(nil, c.s)
		assert.Equal(t, c.first, got[0], "%q", c.s)
		assert.Len(t, got, c.size, "%q", c.s)
		d := NewDecoder(0)
		d.Reset(got)
		s, ok := d.text()
		require.True(t, ok)
		assert.Equal(t, c.s, string(s))
		assert.Equal(t, len(got), d.at)
	}
}
