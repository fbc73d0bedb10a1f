package certs

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/tricot-proxy/tricot/certs/store"
)

// prefix is where the store has the certificates.
const prefix = "certs/"

// canonical gives a name as the table has it: lower case, without the dot at the end. It allocates only where a letter is
// a capital.
func canonical(name string) string {
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

// exact gives the name of a host that is no wildcard. An IPv6 address loses its brackets.
func exact(host string) string {
	host = canonical(host)
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	}
	return host
}

// wanted sorts the hosts of rules into exact names and wildcards, each once. The names are sorted, and the wildcards in
// the order in which they are to be looked at: those with a URL first, the longest of them first.
func wanted(hosts []Wanted, ask string) (names []string, wildcards []wildcard) {
	asks := map[string]string{} // by pattern
	for _, wanted := range hosts {
		host := exact(wanted.Host)
		switch {
		case strings.Contains(host, "*"):
			asks[host] = cmp.Or(asks[host], wanted.Ask)
		case store.CheckKey(key(host)) == nil:
			names = append(names, host)
		}
	}
	slices.Sort(names)
	for pattern, own := range asks {
		wildcards = append(wildcards, wildcard{pattern, cmp.Or(own, ask)})
	}
	slices.SortFunc(wildcards, func(a, b wildcard) int {
		if (a.ask == "") != (b.ask == "") {
			return cmp.Compare(len(b.ask), len(a.ask))
		}
		return cmp.Or(cmp.Compare(len(b.pattern), len(a.pattern)), strings.Compare(a.pattern, b.pattern))
	})
	return slices.Compact(names), wildcards
}

// key is where the store has a name's certificate. No host has a "~", so that no two names meet in a key.
func key(name string) string { return prefix + lockName(name) }

// lockName is the name of the lock under which a name's certificate is ordered.
func lockName(name string) string { return strings.ReplaceAll(name, ":", "~") }

// nameOf is what the key of a record, without its prefix, stands for.
func nameOf(key string) string { return strings.ReplaceAll(key, "~", ":") }

// A wildcard is one that a rule has, with the URL to ask about its names, if there is any.
type wildcard struct{ pattern, ask string }

// search gives the URL to ask about a name, if there is any, and whether any wildcard wants it.
func search(wildcards []wildcard, name string) (ask string, found bool) {
	for i := range wildcards {
		if matches(wildcards[i].pattern, name) {
			return wildcards[i].ask, true
		}
	}
	return "", false
}

// matches says whether a name is one of a wildcard, in which each "*" stands for any run of characters.
func matches(wildcard, name string) bool {
	first, rest, more := strings.Cut(wildcard, "*")
	if !more {
		return wildcard == name
	}
	name, found := strings.CutPrefix(name, first)
	for found {
		var part string
		part, rest, more = strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(name, part)
		}
		// The leftmost place will do: it leaves the most of the name to what follows.
		_, name, found = strings.Cut(name, part)
	}
	return false
}

// public says whether a name can be one of the public DNS, as far as its form goes: a host name (RFC 1123, section 2.1) in
// canonical form, of at least two labels, and no address.
func public(name string) bool {
	if len(name) > 253 {
		return false
	}
	labels, start, digits := 0, 0, true
	for i := 0; i <= len(name); i++ {
		if i == len(name) || name[i] == '.' {
			if i == start || i-start > 63 || name[start] == '-' || name[i-1] == '-' {
				return false
			}
			labels++
			if i < len(name) {
				start, digits = i+1, true
			}
			continue
		}
		switch c := name[i]; {
		case '0' <= c && c <= '9':
		case 'a' <= c && c <= 'z', c == '-':
			digits = false
		default:
			return false
		}
	}
	return labels > 1 && !digits // a last label of digits makes it an IPv4 address, or a name that looks like one
}

// address is a name's IP address, the zero one where it is no address.
func address(name string) netip.Addr {
	addr, err := netip.ParseAddr(name)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap()
}
