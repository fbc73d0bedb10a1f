package tag

import (
	"errors"
	"fmt"
	"net/textproto"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// parseHeader reads what follows tricot-add-header.
func parseHeader(fields string) (Header, error) {
	name, value := cut(fields)
	value = strings.Trim(value, " \t")
	switch {
	case name == "":
		return Header{}, errors.New("no header: expected " + wordAddHeader + " NAME VALUE")
	case !httpguts.ValidHeaderFieldName(name):
		return Header{}, fmt.Errorf("header name %q: expected letters, digits and any of !#$%%&'*+-.^_`|~", name)
	case steersConnection(name):
		return Header{}, fmt.Errorf("header %s: expected another name, this one frames the response or steers the connection, "+
			"which is left to Tricot", name)
	case value == "":
		return Header{}, fmt.Errorf("header %s: expected a value after the name", name)
	case !httpguts.ValidHeaderFieldValue(value):
		return Header{}, fmt.Errorf("header %s: expected a value without control characters", name)
	}
	return Header{Name: textproto.CanonicalMIMEHeaderKey(name), Value: value}, nil
}

// steersConnection is true for the fields that are not the response's but the connection's (RFC 9110, section 7.6.1) and
// those that say where the response ends (RFC 9112, section 6).
func steersConnection(name string) bool {
	switch textproto.CanonicalMIMEHeaderKey(name) {
	case "Connection", "Http2-Settings", "Keep-Alive", "Proxy-Connection", "Te", "Upgrade",
		"Content-Length", "Trailer", "Transfer-Encoding":
		return true
	}
	return false
}
