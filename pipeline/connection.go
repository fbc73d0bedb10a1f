package pipeline

import (
	"net/http"
	"net/textproto"
	"strings"
)

// removeNamed takes out of a request what its Connection field names: that was for this end of the connection only (RFC
// 9110, section 7.6.1). It is done before any stage sees the request, so that a client cannot name what a stage will add,
// and have it taken out on the way to the backend. What is left for the transport stage is Connection itself, Upgrade and
// TE, which are about the next connection, too.
func removeNamed(header http.Header) {
	for _, options := range header["Connection"] {
		switch options {
		case "keep-alive", "close", "Upgrade", "keep-alive, Upgrade": // as almost all are
			continue
		}
		for more := true; more; {
			var option string
			option, options, more = strings.Cut(options, ",")
			switch name := http.CanonicalHeaderKey(textproto.TrimString(option)); name {
			case "Connection", "Upgrade", "Te":
			default:
				delete(header, name)
			}
		}
	}
}
