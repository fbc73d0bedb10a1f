package hpack

import "unsafe"

// view returns s as a string that shares its memory: for a look that ends before s changes.
func view(s []byte) string { return unsafe.String(unsafe.SliceData(s), len(s)) }

// appendInteger appends n behind the pattern of a first byte whose lowest bits, as many as prefix says, are n's (RFC 7541,
// section 5.1).
func appendInteger(to []byte, pattern byte, prefix uint, n uint32) []byte {
	full := uint32(1)<<prefix - 1
	if n < full {
		return append(to, pattern|byte(n))
	}
	to = append(to, pattern|byte(full))
	for n -= full; n >= 0x80; n >>= 7 {
		to = append(to, byte(n)|0x80)
	}
	return append(to, byte(n))
}

// appendString appends a string literal, in Huffman's code where that is shorter (RFC 7541, section 5.2).
func appendString(to []byte, s string) []byte {
	if size := huffmanSize(s); size < len(s) {
		return appendHuffman(appendInteger(to, 0x80, 7, uint32(size)), s, size)
	}
	return append(appendInteger(to, 0, 7, uint32(len(s))), s...)
}

// integer reads what appendInteger writes; the block is not at its end.
func (d *Decoder) integer(prefix uint) (uint32, bool) {
	full := byte(1)<<prefix - 1
	n := uint64(d.block[d.at] & full)
	d.at++
	if n < uint64(full) {
		return uint32(n), true
	}
	for shift := 0; shift < 5*7; shift += 7 {
		if d.at == len(d.block) {
			return 0, d.fail(reasonTruncated)
		}
		b := d.block[d.at]
		d.at++
		n += uint64(b&0x7f) << shift
		if b < 0x80 {
			if n >= 1<<32 {
				return 0, d.fail(reasonOverflow)
			}
			return uint32(n), true
		}
	}
	return 0, d.fail(reasonOverflow)
}

// text reads a string literal. What it returns is the block's or the scratch's, and valid until the next call.
func (d *Decoder) text() ([]byte, bool) {
	if d.at == len(d.block) {
		return nil, d.fail(reasonTruncated)
	}
	huffman := d.block[d.at] >= 0x80
	size, ok := d.integer(7)
	if !ok {
		return nil, false
	}
	if uint64(size) > uint64(len(d.block)-d.at) {
		return nil, d.fail(reasonTruncated)
	}
	s := d.block[d.at : d.at+int(size)]
	d.at += int(size)
	if !huffman {
		return s, true
	}
	if s, ok = appendDecoded(d.scratch[:0], s); !ok {
		return nil, d.fail(reasonHuffman)
	}
	d.scratch = s
	return s, true
}
