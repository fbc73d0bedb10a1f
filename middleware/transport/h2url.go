package transport

import (
	"net/url"
	"strings"
)

// rawURL makes net/http write a target as it is, to the place that to says. host is the request's Host field.
func rawURL(to url.URL, host, target string) *url.URL {
	u := to
	if !strings.HasPrefix(target, "//") {
		u.Opaque = target
		return &u
	}
	// An opaque part with two slashes in front is written with the scheme before it. So the target has to go through
	// the parsed form, which keeps every path that has nothing in it that should have been encoded.
	path, query, hasQuery := strings.Cut(target, "?")
	u.RawPath, u.RawQuery, u.ForceQuery = path, query, hasQuery && query == ""
	u.Path, _ = url.PathUnescape(path)
	if u.RequestURI() == target {
		return &u
	}
	// Of what is left HTTP/1.1 gets the absolute form (RFC 9112, section 3.2.2), which names the same path byte for byte;
	// HTTP/2 has none, and there net/http takes the front off again.
	to.Opaque = "//" + host + target
	return &to
}
