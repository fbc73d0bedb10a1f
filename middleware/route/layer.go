package route

import (
	"hash/maphash"
	"iter"
	"slices"
	"strings"
)

// A layer is the groups of all wildcards that have one suffix.
type layer struct {
	// suffix is their last labels.
	suffix string
	// groups has first those that are live, then the others, each sorted by compareGroups. It is nil in a free slot.
	groups []group
	live   uint32
	// hash is the upper half of the suffix's, whose lower half says in which slot the search begins.
	hash uint32
	// parent is the number of the layer of the next shorter suffix that wildcards have, 0 where there is none.
	parent uint32
}

// newLayer takes over the groups, of which there is at least one.
func newLayer(suffix string, groups []group) layer {
	slices.SortFunc(groups, func(a, b group) int {
		switch live := a.isLive(); {
		case live == b.isLive():
			return compareGroups(&a, &b)
		case live:
			return -1
		default:
			return 1
		}
	})
	live := slices.IndexFunc(groups, func(g group) bool { return !g.isLive() })
	if live < 0 {
		live = len(groups)
	}
	return layer{suffix: suffix, groups: groups, live: uint32(live)}
}

// those gives the groups that are live, or those that are not.
func (l *layer) those(live bool) []group {
	if live {
		return l.groups[:l.live]
	}
	return l.groups[l.live:]
}

// layers finds layers by suffix. It is a hash table with open addressing that holds the layers themselves: in a large
// table nearly all the time of a look-up goes into waiting for memory, and a map would have it wait twice as often.
type layers struct {
	seed maphash.Seed
	// slots are a power of two, at most half of them in use; none where there is no layer.
	slots []layer
}

// newLayers makes room for a number of layers.
func newLayers(n int) layers {
	l := layers{seed: maphash.MakeSeed()}
	if n > 0 {
		size := 2
		for size < 2*n {
			size *= 2
		}
		l.slots = make([]layer, size)
	}
	return l
}

// put adds a layer whose suffix is not there yet.
func (l *layers) put(added layer) {
	hash := maphash.String(l.seed, added.suffix)
	added.hash = uint32(hash >> 32)
	mask := uint64(len(l.slots) - 1)
	at := hash & mask
	for l.slots[at].groups != nil {
		at = (at + 1) & mask
	}
	l.slots[at] = added
}

// find gives the number of a suffix's layer, 0 where there is none.
func (l *layers) find(suffix string) uint32 {
	if len(l.slots) == 0 {
		return 0
	}
	hash := maphash.String(l.seed, suffix)
	mask := uint64(len(l.slots) - 1)
	for at := hash & mask; ; at = (at + 1) & mask {
		slot := &l.slots[at]
		if slot.groups == nil {
			return 0
		}
		if slot.hash == uint32(hash>>32) && slot.suffix == suffix {
			return uint32(at) + 1
		}
	}
}

// numbered gives the layer with a number, nil for 0.
func (l *layers) numbered(n uint32) *layer {
	if n == 0 {
		return nil
	}
	return &l.slots[n-1]
}

// above gives the number of the layer of the longest suffix of a name that wildcards have, 0 where there is none. The name
// itself is not a suffix: "*.example.com" does not match "example.com".
func (l *layers) above(name string) uint32 {
	for name != "" && len(l.slots) > 0 {
		_, name, _ = strings.Cut(name, ".")
		if n := l.find(name); n != 0 {
			return n
		}
	}
	return 0
}

// every gives all layers, which may be changed in all but suffix and groups.
func (l *layers) every() iter.Seq[*layer] {
	return func(yield func(*layer) bool) {
		for i := range l.slots {
			if l.slots[i].groups != nil && !yield(&l.slots[i]) {
				return
			}
		}
	}
}

// layersOf puts the routes of wildcards into layers.
func layersOf(wildcards []*host) layers {
	groups := map[string][]group{}
	for _, h := range wildcards {
		labels := suffix(h.name)
		for i := range h.routes {
			groups[labels] = append(groups[labels], newGroup(&h.routes[i].route))
		}
	}
	l := newLayers(len(groups))
	for labels, groups := range groups {
		l.put(newLayer(labels, groups))
	}
	for each := range l.every() {
		each.parent = l.above(each.suffix)
	}
	return l
}

// numberAs gives the layers the numbers that they have in another table, where both have those of the same suffixes; if
// not, it is false and nothing changes.
func (l *layers) numberAs(other *layers) bool {
	numbered := layers{seed: other.seed, slots: slices.Clone(other.slots)}
	left := 0
	for range numbered.every() {
		left++
	}
	for each := range l.every() {
		n := numbered.find(each.suffix)
		if n == 0 {
			return false
		}
		slot := numbered.numbered(n)
		slot.groups, slot.live = each.groups, each.live
		left--
	}
	if left > 0 {
		return false
	}
	*l = numbered
	return true
}
