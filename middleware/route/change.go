package route

import "slices"

// A change is what becomes of a host from one table to the next.
type change struct {
	name string
	was  *host // nil: it had no rule
	to   *host // nil: it has no rule any more
}

// applyChanges gives the sorted hosts of the next table. The changes are sorted.
func applyChanges(hosts []*host, changes []change) []*host {
	next := make([]*host, 0, len(hosts)+len(changes))
	for _, c := range changes {
		rest := from(hosts, c.name)
		next = append(next, hosts[:len(hosts)-len(rest)]...)
		if c.to != nil {
			next = append(next, c.to)
		}
		if c.was != nil {
			rest = rest[1:]
		}
		hosts = rest
	}
	return append(next, hosts...)
}

// from leaves out the sorted hosts before a name, in a time that depends on how many those are.
func from(hosts []*host, name string) []*host {
	start, end := 0, 1
	for end <= len(hosts) && hosts[end-1].name < name {
		start, end = end, 2*end+1
	}
	hosts = hosts[start:]
	at, _ := slices.BinarySearchFunc(hosts[:min(end-start, len(hosts))], name, compareHosts)
	return hosts[at:]
}

// sameRules says whether two tables have the same rules.
func sameRules(a, b *Table) bool { return slices.EqualFunc(a.hosts, b.hosts, (*host).sameRules) }
