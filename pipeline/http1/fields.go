package http1

import (
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// MaxFields is how many field lines a head or a trailer section may have. Each costs the reader some twenty times the
// memory that it costs the sender.
const MaxFields = 1000

// ParseFields reads field lines, each with its CRLF, into header, whose names are in canonical form, values without the
// white space around them. The strings share the memory of lines. More than 1,000 lines are [ErrTooLarge], whatever is
// not a field line is a [*SyntaxError], and header then holds those before it.
func ParseFields(lines string, header http.Header) error {
	count := strings.Count(lines, "\n")
	if count > MaxFields {
		return ErrTooLarge
	}
	values := make([]string, count)
	for lines != "" {
		line, rest, err := CutLine(lines)
		if err != nil {
			return err
		}
		name, value, err := parseField(line)
		if err != nil {
			return err
		}
		lines = rest
		if before := header[name]; before != nil {
			header[name] = append(before, value)
			continue
		}
		// Without room behind it, so that whoever appends gets a copy.
		values[0] = value
		header[name] = values[:1:1]
		values = values[1:]
	}
	return nil
}

// parseField reads one line without its CRLF.
func parseField(line string) (name, value string, err error) {
	colon, canonical, upper := 0, true, true
	for ; colon < len(line); colon++ {
		c := line[colon]
		if c == ':' {
			break
		}
		if !isToken(c) {
			return "", "", badName(line, c)
		}
		if upper {
			canonical = canonical && (c < 'a' || c > 'z')
		} else {
			canonical = canonical && (c < 'A' || c > 'Z')
		}
		upper = c == '-'
	}
	switch colon {
	case len(line):
		return "", "", malformed("a field line without a colon")
	case 0:
		return "", "", malformed("a field without a name")
	}
	name, value = line[:colon], trim(line[colon+1:])
	if !isValue(value) {
		return "", "", malformed("a control character in the value of the field " + strconv.Quote(name))
	}
	if !canonical {
		name = textproto.CanonicalMIMEHeaderKey(name)
	}
	return name, value, nil
}

// badName says what is wrong with a field line up to c, which is not part of a name.
func badName(line string, c byte) error {
	switch {
	case line[0] == ' ' || line[0] == '\t':
		return malformed("a field line that begins with white space")
	case c == ' ' || c == '\t':
		return malformed("white space in the name of a field")
	}
	return malformed("the character " + strconv.QuoteRuneToASCII(rune(c)) + " in the name of a field")
}

// trim takes the white space off both ends (OWS, RFC 9110, section 5.6.3).
func trim(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// isValue says whether a field's value has no control characters but tabs. Bytes above 0x7f pass (obs-text).
func isValue(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// IsToken says whether s is a token, such as a method or a field's name (RFC 9110, section 5.6.2).
func IsToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isToken(s[i]) {
			return false
		}
	}
	return s != ""
}

func isToken(c byte) bool {
	switch {
	case c < 64:
		return tokensBelow64>>c&1 != 0
	case c < 128:
		return tokensFrom64>>(c-64)&1 != 0
	}
	return false
}

// A bit for each character of a token: digits and !#$%&'*+-. , letters and ^_`|~ .
const (
	tokensBelow64 uint64 = 0x3ff6cfa00000000
	tokensFrom64  uint64 = 0x57ffffffc7fffffe
)

// AppendField writes a field line. A line break in the value, which a program may have put there but no message that was
// read here, becomes a space.
func AppendField(to []byte, name, value string) []byte {
	to = append(to, name...)
	to = append(to, ": "...)
	if strings.IndexByte(value, '\n') >= 0 || strings.IndexByte(value, '\r') >= 0 {
		value = strings.NewReplacer("\r", " ", "\n", " ").Replace(value)
	}
	to = append(to, value...)
	return append(to, "\r\n"...)
}
