package http1

import (
	"net/http"
	"strings"
)

// A Form is one of the four that a request's target can have (RFC 9112, section 3.2).
type Form int

// The forms of a target.
const (
	Origin    Form = iota // a path, with or without a query
	Absolute              // a URL with the scheme http or https
	Authority             // host:port, of CONNECT alone
	Asterisk              // "*", of OPTIONS alone
)

// TargetForm says which form a request's target has; what has none is a [*SyntaxError]. Bytes above 0x7f pass, and whether
// what is encoded with percent signs can be decoded is not looked at. "#" does not pass: a target has no fragment, and
// who finds one nevertheless sees another path.
func TargetForm(method, target string) (Form, error) {
	for i := 0; i < len(target); i++ {
		if c := target[i]; c <= ' ' || c == 0x7f || c == '#' {
			return 0, malformed("a character in the target that no target has")
		}
	}
	switch {
	case method == http.MethodConnect:
		colon := strings.LastIndexByte(target, ':')
		if colon <= 0 || colon == len(target)-1 || !IsHost(target) {
			return 0, malformed("a target of CONNECT that is not host:port")
		}
		return Authority, nil
	case strings.HasPrefix(target, "/"):
		return Origin, nil
	case target == "*" && method == http.MethodOptions:
		return Asterisk, nil
	}
	scheme, rest, ok := strings.Cut(target, "://")
	if !ok || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
		return 0, malformed("a target that is neither a path nor an http or https URL")
	}
	if end := strings.IndexAny(rest, "/?"); end >= 0 {
		rest = rest[:end]
	}
	if rest == "" || rest[0] == ':' || !IsHost(rest) { // user information is an error, too (RFC 9110, section 4.2.4)
		return 0, malformed("a URL without a host, or with an invalid one")
	}
	return Absolute, nil
}

// IsHost says whether s can be the value of a Host field (RFC 9112, section 3.2): the name or address of RFC 3986, section
// 3.2.2, with or without a port. Empty is one too: it stands for a target that has no authority.
func IsHost(s string) bool {
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 || strings.Trim(s[1:end], "0123456789abcdefABCDEF:.") != "" || !strings.Contains(s[1:end], ":") {
			return false
		}
		return isPort(s[end+1:])
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', isDigit(c), c == '.', c == '-', c == '_', c == '~':
		case c == ':':
			return isPort(s[i:])
		case c == '%':
			if i+2 >= len(s) || !isHexDigit(s[i+1]) || !isHexDigit(s[i+2]) {
				return false
			}
			i += 2
		case strings.IndexByte("!$&'()*+,;=", c) >= 0:
		default:
			return false
		}
	}
	return true
}

// isPort takes the port with its colon, or nothing. The digits may be left out (RFC 3986, section 3.2.3).
func isPort(s string) bool {
	if s == "" {
		return true
	}
	if s[0] != ':' {
		return false
	}
	for i := 1; i < len(s); i++ {
		if !isDigit(s[i]) {
			return false
		}
	}
	return true
}

func isHexDigit(c byte) bool {
	_, ok := hexDigit(c)
	return ok
}
