package certs

import (
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

// wanted sorts the hosts of rules into exact names and wildcards, each once, both sorted. An IPv6 address loses its
// brackets.
func wanted(hosts []string) (names, wildcards []string) {
	for _, host := range hosts {
		host = canonical(host)
		if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
			host = host[1 : len(host)-1]
		}
		switch {
		case strings.Contains(host, "*"):
			wildcards = append(wildcards, host)
		case store.CheckKey(key(host)) == nil:
			names = append(names, host)
		}
	}
	slices.Sort(names)
	slices.Sort(wildcards)
	return slices.Compact(names), slices.Compact(wildcards)
}

// key is where the store has a name's certificate. No host has a "~", so that no two names meet in a key.
func key(name string) string { return prefix + lockName(name) }

// lockName is the name of the lock under which a name's certificate is ordered.
func lockName(name string) string { return strings.ReplaceAll(name, ":", "~") }

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

// address is a name's IP address, the zero one where it is no address.
func address(name string) netip.Addr {
	addr, err := netip.ParseAddr(name)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap()
}
