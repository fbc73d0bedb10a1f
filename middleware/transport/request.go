package transport

import (
	"net/http"

	"github.com/tricot-proxy/tricot/pipeline"
)

// outgoing is the request that a backend gets for r. Its target stands in RequestURI; upgrade is what [upgradeOf] gave.
func outgoing(r *http.Request, backend *pipeline.Backend, body *requestBody, upgrade string, trusted peers) *http.Request {
	header := make(http.Header, len(r.Header)+6)
	for name, values := range r.Header {
		header[name] = values
	}
	removeHopByHop(header)
	delete(header, "Content-Length") // as ContentLength below
	if !r.ProtoAtLeast(1, 1) {
		delete(header, "Expect") // RFC 9110, section 10.1.1
	}
	switch {
	case upgrade != "":
		header["Connection"] = []string{"Upgrade"}
		header["Upgrade"] = []string{upgrade}
	case pipeline.HasToken(r.Header["Te"], "trailers"):
		header["Te"] = []string{"trailers"}
		if backend.Scheme == pipeline.HTTP { // HTTP/2 has no Connection
			header["Connection"] = []string{"TE"}
		}
	}
	if _, ok := header["User-Agent"]; !ok {
		header["User-Agent"] = nil // or net/http puts its own name in
	}
	setForwarded(header, r, trusted)

	out := &http.Request{
		Method:     r.Method,
		Proto:      "HTTP/1.1",
		ProtoMajor: 1,
		ProtoMinor: 1,
		Header:     header,
		Host:       r.Host,
		RequestURI: pipeline.Target(r),
	}
	if out.Host == "" {
		out.Host = backend.Address // HTTP/1.1 needs one
	}
	if body != nil {
		out.Body, out.GetBody, out.ContentLength, out.Trailer = body, body.again, r.ContentLength, body.trailers
		if body.trailers != nil {
			// Only a chunked body has room for trailers on HTTP/1.1.
			out.ContentLength, out.TransferEncoding = -1, []string{"chunked"}
		}
	}
	return out.WithContext(r.Context())
}
