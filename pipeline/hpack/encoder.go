package hpack

import "strconv"

// The patterns of a field line's first byte, and how many of its bits are an index (RFC 7541, section 6).
const (
	patternIndexed     = 0x80
	patternIncremental = 0x40
	patternUpdate      = 0x20
	patternNever       = 0x10
	patternPlain       = 0x00

	prefixIndexed     = 7
	prefixIncremental = 6
	prefixUpdate      = 5
	prefixLiteral     = 4 // of patternNever and patternPlain
)

// An Encoder writes the field blocks for one connection's peer: Begin, then the field lines, in the order in which the
// peer gets them. It appends to what it is given and keeps none of it, nor of the strings.
//
// What comes again with the same value enters the table, and costs a byte or two from then on. What differs with each
// answer, such as Content-Length, ETag or Location, does not, and neither does an entry of more than a quarter of the
// table; both would only push others out. Secrets (Set-Cookie, Authorization, Proxy-Authenticate, Proxy-Authorization)
// are marked as never to be indexed by anyone.
type Encoder struct {
	table   sentTable
	updates bool // the next block has to begin with the table's size
}

// NewEncoder returns an encoder with an empty table of 4096 bytes.
func NewEncoder() *Encoder {
	return &Encoder{table: sentTable{max: defaultTableSize}}
}

// SetMaxTableSize takes the peer's SETTINGS_HEADER_TABLE_SIZE, in bytes. The table's size is the smaller of it and 4096,
// and the next block tells so. It is called between blocks.
//
// Where the peer says several before the next block, the smallest holds: the others would have to be told too (RFC 7541,
// section 4.2), and there are decoders that take only one.
func (e *Encoder) SetMaxTableSize(n uint32) {
	size := int(min(n, defaultTableSize))
	if e.updates {
		size = min(size, e.table.max)
	}
	if size != e.table.max {
		e.updates = true
		e.table.resize(size)
	}
}

// Begin starts a block: it writes the table's size where that has changed since the last one.
func (e *Encoder) Begin(to []byte) []byte {
	if !e.updates {
		return to
	}
	e.updates = false
	return appendInteger(to, patternUpdate, prefixUpdate, uint32(e.table.max))
}

// AppendStatus appends the pseudo-field ":status".
func (e *Encoder) AppendStatus(to []byte, code int) []byte {
	switch code { // those of the static table
	case 200:
		return append(to, patternIndexed|8)
	case 204:
		return append(to, patternIndexed|9)
	case 206:
		return append(to, patternIndexed|10)
	case 304:
		return append(to, patternIndexed|11)
	case 400:
		return append(to, patternIndexed|12)
	case 404:
		return append(to, patternIndexed|13)
	case 500:
		return append(to, patternIndexed|14)
	}
	var room [20]byte
	return e.AppendField(to, ":status", string(strconv.AppendInt(room[:0], int64(code), 10)))
}

// AppendField appends a field line. name is in any case and becomes lower case; neither it nor value is checked.
func (e *Encoder) AppendField(to []byte, name, value string) []byte {
	number := lookUp(name)
	known := &knownNames[number]
	static := uint32(known.static)
	if known.policy == neverIndexed {
		return appendLiteral(to, patternNever, prefixLiteral, static, name, value)
	}
	for i := range uint32(known.statics) {
		if staticTable[static+i].Value == value {
			return append(to, patternIndexed|byte(static+i))
		}
	}
	if known.policy == unindexed {
		return appendLiteral(to, patternPlain, prefixLiteral, static, known.lower, value)
	}

	key := keyOf(number, name, value)
	if age, found := e.table.pair(key, name, value); found {
		return appendInteger(to, patternIndexed, prefixIndexed, lastStatic+1+age)
	}
	lower, index := known.lower, static
	if index == 0 {
		if age, found := e.table.named(key, name); found {
			lower, index = e.table.at(age).name, lastStatic+1+age
		}
	}
	if entryOverhead+len(name)+len(value) > e.table.max/4 {
		return appendLiteral(to, patternPlain, prefixLiteral, index, name, value)
	}
	if lower == "" {
		lower = lowerName(name)
	}
	e.table.add(key, lower, value)
	return appendLiteral(to, patternIncremental, prefixIncremental, index, lower, value)
}

// appendLiteral appends a field line with its value, and with its name where its index is 0.
func appendLiteral(to []byte, pattern byte, prefix uint, index uint32, name, value string) []byte {
	to = appendInteger(to, pattern, prefix, index)
	if index == 0 {
		var room [64]byte
		to = appendString(to, view(appendLower(room[:0], name)))
	}
	return appendString(to, value)
}

// lowerName returns a copy of a name in lower case.
func lowerName(name string) string {
	var room [64]byte
	return string(appendLower(room[:0], name))
}

// appendLower appends a name in lower case.
func appendLower(to []byte, name string) []byte {
	for i := range len(name) {
		to = append(to, lowered(name[i]))
	}
	return to
}
