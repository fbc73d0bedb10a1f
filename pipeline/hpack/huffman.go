package hpack

import (
	"encoding/binary"
	"slices"
)

// longestCode is how many bits the longest codes and EOS have.
const longestCode = 30

// huffmanSize returns how many bytes s takes in Huffman's code.
func huffmanSize(s string) int {
	bits := 0
	for i := range len(s) {
		bits += int(huffmanLengths[s[i]])
	}
	return (bits + 7) / 8
}

// appendHuffman appends s in Huffman's code, where it takes size bytes.
func appendHuffman(to []byte, s string, size int) []byte {
	at, end := len(to), len(to)+size
	to = slices.Grow(to, size+4)[:end+4] // whole words are written, the last one beyond the end
	var bits uint64                      // those not yet written are its lowest
	var have uint
	for i := range len(s) {
		c := s[i]
		length := uint(huffmanLengths[c])
		bits = bits<<(length&63) | uint64(huffmanCodes[c])
		have += length
		if have >= 32 {
			have -= 32
			binary.BigEndian.PutUint32(to[at:], uint32(bits>>(have&63)))
			at += 4
		}
	}
	// What is left of the last byte is the beginning of EOS, which is ones (RFC 7541, section 5.2).
	rest := 32 - have
	binary.BigEndian.PutUint32(to[at:], uint32(bits<<rest|(1<<rest-1)))
	return to[:end]
}

// appendDecoded appends what coded says in Huffman's code, and false if it is not in that code: EOS is in it, or its
// padding is longer than seven bits or has a zero (RFC 7541, section 5.2).
func appendDecoded(to, coded []byte) ([]byte, bool) {
	at := len(to)
	to = slices.Grow(to, len(coded)*8/5+1) // no code is shorter than five bits
	out := to[:cap(to)]
	var bits uint64 // those not yet decoded are its uppermost
	var have uint   // how many those are, always below 64: the masks say so to the compiler
	for {
		if len(coded) >= 8 {
			bits |= binary.BigEndian.Uint64(coded) >> (have & 63)
			coded = coded[(63-have)/8:]
			have |= 56
		} else {
			for ; have < 56 && len(coded) > 0; coded = coded[1:] {
				bits |= uint64(coded[0]) << ((56 - have) & 63)
				have += 8
			}
			if len(coded) == 0 {
				return finishDecoded(out[:at], bits|^uint64(0)>>(have&63), have)
			}
		}
		for have >= longestCode {
			code := shortCodes[bits>>56]
			c, length := byte(code), uint(code>>8)
			if length == 0 {
				if c, length = longCode(uint32(bits >> 32)); length == 0 {
					return nil, false
				}
			}
			out[at] = c
			at++
			bits <<= length & 63
			have -= length
		}
	}
}

// finishDecoded decodes the last bits, with ones behind them.
func finishDecoded(to []byte, bits uint64, have uint) ([]byte, bool) {
	for have > 0 {
		code := shortCodes[bits>>56]
		c, length := byte(code), uint(code>>8)
		if length == 0 {
			c, length = longCode(uint32(bits >> 32))
		}
		if length == 0 || length > have {
			break
		}
		to = append(to, c)
		bits = bits<<(length&63) | (1<<(length&63) - 1)
		have -= length
	}
	if have >= 8 || bits != ^uint64(0) {
		return nil, false
	}
	return to, true
}

// longCode returns the character whose code, longer than eight bits, is the uppermost of bits, and the code's length: 0 for
// EOS.
func longCode(bits uint32) (character byte, length uint) {
	for i := range longCodes {
		if group := &longCodes[i]; bits < group.end {
			place := bits>>(32-group.length) - group.first
			return longCharacters[uint32(group.offset)+place], uint(group.length)
		}
	}
	return 0, 0
}
