package pipeline

import (
	"net/textproto"
	"strings"
)

// HasToken says whether a field whose values are comma-separated lists, such as Connection, Vary or Cache-Control, has
// this element, in any case (RFC 9110, section 5.6.1). It allocates nothing.
func HasToken(values []string, token string) bool {
	for _, value := range values {
		for more := true; more; {
			var element string
			element, value, more = strings.Cut(value, ",")
			if strings.EqualFold(textproto.TrimString(element), token) {
				return true
			}
		}
	}
	return false
}
