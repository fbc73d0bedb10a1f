// Package redirect is the stage that sends plain HTTP to HTTPS: a 308 (RFC 9110, section 15.4.9), so that the method
// and the body stay, with the host, the path and the query byte for byte as the client sent them.
//
// It needs nothing and sets nothing. It passes on what came over TLS, and the path of the ACME challenge (RFC 8555,
// section 8.3), which a CA asks for over plain HTTP.
package redirect

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/tricot-proxy/tricot/pipeline"
)

// Name is the stage's name in settings.
const Name = "redirect"

const (
	body    = "308 Permanent Redirect: this site is served over HTTPS\n"
	badHost = "400 Bad Request: the Host field is missing or is not a host\n"
	badPath = "400 Bad Request: a control character or a space in the request target\n"
)

// Options are the stage's settings.
type Options struct {
	// Port is where HTTPS is served, as clients see it: 1 to 65535. 443 is left out of the URL.
	Port int
}

// New makes the stage. It returns an error for a port that is none.
func New(options Options) (func(http.Handler) http.Handler, error) {
	if options.Port < 1 || options.Port > 65535 {
		return nil, fmt.Errorf("%s: HTTPS port %d: a port is between 1 and 65535", Name, options.Port)
	}
	port := ""
	if options.Port != 443 {
		port = ":" + strconv.Itoa(options.Port)
	}
	return func(next http.Handler) http.Handler {
		return &stage{next: next, port: port}
	}, nil
}

type stage struct {
	next http.Handler
	port string // ":8443", empty for 443
}

func (s *stage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.TLS != nil {
		s.next.ServeHTTP(w, r)
		return
	}
	target := pipeline.Target(r)
	if strings.HasPrefix(target, pipeline.ChallengePath) {
		s.next.ServeHTTP(w, r)
		return
	}
	_, w, r = pipeline.Enter(w, r)
	host, ok := hostOf(r)
	if !ok {
		answer(w, http.StatusBadRequest, badHost)
		return
	}
	if !printable(target) {
		answer(w, http.StatusBadRequest, badPath)
		return
	}
	// "OPTIONS *" asks about the server as a whole; a URL says that with no path at all (RFC 9112, section 3.2.4).
	if target == "*" {
		target = ""
	}
	// Set as it is: http.Redirect would escape and clean it. The path starts with "/", so it cannot become part of the
	// authority, whatever follows: "//other.example" stays a path of this host.
	w.Header().Set("Location", "https://"+host+s.port+target)
	answer(w, http.StatusPermanentRedirect, body)
}

// hostOf gives the host as the client sent it, less its port. One in other than ASCII, which no field of HTTP can hold,
// becomes its canonical form.
func hostOf(r *http.Request) (string, bool) {
	canonical, ok := pipeline.Host(r)
	if !ok {
		return "", false
	}
	host := r.Host
	for i := 0; i < len(host); i++ {
		if host[i] >= 0x80 {
			return canonical, true
		}
	}
	// A port is the last colon and what follows, unless that colon is within the brackets of an IPv6 address.
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		host = host[:i]
	}
	return host, true
}

// printable says whether nothing in the target could end a header field or a word in it. net/http refuses such a
// request line on its own; this holds whoever made the request.
func printable(target string) bool {
	for i := 0; i < len(target); i++ {
		if target[i] <= ' ' || target[i] == 0x7f {
			return false
		}
	}
	return true
}

func answer(w http.ResponseWriter, status int, text string) {
	header := w.Header()
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}
