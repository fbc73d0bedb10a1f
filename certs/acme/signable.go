package acme

import (
	"net/netip"
	"strings"
)

// Signable says whether a public CA may sign for a name after HTTP-01, and the reason where it may not, such as "it is an
// IP address". A name that is signable may be refused all the same.
func Signable(name string) (ok bool, reason string) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if _, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")); err == nil {
		return false, "it is an IP address"
	}
	switch {
	case name == "":
		return false, "it is empty"
	case strings.Contains(name, "*"):
		return false, "it is a wildcard, which cannot be validated over HTTP"
	case len(name) > 253: // RFC 1035, section 2.3.4, less what the encoding adds
		return false, "it is longer than 253 characters"
	}
	// No public CA signs anything in these domains: they are kept out of the global DNS. RFC 6761, section 6, has test,
	// invalid, example and localhost; RFC 6762 local; RFC 7686 onion, for which HTTP-01 is not allowed; RFC 8375 home.arpa;
	// RFC 9476 alt; and ICANN has set internal aside.
	for _, domain := range [...]string{
		"localhost", "local", "internal", "test", "example", "invalid", "onion", "alt", "home.arpa",
	} {
		if name == domain || strings.HasSuffix(name, "."+domain) {
			return false, "." + domain + " is not in the public DNS"
		}
	}
	labels := strings.Split(name, ".")
	if len(labels) == 1 {
		return false, "it has a single label"
	}
	for _, label := range labels {
		if reason := mislabelled(label); reason != "" {
			return false, reason
		}
	}
	if strings.Trim(labels[len(labels)-1], "0123456789") == "" {
		return false, "its top-level domain is a number"
	}
	return true, ""
}

// mislabelled says why a label is not one of a host name (RFC 1123, section 2.1); "": it is.
func mislabelled(label string) string {
	switch {
	case label == "":
		return "it has an empty label"
	case len(label) > 63:
		return "it has a label of more than 63 characters"
	case label[0] == '-' || label[len(label)-1] == '-':
		return `a label begins or ends with "-"`
	}
	for _, c := range label {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-':
		case c == '_':
			return `it has a "_"`
		default:
			return "it has a character that no host name has"
		}
	}
	return ""
}
