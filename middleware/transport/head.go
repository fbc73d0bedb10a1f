package transport

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/tricot-proxy/tricot/pipeline"
	"github.com/tricot-proxy/tricot/pipeline/http1"
)

// canSend says whether method, target and host can be written without becoming something else. What an HTTP/1.1 client
// sent can; HTTP/2 has room for more (RFC 9113, section 8.2.1).
func canSend(r *http.Request) bool {
	return http1.IsToken(r.Method) && isVisible(pipeline.Target(r)) && isVisible(r.Host)
}

func isVisible(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// appendHead writes the head of the request that a backend gets for r over HTTP/1.1. upgrade is what [upgradeOf] gave.
func appendHead(to []byte, r *http.Request, backend *pipeline.Backend, body *requestBody, upgrade string,
	trusted peers) []byte {
	to = append(to, r.Method...)
	to = append(to, ' ')
	to = append(to, pipeline.Target(r)...)
	to = append(to, " HTTP/1.1\r\nHost: "...)
	if r.Host != "" {
		to = append(to, r.Host...)
	} else {
		to = append(to, backend.Address...) // HTTP/1.1 needs one
	}
	to = append(to, "\r\n"...)

	peer := peerOf(r)
	believed := trusted.contain(peer)
	to = appendForwarded(to, r, peer, believed)
	trailers := false
	for name, values := range r.Header {
		switch {
		case name == "Te":
			trailers = pipeline.HasToken(values, "trailers")
		case name == "Content-Length", name == "Host", isHopByHop(name):
		case name == "X-Forwarded-For", name == "X-Forwarded-Proto", name == "X-Forwarded-Host": // above
		case !believed && isForwarding(name), isDisguised(name):
		case name == "Expect" && !r.ProtoAtLeast(1, 1): // RFC 9110, section 10.1.1
		default:
			to = appendFields(to, name, values)
		}
	}
	if trailers && upgrade == "" {
		to = append(to, "Te: trailers\r\nConnection: TE\r\n"...)
	}
	if upgrade != "" {
		to = append(to, "Connection: Upgrade\r\n"...)
		to = http1.AppendField(to, "Upgrade", upgrade)
	}
	return append(appendFraming(to, r.Method, body), "\r\n"...)
}

func appendFields(to []byte, name string, values []string) []byte {
	if !http1.IsToken(name) { // a stage of somebody's own may have set anything
		return to
	}
	for _, value := range values {
		to = http1.AppendField(to, name, value)
	}
	return to
}

// appendFraming says how long the body is.
func appendFraming(to []byte, method string, body *requestBody) []byte {
	switch {
	case body == nil:
		if method != http.MethodPost && method != http.MethodPut && method != http.MethodPatch {
			return to // who has no use for content would only wonder
		}
		return append(to, "Content-Length: 0\r\n"...)
	case !body.chunked():
		to = append(to, "Content-Length: "...)
		to = strconv.AppendInt(to, body.length, 10)
		return append(to, "\r\n"...)
	}
	if len(body.trailers) > 0 {
		names := make([]string, 0, len(body.trailers))
		for name := range body.trailers {
			names = append(names, name)
		}
		slices.Sort(names)
		to = append(to, "Trailer: "...)
		for i, name := range names {
			if i > 0 {
				to = append(to, ',')
			}
			to = append(to, name...)
		}
		to = append(to, "\r\n"...)
	}
	return append(to, "Transfer-Encoding: chunked\r\n"...)
}
