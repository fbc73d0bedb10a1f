package route

import (
	"hash/maphash"
	"iter"
	"slices"
)

// A layer is the groups of one exact host, or those of all wildcards that have one suffix.
type layer struct {
	// name is the host or the suffix.
	name string
	// groups has first those that are live, then the others, each sorted by compareGroups. It is nil in a free slot.
	groups []group
	live   uint32
	// hash is the upper half of the name's, whose lower half says in which slot the search begins.
	hash uint32
	// parent is the layer of the next shorter suffix that wildcards have, nil where there is none.
	parent *layer
}

// newLayer takes over the groups, of which there is at least one.
func newLayer(name string, groups []group) layer {
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
	return layer{name: name, groups: groups, live: uint32(live)}
}

// layers finds layers by name. It is a hash table with open addressing that holds the layers themselves: in a large
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

// put adds a layer whose name is not there yet.
func (l *layers) put(added layer) {
	hash := maphash.String(l.seed, added.name)
	added.hash = uint32(hash >> 32)
	mask := uint64(len(l.slots) - 1)
	at := hash & mask
	for l.slots[at].groups != nil {
		at = (at + 1) & mask
	}
	l.slots[at] = added
}

// find gives the layer with a name, nil where there is none.
func (l *layers) find(name string) *layer {
	if len(l.slots) == 0 {
		return nil
	}
	hash := maphash.String(l.seed, name)
	mask := uint64(len(l.slots) - 1)
	for at := hash & mask; ; at = (at + 1) & mask {
		slot := &l.slots[at]
		if slot.groups == nil {
			return nil
		}
		if slot.hash == uint32(hash>>32) && slot.name == name {
			return slot
		}
	}
}

// every gives all layers, which may be changed in all but name and groups.
func (l *layers) every() iter.Seq[*layer] {
	return func(yield func(*layer) bool) {
		for i := range l.slots {
			if l.slots[i].groups != nil && !yield(&l.slots[i]) {
				return
			}
		}
	}
}
