package hpack

// A ring is a first-in, first-out queue of entries that are reached by their age, the newest being 0. It holds no memory
// before the first entry.
type ring[E any] struct {
	entries []E    // as many as a power of two; an entry is at its number, modulo their count
	newest  uint32 // the newest entry's number; numbers wrap
	count   uint32
}

// at returns the entry of an age below count.
func (r *ring[E]) at(age uint32) *E {
	return &r.entries[(r.newest-age)&uint32(len(r.entries)-1)]
}

// full tells whether one more entry needs a larger ring.
func (r *ring[E]) full() bool { return int(r.count) == len(r.entries) }

// grow makes the ring larger. The entries keep their numbers.
func (r *ring[E]) grow() {
	larger := ring[E]{entries: make([]E, max(16, 2*len(r.entries))), newest: r.newest, count: r.count}
	for age := range r.count {
		*larger.at(age) = *r.at(age)
	}
	*r = larger
}

// push returns the place of a new entry, in a ring that is not full.
func (r *ring[E]) push() *E {
	r.newest++
	r.count++
	return r.at(0)
}

// drop lets the oldest entry go.
func (r *ring[E]) drop() {
	var none E
	r.count--
	*r.at(r.count) = none
}
