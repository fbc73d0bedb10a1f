package http1

import "strings"

// A Field is one field line: its name in canonical form, and its value without the white space around it.
type Field struct{ Name, Value string }

// AppendFields reads field lines as [ParseFields] does, and keeps them in their order: for whoever has to decide about
// each before it goes anywhere. The strings share the memory of lines. On an error it gives those before it.
func AppendFields(to []Field, lines string) ([]Field, error) {
	for first := len(to); lines != ""; {
		if len(to)-first == MaxFields {
			return to, ErrTooLarge
		}
		line, rest, err := CutLine(lines)
		if err != nil {
			return to, err
		}
		name, value, err := parseField(line)
		if err != nil {
			return to, err
		}
		to = append(to, Field{name, value})
		lines = rest
	}
	return to, nil
}

// ParseStatusLine reads the first line of a response, without its CRLF (RFC 9112, section 4): the minor version, and a
// status from 100 to 999. Versions other than HTTP/1.0 and HTTP/1.1 are refused. The error is a [*SyntaxError].
func ParseStatusLine(line string) (minor, status int, err error) {
	const version, least = "HTTP/1.", len("HTTP/1.1 200")
	switch {
	case !strings.HasPrefix(line, "HTTP/"):
		return 0, 0, malformed("malformed status line")
	case !strings.HasPrefix(line, version) || len(line) < least || line[len(version)] != '0' && line[len(version)] != '1' ||
		line[len(version)+1] != ' ':
		return 0, 0, malformed("malformed status line, or a version other than HTTP/1.0 and HTTP/1.1")
	}
	for _, digit := range []byte(line[least-3 : least]) {
		if digit < '0' || digit > '9' {
			return 0, 0, malformed("malformed status line: the status is no number of three digits")
		}
		status = status*10 + int(digit-'0')
	}
	reason := line[least:]
	switch {
	case status < 100:
		return 0, 0, malformed("malformed status line: the status is below 100")
	case reason != "" && reason[0] != ' ':
		return 0, 0, malformed("malformed status line: the status is no number of three digits")
	case !isValue(reason):
		return 0, 0, malformed("malformed status line: a control character in the reason")
	}
	return int(line[len(version)] - '0'), status, nil
}
