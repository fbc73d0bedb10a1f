package hpack

const (
	// defaultTableSize is the size of a connection's tables until its ends agree on another (RFC 9113, section 6.5.2).
	defaultTableSize = 4096
	// entryOverhead is what an entry counts for besides its strings (RFC 7541, section 4.1).
	entryOverhead = 32
)

// A receivedTable is a decoder's dynamic table.
type receivedTable struct {
	ring[Field]
	size int // of all entries, as section 4.1 of RFC 7541 counts it
	max  int
}

// resize sets the table's maximum, and evicts what is above it.
func (t *receivedTable) resize(most int) {
	t.max = most
	t.evict(0)
}

// add enters a field line as the newest one. One that is larger than the table empties it (RFC 7541, section 4.4).
func (t *receivedTable) add(field *Field) {
	size := entryOverhead + len(field.Name) + len(field.Value)
	t.evict(size)
	if size > t.max {
		return
	}
	if t.full() {
		t.grow()
	}
	t.size += size
	*t.push() = *field
}

// evict makes room.
func (t *receivedTable) evict(room int) {
	for t.count > 0 && t.size+room > t.max {
		oldest := t.at(t.count - 1)
		t.size -= entryOverhead + len(oldest.Name) + len(oldest.Value)
		t.drop()
	}
}
