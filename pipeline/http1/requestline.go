package http1

import "strings"

// A RequestLine is the first line of a request (RFC 9112, section 3), or what of it could be read.
type RequestLine struct {
	Method  string // a token
	Target  string // as it stands there; [TargetForm] says whether it is one
	Version string // such as "HTTP/1.1"
	Major   int
	Minor   int
}

// ParseRequestLine reads a request line without its CRLF. Its parts are separated by one space each; they share the memory
// of line. The error is a [*SyntaxError]: of a version there are only the digits to check, and which ones the caller takes
// is left to it.
func ParseRequestLine(line string) (RequestLine, error) {
	var l RequestLine
	method, rest, ok := strings.Cut(line, " ")
	if !ok || !IsToken(method) {
		return l, malformed("a request line without a method")
	}
	target, version, ok := strings.Cut(rest, " ")
	if !ok || target == "" {
		return l, malformed("a request line that is not method, target and version")
	}
	const form = "HTTP/1.1"
	if len(version) != len(form) || version[:5] != form[:5] || !isDigit(version[5]) || version[6] != '.' || !isDigit(version[7]) {
		return l, malformed("a request line without a version")
	}
	return RequestLine{Method: method, Target: target, Version: version,
		Major: int(version[5] - '0'), Minor: int(version[7] - '0')}, nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
