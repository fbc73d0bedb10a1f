package entrypoint

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/tricot-proxy/tricot/pipeline/http1"
)

// malformed says what is wrong with a request over HTTP/2 that net/http's server lets pass, and RFC 9113 calls malformed
// (section 8.1.1); empty where nothing is. What has no place in HTTP/1.1 must not get where it might be written so.
func malformed(r *http.Request) string {
	switch {
	case !http1.IsToken(r.Method): // RFC 9110, section 9.1
		return "a method that is no token"
	case !isTarget(r.Method, r.RequestURI):
		return "a :path that is none"
	case !isVisible(r.Host):
		return "an :authority or Host that is no host"
	}
	if hosts, ok := r.Header["Host"]; ok && (len(hosts) != 1 || hosts[0] != r.Host) { // section 8.3.1
		return "a Host that is not the :authority, or more than one"
	}
	if lengths, ok := r.Header["Content-Length"]; ok && (len(lengths) != 1 || !isLength(lengths[0], r.ContentLength)) {
		return "a Content-Length that is not the content's, or more than one"
	}
	for _, values := range r.Header {
		for _, value := range values {
			if value != "" && (isSpace(value[0]) || isSpace(value[len(value)-1])) { // section 8.2.1
				return "white space around the value of a field"
			}
		}
	}
	return ""
}

// isTarget says whether a :path is one (section 8.3.1). For CONNECT, which has none, net/http puts the authority there.
func isTarget(method, target string) bool {
	return isVisible(target) && strings.IndexByte(target, '#') < 0 &&
		(strings.HasPrefix(target, "/") || target == "*" && method == http.MethodOptions || method == http.MethodConnect)
}

// isVisible says whether s has neither white space nor control characters.
func isVisible(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

// isLength says whether a Content-Length is the number n, written in digits alone.
func isLength(s string, n int64) bool {
	for i := 0; i < len(s); i++ { // ParseInt takes signs
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	parsed, err := strconv.ParseInt(s, 10, 64)
	return err == nil && parsed == n
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }
