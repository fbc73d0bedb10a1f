package exchange

import (
	"net/url"
	"strings"
)

// ParseTarget makes u, which must be its zero value, of a request's target as net/http's server does. The target has passed
// http1.TargetForm, or what says the same of HTTP/2's :path: it is a path with or without a query, an http or https URL,
// "*", or CONNECT's authority, which becomes u's host. The error is package url's, for what cannot be decoded. A path that
// reads the same encoded and decoded, as nearly all do, costs no allocation.
func ParseTarget(u *url.URL, target string) error {
	if strings.HasPrefix(target, "/") && parsePlain(u, target) {
		return nil
	}
	isAuthority := target != "*" && strings.IndexByte(target, '/') < 0 // of the other forms only "*" has no slash
	if isAuthority {
		target = "http://" + target
	}
	parsed, err := url.ParseRequestURI(target)
	if err != nil {
		return err
	}
	*u = *parsed
	if isAuthority {
		u.Scheme = ""
	}
	return nil
}

// parsePlain is for a path that reads the same encoded and decoded. It is false for others.
func parsePlain(u *url.URL, target string) bool {
	path, query, found := strings.Cut(target, "?")
	for i := 0; i < len(path); i++ {
		if !isPlain(path[i]) {
			return false
		}
	}
	u.Path, u.RawQuery, u.ForceQuery = path, query, found && query == ""
	return true
}

// isPlain is for the characters that package url leaves alone in a path, both ways.
func isPlain(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', '0' <= c && c <= '9', 'A' <= c && c <= 'Z':
		return true
	}
	switch c {
	case '/', '-', '.', '_', '~', '$', '&', '+', ',', ':', ';', '=', '@':
		return true
	}
	return false
}
