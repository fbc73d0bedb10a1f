package pipeline

import (
	"net/http"
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Host gives the name that a request asks for in canonical form: lower case, ASCII (RFC 5891), without port and without
// the dot at the end; an IPv6 address stays in its brackets. It is false where the Host field is missing or is no host
// (RFC 3986, section 3.2.2, less the characters that no host name has in practice).
//
// A host that is in canonical form already costs no allocation.
func Host(r *http.Request) (string, bool) {
	return canonicalHost(r.Host)
}

func canonicalHost(host string) (string, bool) {
	if strings.HasPrefix(host, "[") {
		return canonicalIPv6(host)
	}
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		if !isPort(host[i+1:]) {
			return "", false
		}
		host = host[:i]
	}
	host = strings.TrimSuffix(host, ".")
	lower, ascii := true, true
	for i := 0; i < len(host); i++ {
		c := host[i]
		lower = lower && (c < 'A' || c > 'Z')
		ascii = ascii && c < 0x80
	}
	if !ascii {
		if !utf8.ValidString(host) { // idna would map all that is invalid to one name
			return "", false
		}
		var err error
		if host, err = idna.Lookup.ToASCII(host); err != nil {
			return "", false
		}
	} else if !lower {
		host = strings.ToLower(host)
	}
	return host, isName(host)
}

func canonicalIPv6(host string) (string, bool) {
	end := strings.IndexByte(host, ']')
	if end < 0 {
		return "", false
	}
	if rest := host[end+1:]; rest != "" && (rest[0] != ':' || !isPort(rest[1:])) {
		return "", false
	}
	addr, err := netip.ParseAddr(host[1:end])
	if err != nil || !addr.Is6() || addr.Zone() != "" {
		return "", false
	}
	var buf [len("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]")]byte
	canonical := append(addr.AppendTo(append(buf[:0], '[')), ']')
	if given := host[:end+1]; given == string(canonical) {
		return given, true
	}
	return string(canonical), true
}

// isName says whether a host in lower case has only what names have: letters, digits, "-", "_", and labels of 1 to 63
// characters, 253 in all (RFC 1035, section 2.3.4).
func isName(host string) bool {
	if len(host) == 0 || len(host) > 253 {
		return false
	}
	label := 0
	for i := 0; i < len(host); i++ {
		switch c := host[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
			label++
			if label > 63 {
				return false
			}
		case c == '.' && label > 0:
			label = 0
		default:
			return false
		}
	}
	return label > 0
}

// isPort accepts an empty port too, as RFC 3986, section 3.2.3 does.
func isPort(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) <= 5
}

// Target gives a request's path and query byte for byte as the client sent them: no decoding, no cleaning. The path of
// "OPTIONS *" is "*".
func Target(r *http.Request) string {
	target := r.RequestURI
	if target == "" { // made by a program, not read from a connection
		return r.URL.RequestURI()
	}
	if target[0] == '/' || target == "*" {
		return target
	}
	// The absolute form, RFC 9112, section 3.2.2.
	if _, rest, _ := strings.Cut(target, ":"); strings.HasPrefix(rest, "//") {
		target = rest[len("//"):]
		if i := strings.IndexAny(target, "/?"); i >= 0 {
			if target[i] == '?' {
				return "/" + target[i:]
			}
			return target[i:]
		}
	}
	return "/"
}

// Path gives a request's path byte for byte as the client sent it, without the query.
func Path(r *http.Request) string {
	path, _, _ := strings.Cut(Target(r), "?")
	return path
}
