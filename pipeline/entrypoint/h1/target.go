package h1

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/tricot-proxy/tricot/pipeline/http1"
)

// parseTarget makes the request's URL of its target, as net/http does.
func (x *exchange) parseTarget(form http1.Form) error {
	target := x.request.RequestURI
	if form == http1.Origin && x.parsePlain(target) {
		return nil
	}
	if form == http1.Authority {
		target = "http://" + target
	}
	parsed, err := url.ParseRequestURI(target)
	if err != nil {
		return &refusal{http.StatusBadRequest, "a target that cannot be decoded"}
	}
	x.url = *parsed
	if form == http1.Authority {
		x.url.Scheme = ""
	}
	return nil
}

// parsePlain is the same for a path that reads the same encoded and decoded, as nearly all do, without an allocation.
func (x *exchange) parsePlain(target string) bool {
	path, query, found := strings.Cut(target, "?")
	for i := 0; i < len(path); i++ {
		if !isPlain(path[i]) {
			return false
		}
	}
	x.url.Path, x.url.RawQuery, x.url.ForceQuery = path, query, found && query == ""
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
