package http1

import (
	"net/http"
	"strconv"
	"strings"
)

// How content ends where its length is not known before.
const (
	Chunked    = -1 // with its last chunk
	UntilClose = -2 // with the connection
)

// RequestLength says how long a request's content is: bytes, 0 where it has none, or [Chunked] (RFC 9112, section 6.3).
// minor is that of its version. The error is a [*SyntaxError] or a [CodingError].
func RequestLength(header http.Header, minor int) (int64, error) {
	return length(header["Content-Length"], header["Transfer-Encoding"], minor, 0)
}

// ContentLength says how long the content of a final response is that answers a request with this method: bytes, 0 where
// it has none, [Chunked] or [UntilClose] (RFC 9112, section 6.3). Lengths and codings are the values of all its
// Content-Length and of all its Transfer-Encoding fields. They are checked where they do not count, too: in the answer to
// HEAD, and in a 204 or 304. The error is a [*SyntaxError] or a [CodingError].
func ContentLength(method string, status, minor int, lengths, codings []string) (int64, error) {
	n, err := length(lengths, codings, minor, UntilClose)
	if method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified {
		n = 0
	}
	return n, err
}

// A CodingError says that content has a transfer coding besides or in place of "chunked", which nobody asked for (RFC
// 9112, section 6.1).
type CodingError struct{}

func (CodingError) Error() string { return `a Transfer-Encoding other than "chunked"` }

func length(lengths, codings []string, minor int, unknown int64) (int64, error) {
	switch {
	case len(codings) > 0:
		switch {
		case len(lengths) > 0:
			return 0, malformed("both Content-Length and Transfer-Encoding")
		case minor == 0:
			return 0, malformed("Transfer-Encoding in HTTP/1.0")
		case len(codings) > 1:
			return 0, malformed("more than one Transfer-Encoding")
		case !strings.EqualFold(codings[0], "chunked"):
			return 0, CodingError{}
		}
		return Chunked, nil
	case len(lengths) > 1:
		return 0, malformed("more than one Content-Length")
	case len(lengths) > 0:
		return ParseLength(lengths[0])
	}
	return unknown, nil
}

// ParseLength reads the value of a Content-Length, which is written in digits alone (RFC 9110, section 8.6). The error is a
// [*SyntaxError].
func ParseLength(s string) (int64, error) {
	for i := 0; i < len(s); i++ { // ParseInt takes signs
		if s[i] < '0' || s[i] > '9' {
			return 0, malformed("a Content-Length that is no number")
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, malformed("a Content-Length that is no number, or too large a one")
	}
	return n, nil
}
