package hpack

import "strings"

// Why a block is none.
const (
	reasonTruncated  = "the block ends within a field line"
	reasonOverflow   = "an integer above 32 bits"
	reasonIndex      = "an index that no table has"
	reasonHuffman    = "a string that is not in Huffman's code"
	reasonLateUpdate = "a change of the table's size behind a field line"
	reasonLargeTable = "a table larger than was announced"
)

// keptScratch is how many bytes a decoder keeps between blocks for the strings that it decodes.
const keptScratch = 1024

// A Decoder reads the field blocks of one connection's peer: Reset, then Next until it returns false, then Err. A block
// has to be read to its end even if nobody wants its field lines, for they change the table.
type Decoder struct {
	table   receivedTable
	limit   int // what the table's size may be set to
	block   []byte
	at      int
	began   bool  // a field line was read: no more changes of the table's size
	field   Field // the literal that was read last
	scratch []byte
	err     *DecodingError
}

// NewDecoder returns a decoder whose peer was told that its table may have tableSize bytes (SETTINGS_HEADER_TABLE_SIZE).
// The table has the 4096 bytes of a new connection until a block of the peer sets another size, since blocks may be on
// their way that were written before the peer knew.
func NewDecoder(tableSize int) *Decoder {
	return &Decoder{table: receivedTable{max: defaultTableSize}, limit: tableSize}
}

// Reset begins a block, all fragments of which are joined. The decoder reads it in place until its end; no field line
// shares its memory. After an error there are no more blocks: Next keeps returning false, and Err the error.
func (d *Decoder) Reset(block []byte) {
	if d.err == nil {
		d.block, d.at, d.began = block, 0, false
	}
}

// Err returns nil, or a [*DecodingError] that tells why Next returned false before the block's end.
func (d *Decoder) Err() error {
	if d.err == nil {
		return nil
	}
	return d.err
}

// Next returns the block's next field line, valid until the next call and not to be changed. It returns false at the
// block's end and at an error.
func (d *Decoder) Next() (*Field, bool) {
	for d.at < len(d.block) {
		switch b := d.block[d.at]; {
		case b >= 0x80: // indexed: section 6.1 of RFC 7541
			d.began = true
			return d.indexed()
		case b >= 0x40: // with incremental indexing: 6.2.1
			d.began = true
			if !d.literal(6) {
				return nil, false
			}
			d.table.add(&d.field)
			return &d.field, true
		case b >= 0x20: // the table's size: 6.3
			if !d.resize() {
				return nil, false
			}
		default: // without indexing, 6.2.2, and never indexed, 6.2.3
			d.began = true
			if !d.literal(4) {
				return nil, false
			}
			d.field.Sensitive = b >= 0x10
			return &d.field, true
		}
	}
	d.finish()
	return nil, false
}

// indexed reads a field line that is a table's.
func (d *Decoder) indexed() (*Field, bool) {
	index, ok := d.integer(7)
	if !ok {
		return nil, false
	}
	return d.entry(index)
}

// entry returns what a table has at an index.
func (d *Decoder) entry(index uint32) (*Field, bool) {
	if index-1 < lastStatic {
		return &staticTable[index], true
	}
	// An index of 0 wraps, to an age that no table has.
	if age := index - 1 - lastStatic; age < d.table.count {
		return d.table.at(age), true
	}
	return nil, d.fail(reasonIndex)
}

// literal reads a field line whose value, at least, is in the block.
func (d *Decoder) literal(prefix uint) bool {
	index, ok := d.integer(prefix)
	if !ok {
		return false
	}
	var name, canonical string
	if index != 0 {
		entry, ok := d.entry(index)
		if !ok {
			return false
		}
		name, canonical = entry.Name, entry.Canonical
	} else {
		s, ok := d.text()
		if !ok {
			return false
		}
		name, canonical = nameOf(s)
	}
	value, ok := d.text()
	if !ok {
		return false
	}
	d.field = Field{
		Name: name, Value: string(value), Canonical: canonical,
		Valid: (canonical != "" || isPseudo(name)) && isValue(value),
	}
	return true
}

// nameOf returns a name, and what http.Header makes of it, empty for a pseudo-field and for what is no name.
func nameOf(s []byte) (name, canonical string) {
	given := view(s)
	if known := &knownNames[lookUp(given)]; known.lower == given {
		return known.lower, known.canonical
	}
	if isLowerToken(given) {
		return canonicalName(given)
	}
	return strings.Clone(given), ""
}

// resize reads a change of the table's size.
func (d *Decoder) resize() bool {
	size, ok := d.integer(5)
	switch {
	case !ok:
		return false
	case d.began:
		return d.fail(reasonLateUpdate)
	case int64(size) > int64(d.limit):
		return d.fail(reasonLargeTable)
	}
	d.table.resize(int(size))
	return true
}

// fail ends the block, and every later one.
func (d *Decoder) fail(reason string) bool {
	d.err = &DecodingError{Reason: reason}
	d.finish()
	return false
}

// finish lets go of the block and of what was only for it, so that an idle connection holds nothing of its last request.
func (d *Decoder) finish() {
	d.block, d.at, d.field = nil, 0, Field{}
	if cap(d.scratch) > keptScratch {
		d.scratch = nil
	}
}
