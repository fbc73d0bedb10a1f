// Package exchange is what a request and its answer need in any version of HTTP (RFC 9110): the request's context, its URL,
// the answer's Date, and whether the answer has content. The servers of HTTP/1.1 and HTTP/2 are built on it, so that a
// handler finds the same whichever its client speaks. It needs nothing and sets nothing.
package exchange

import (
	"iter"
	"net/http"
	"net/textproto"
	"strings"
)

// HasContent says whether a response with this status has content, or may have: an informational one has none, nor have 204
// and 304 (RFC 9110, section 6.4.1). For HEAD and CONNECT that is another question.
func HasContent(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// Elements gives what a field whose value is a list has in all of its lines, without white space and empty elements (RFC
// 9110, section 5.6.1).
func Elements(values []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, value := range values {
			for element := range strings.SplitSeq(value, ",") {
				if element = textproto.TrimString(element); element != "" && !yield(element) {
					return
				}
			}
		}
	}
}
