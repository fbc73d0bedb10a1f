package transport

import (
	"iter"
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/tricot-proxy/tricot/pipeline"
)

// removeHopByHop leaves of an answer the fields that are for the client: not those that Connection names, and not those
// that are for one connection only whether it names them or not (RFC 9110, section 7.6.1; section 11.7 for the Proxy-Auth*
// fields, which are not for this kind of proxy).
func removeHopByHop(header http.Header) {
	for name := range tokens(header["Connection"]) {
		header.Del(name)
	}
	for name := range header {
		if isHopByHop(name) {
			delete(header, name)
		}
	}
}

func isHopByHop(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
		"Proxy-Authenticate", "Proxy-Authorization", "Proxy-Authentication-Info", "Http2-Settings":
		return true
	}
	return false
}

// namesFields says whether Connection has anything that may be the name of a field, besides the usual options.
func namesFields(connection []string) bool {
	for _, value := range connection {
		switch value {
		case "", "close", "keep-alive", "Keep-Alive", "Close", "Upgrade", "upgrade", "keep-alive, Upgrade":
		default:
			return true
		}
	}
	return false
}

// isTrailer says whether a field may come after the content: neither framing nor routing nor how to read it (RFC 9110,
// section 6.5.1), and not for the next connection only.
func isTrailer(name string) bool {
	return httpguts.ValidTrailerHeader(name) && name != "Upgrade"
}

// isRequestTrailer leaves out what a backend that merges trailers into the header would take for our word, and what the
// client's Connection names.
func isRequestTrailer(name string, connection []string) bool {
	return isTrailer(name) && !isForwarding(name) && !isDisguised(name) && !pipeline.HasToken(connection, name)
}

// add puts the fields of one header behind what is in another.
func add(to, from http.Header) {
	for name, values := range from {
		if own := to[name]; len(own) > 0 {
			values = append(own[:len(own):len(own)], values...)
		}
		to[name] = values
	}
}

// tokens goes through the elements of a comma-separated list that may be spread over several fields (RFC 9110, section
// 5.6.1).
func tokens(values []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, value := range values {
			for more := true; more; {
				var token string
				token, value, more = strings.Cut(value, ",")
				if token = strings.Trim(token, " \t"); token != "" && !yield(token) {
					return
				}
			}
		}
	}
}
