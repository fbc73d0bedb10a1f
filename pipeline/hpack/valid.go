package hpack

import "encoding/binary"

// A bit for each character of a token (RFC 9110, section 5.6.2) but the upper-case letters: digits, lower-case letters and
// !#$%&'*+-.^_`|~ .
const (
	lowerTokensBelow64 uint64 = 0x3ff6cfa00000000
	lowerTokensFrom64  uint64 = 0x57ffffffc0000000
)

// isLowerToken tells whether name is a token without upper-case letters.
func isLowerToken(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case c < 64 && lowerTokensBelow64>>c&1 != 0:
		case 64 <= c && c < 128 && lowerTokensFrom64>>(c-64)&1 != 0:
		default:
			return false
		}
	}
	return len(name) > 0
}

// isPseudo tells whether name may be a pseudo-field's.
func isPseudo(name string) bool {
	return len(name) > 1 && name[0] == ':' && isLowerToken(name[1:])
}

// isValue tells whether value may be a field's (RFC 9113, section 8.2.1; RFC 9110, section 5.5).
func isValue(value []byte) bool {
	if n := len(value); n > 0 && (isSpace(value[0]) || isSpace(value[n-1])) {
		return false
	}
	for len(value) >= 8 {
		if mayHaveControl(binary.LittleEndian.Uint64(value)) && !isText(value[:8]) {
			return false
		}
		value = value[8:]
	}
	return isText(value)
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// isText tells whether s has no control character but tabs.
func isText(s []byte) bool {
	for _, c := range s {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// mayHaveControl tells whether one of eight characters is below 0x20 or is 0x7f. It errs only on the side of true.
func mayHaveControl(eight uint64) bool {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	below := eight - 0x20*ones
	deleted := eight ^ 0x7f*ones
	deleted -= ones
	return (below|deleted)&^eight&high != 0
}

// canonicalName returns a name that isLowerToken takes, and behind it in the same memory the form that http.Header has:
// the first letter and each one behind a hyphen in upper case.
func canonicalName(name string) (lower, canonical string) {
	var room [64]byte
	both := append(append(room[:0], name...), name...)
	upper := true
	for i, c := range both[len(name):] {
		if upper && 'a' <= c && c <= 'z' {
			both[len(name)+i] = c - 0x20
		}
		upper = c == '-'
	}
	s := string(both)
	return s[:len(name)], s[len(name):]
}
