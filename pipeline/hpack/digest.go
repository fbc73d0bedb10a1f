package hpack

import "math/bits"

// Odd numbers without a pattern.
const (
	factor0 = 0x9e3779b97f4a7c15
	factor1 = 0xc2b2ae3d27d4eb4f
	factor2 = 0x165667b19e3779f9
)

// lowering makes a letter in s, and some other characters, what its lower-case form is.
const lowering = 0x2020202020202020

// digest returns a number for s that other strings seldom have. It looks at both ends and the middle: whoever finds
// something by the number compares the strings anyway. All bits of fold are taken as set in s.
func digest(s string, fold uint64) uint64 {
	n := len(s)
	switch {
	case n >= 8:
		ends := mixed(load64(s, 0)|fold, load64(s, n-8)|fold)
		return mixed(ends^uint64(n), load64(s, n/2-4)|fold)
	case n >= 4:
		return mixed(load32(s, 0)<<32|load32(s, n-4)|fold, uint64(n))
	case n > 0:
		return mixed(uint64(s[0])<<16|uint64(s[n/2])<<8|uint64(s[n-1])|fold, uint64(n))
	}
	return factor2
}

// mixed returns a number of which every bit depends on all of a and b.
func mixed(a, b uint64) uint64 {
	high, low := bits.Mul64(a^factor0, b^factor1)
	return high ^ low
}

func load64(s string, at int) uint64 {
	_ = s[at+7]
	return uint64(s[at]) | uint64(s[at+1])<<8 | uint64(s[at+2])<<16 | uint64(s[at+3])<<24 |
		uint64(s[at+4])<<32 | uint64(s[at+5])<<40 | uint64(s[at+6])<<48 | uint64(s[at+7])<<56
}

func load32(s string, at int) uint64 {
	_ = s[at+3]
	return uint64(s[at]) | uint64(s[at+1])<<8 | uint64(s[at+2])<<16 | uint64(s[at+3])<<24
}
