package route

import (
	"hash/maphash"
	"maps"
)

// A ledger is an immutable map whose successors share with it what they do not change: it is many small maps, of which a
// [revision] copies those that it writes to. The zero value is empty. It may be read by many goroutines at once.
type ledger[K comparable, V any] struct {
	seed    maphash.Seed
	buckets []map[K]V // none, or as many as ledgerBuckets
}

// ledgerBuckets keeps buckets small where there are 50,000 entries, and a ledger where there are none.
const ledgerBuckets = 512

func (l *ledger[K, V]) bucket(key K) int {
	return int(maphash.Comparable(l.seed, key) % ledgerBuckets)
}

// get gives the value of a key, the zero value where there is none.
func (l *ledger[K, V]) get(key K) V {
	if l.buckets == nil {
		var none V
		return none
	}
	return l.buckets[l.bucket(key)][key]
}

func (l *ledger[K, V]) has(key K) bool {
	if l.buckets == nil {
		return false
	}
	_, has := l.buckets[l.bucket(key)][key]
	return has
}

// revise begins a successor.
func (l *ledger[K, V]) revise() *revision[K, V] {
	r := &revision[K, V]{ledger: ledger[K, V]{seed: l.seed, buckets: make([]map[K]V, ledgerBuckets)}}
	if l.buckets == nil {
		r.ledger.seed = maphash.MakeSeed()
	}
	copy(r.ledger.buckets, l.buckets)
	return r
}

// A revision is a ledger that is being written, by one goroutine. It must not be written to once its ledger is in use.
type revision[K comparable, V any] struct {
	ledger[K, V]
	own [ledgerBuckets]bool // the buckets that no other ledger has
}

func (r *revision[K, V]) put(key K, value V) { r.writable(key)[key] = value }

func (r *revision[K, V]) remove(key K) { delete(r.writable(key), key) }

func (r *revision[K, V]) writable(key K) map[K]V {
	at := r.bucket(key)
	if !r.own[at] {
		r.own[at] = true
		if r.buckets[at] == nil {
			r.buckets[at] = map[K]V{}
		} else {
			r.buckets[at] = maps.Clone(r.buckets[at])
		}
	}
	return r.buckets[at]
}
