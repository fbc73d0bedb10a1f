package route

import (
	"hash/maphash"
	"math/bits"
	"slices"
	"strings"

	"github.com/tricot-proxy/tricot/pipeline"
)

// shards find the routes of exact hosts. In a large table nearly all the time of a look-up goes into waiting for memory, so
// that what it reads is close together: after the shard, which a cache holds, one slot, one record, and the pointer to the
// route, whose place is known with the slot. Where a table differs from the one before in a few hosts, only their shards
// are made anew, and the others are shared.
type shards struct {
	seed maphash.Seed
	// all are a power of two, chosen by the upper bits of a host's hash.
	all   []shard
	shift uint
	// members are the hosts of each shard.
	members [][]*host
}

// A shard is an immutable hash table with open addressing.
type shard struct {
	// slots are half as many again as there are hosts.
	slots []slot
	// text has the records, one after the other. A record is the host's name, how many of its routes are live, how many there
	// are, and for each of them the priority, the length of the path, and the path. Numbers are words.
	text string
	// routes are those of all records, in their order.
	routes []*pipeline.Route
}

// A slot is where a host is found. Four of them are in a cache line.
type slot struct {
	// tag is some of the hash's bits and the length of the name. It is 0 in a free slot.
	tag uint32
	// record is where the record begins in text, route the number of its first route.
	record, route uint32
	// parent is the number of the first layer of wildcards that the host can match.
	parent uint32
}

const (
	// hostsPerShard is how many there are on average, at most.
	hostsPerShard = 1024
	// longest is the length of the longest name that a slot's tag has room for. A host that is longer than the 253
	// characters of a domain name has no rule: the tag package refuses it.
	longest = 255
)

// newShards spreads exact hosts over shards; parent gives the number of the layer above a name.
func newShards(hosts []*host, parent func(name string) uint32, pace *pace) shards {
	s := shards{seed: maphash.MakeSeed()}
	number := 1 << bits.Len(uint(len(hosts)/hostsPerShard))
	s.shift = uint(64 - bits.Len(uint(number)) + 1)
	s.all, s.members = make([]shard, number), make([][]*host, number)
	for _, h := range hosts {
		if !h.wildcard {
			at := maphash.String(s.seed, h.name) >> s.shift
			s.members[at] = append(s.members[at], h)
		}
		pace.step(fair)
	}
	for i := range s.all {
		s.all[i] = s.shard(s.members[i], parent)
		pace.step(fair * len(s.members[i]))
	}
	return s
}

// fit says whether so many hosts may be added and removed until all shards are made anew.
func (s *shards) fit(hosts int) bool {
	most := hostsPerShard * len(s.all)
	return hosts <= 2*most && (hosts >= most/8 || len(s.all) == 1)
}

// revise gives the successor in which some hosts are new, changed or gone.
func (s *shards) revise(changes []change, parent func(name string) uint32, pace *pace) shards {
	next := shards{seed: s.seed, shift: s.shift, all: slices.Clone(s.all), members: slices.Clone(s.members)}
	stale := map[uint64]bool{}
	for _, c := range changes {
		if isWildcard(c.name) {
			continue
		}
		at := maphash.String(s.seed, c.name) >> s.shift
		if !stale[at] {
			stale[at] = true
			next.members[at] = slices.Clone(next.members[at])
		}
		members := &next.members[at]
		if i := slices.Index(*members, c.was); i >= 0 {
			*members = slices.Delete(*members, i, i+1)
		}
		if c.to != nil {
			*members = append(*members, c.to)
		}
		pace.step(fair + len(*members)/8)
	}
	for at := range stale {
		next.all[at] = next.shard(next.members[at], parent)
		pace.step(fair * len(next.members[at]))
	}
	return next
}

// shard makes one of its hosts.
func (s *shards) shard(members []*host, parent func(name string) uint32) shard {
	if len(members) == 0 {
		return shard{}
	}
	size, routes := 0, 0
	for _, h := range members {
		size += len(h.name) + 2*wordSize
		for i := range h.routes {
			size += 2*wordSize + len(h.routes[i].route.Path)
		}
		routes += len(h.routes)
	}
	made := shard{slots: make([]slot, len(members)*3/2+1), routes: make([]*pipeline.Route, 0, routes)}
	var text strings.Builder
	text.Grow(size)
	for _, h := range members {
		hash := maphash.String(s.seed, h.name)
		at := made.start(hash)
		for made.slots[at].tag != 0 {
			at = made.after(at)
		}
		made.slots[at] = slot{
			tag: tagOf(hash, h.name), record: uint32(text.Len()), route: uint32(len(made.routes)), parent: parent(h.name),
		}
		text.WriteString(h.name)
		writeWord(&text, uint32(h.live))
		writeWord(&text, uint32(len(h.routes)))
		for i := range h.routes {
			route := &h.routes[i].route
			writeWord(&text, uint32(route.Priority))
			writeWord(&text, uint32(len(route.Path)))
			text.WriteString(route.Path)
			made.routes = append(made.routes, route)
		}
	}
	made.text = text.String()
	return made
}

// find gives the shard and the slot of a host, nil where it has none.
func (s *shards) find(host string) (*shard, *slot) {
	if len(s.all) == 0 || len(host) > longest {
		return nil, nil
	}
	hash := maphash.String(s.seed, host)
	in := &s.all[hash>>s.shift]
	if len(in.slots) == 0 {
		return nil, nil
	}
	tag := tagOf(hash, host)
	for at := in.start(hash); ; at = in.after(at) {
		slot := &in.slots[at]
		if slot.tag == 0 {
			return nil, nil
		}
		if slot.tag == tag && in.text[slot.record:int(slot.record)+len(host)] == host {
			return in, slot
		}
	}
}

// start is where the search for a hash begins, after where it goes on. The lower half of the hash chooses the slot.
func (s *shard) start(hash uint64) int { return int(hash & (1<<32 - 1) * uint64(len(s.slots)) >> 32) }

func (s *shard) after(at int) int {
	if at++; at < len(s.slots) {
		return at
	}
	return 0
}

// best gives the first route of a slot's record that matches a path and has a backend that can serve, or the first of those
// that have none; a group without route where there is none.
func (s *shard) best(at *slot, live bool, path string) group {
	text := s.text[at.record+at.tag&longest:]
	count, total := word(text), word(text[wordSize:])
	text = text[2*wordSize:]
	for n := range total {
		end := 2*wordSize + word(text[wordSize:])
		if (n < count) == live && strings.HasPrefix(path, text[2*wordSize:end]) {
			return group{
				path: text[2*wordSize : end], route: s.routes[at.route+n], priority: int(int32(word(text))), exactness: exact,
			}
		}
		if live && n+1 >= count {
			break
		}
		text = text[end:]
	}
	return group{}
}

// tagOf takes bits of a hash that choose neither the shard nor the slot. There is no name without characters.
func tagOf(hash uint64, name string) uint32 { return uint32(hash>>24)&^longest | uint32(len(name)) }

const wordSize = 4

// word reads a number at the beginning of a text, where the compiler makes one load of it.
func word(text string) uint32 {
	_ = text[wordSize-1]
	return uint32(text[0]) | uint32(text[1])<<8 | uint32(text[2])<<16 | uint32(text[3])<<24
}

func writeWord(text *strings.Builder, w uint32) {
	text.Write([]byte{byte(w), byte(w >> 8), byte(w >> 16), byte(w >> 24)})
}
