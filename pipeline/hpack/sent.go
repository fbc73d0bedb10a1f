package hpack

import "strings"

// A sentTable is an encoder's dynamic table: what the peer's decoder has, and a way to find it. Entries whose digests fall
// into one slot are chained, each to the one before it. A chain ends at the first entry that is no longer there, so that
// eviction has nothing to unchain.
type sentTable struct {
	ring[sentField]
	slots []slot // as many as the ring has entries
	size  int    // of all entries, as section 4.1 of RFC 7541 counts it
	max   int
}

// A sentField is an entry.
type sentField struct {
	name  string // in lower case
	value string
	key   fieldKey
	older slot // the entries' numbers that were in the slots of key before
}

// A slot has the numbers of the newest entries with a certain pair of name and value, and with a certain name.
type slot struct{ pair, name uint32 }

// A fieldKey is what a field line is looked up by.
type fieldKey struct {
	pair  uint32 // a digest of name and value
	name  uint32 // a digest of the name
	known uint8  // the name's number in knownNames
}

// keyOf returns the key of a field line whose name, in any case, has the number known.
func keyOf(known uint8, name, value string) fieldKey {
	digested := uint64(known) * factor0
	if known == 0 {
		digested = digest(name, lowering)
	}
	pair := mixed(digested, digest(value, 0))
	return fieldKey{pair: uint32(pair), name: uint32(digested >> 32), known: known}
}

// isNamed tells whether the entry has a name, which is in any case.
func (f *sentField) isNamed(key fieldKey, name string) bool {
	return f.key.name == key.name && f.key.known == key.known && (key.known != 0 || equalFold(f.name, name))
}

// pair returns the age of the newest entry with a name and a value.
func (t *sentTable) pair(key fieldKey, name, value string) (age uint32, found bool) {
	if t.count == 0 {
		return 0, false
	}
	next := t.slots[key.pair&uint32(len(t.slots)-1)].pair
	// Ages grow along a chain, except where a number from before the numbers' last wrap leads astray.
	for least := uint32(0); ; least = age + 1 {
		age = t.newest - next
		if age < least || age >= t.count {
			return 0, false
		}
		entry := t.at(age)
		if entry.key.pair == key.pair && entry.value == value && entry.isNamed(key, name) {
			return age, true
		}
		next = entry.older.pair
	}
}

// named returns the age of the newest entry with a name.
func (t *sentTable) named(key fieldKey, name string) (age uint32, found bool) {
	if t.count == 0 {
		return 0, false
	}
	next := t.slots[key.name&uint32(len(t.slots)-1)].name
	for least := uint32(0); ; least = age + 1 {
		age = t.newest - next
		if age < least || age >= t.count {
			return 0, false
		}
		entry := t.at(age)
		if entry.isNamed(key, name) {
			return age, true
		}
		next = entry.older.name
	}
}

// add enters a field line that the table has room for once others are evicted. name is in lower case and stays; value is
// copied, since it may be a part of something larger.
func (t *sentTable) add(key fieldKey, name, value string) {
	size := entryOverhead + len(name) + len(value)
	t.evict(size)
	if t.full() {
		t.grow()
		t.slots = make([]slot, len(t.entries))
		for age := t.count; age > 0; age-- {
			t.chain(t.newest - (age - 1))
		}
	}
	t.size += size
	*t.push() = sentField{name: name, value: strings.Clone(value), key: key}
	t.chain(t.newest)
}

// chain puts an entry before those that share its slots.
func (t *sentTable) chain(number uint32) {
	entry := t.at(t.newest - number)
	mask := uint32(len(t.slots) - 1)
	pair, name := &t.slots[entry.key.pair&mask].pair, &t.slots[entry.key.name&mask].name
	entry.older = slot{pair: *pair, name: *name}
	*pair, *name = number, number
}

// resize sets the table's maximum, and evicts what is above it.
func (t *sentTable) resize(most int) {
	t.max = most
	t.evict(0)
}

// evict makes room.
func (t *sentTable) evict(room int) {
	for t.count > 0 && t.size+room > t.max {
		oldest := t.at(t.count - 1)
		t.size -= entryOverhead + len(oldest.name) + len(oldest.value)
		t.drop()
	}
}
