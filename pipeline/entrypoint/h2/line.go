package h2

import "strings"

// line is a field line, its name in canonical form.
type line struct{ name, value string }

// appendLines puts a field behind those that are there. What has no place in a value (RFC 9113, section 8.2.1), which a
// program may have put there but no message that was read here, becomes a space, and none of that is left at either end.
func appendLines(to []line, name string, values []string) []line {
	for _, value := range values {
		to = append(to, line{name, cleaned(value)})
	}
	return to
}

func cleaned(value string) string {
	var spaced []byte // nil while there is nothing to change
	for i := 0; i < len(value); i++ {
		if isControl(value[i]) {
			if spaced == nil {
				spaced = []byte(value)
			}
			spaced[i] = ' '
		}
	}
	if spaced != nil {
		value = string(spaced)
	}
	return strings.Trim(value, " \t")
}

func isControl(c byte) bool { return c < ' ' && c != '\t' || c == 0x7f }
