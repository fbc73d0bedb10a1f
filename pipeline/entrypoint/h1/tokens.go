package h1

import (
	"iter"
	"strings"
)

// elements gives what a field whose value is a list has in all of its lines (RFC 9110, section 5.6.1).
func elements(values []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, value := range values {
			for element := range strings.SplitSeq(value, ",") {
				if element = strings.Trim(element, " \t"); element != "" && !yield(element) {
					return
				}
			}
		}
	}
}

// hasToken says whether such a field has a token, in whatever case.
func hasToken(values []string, token string) bool {
	for element := range elements(values) {
		if strings.EqualFold(element, token) {
			return true
		}
	}
	return false
}
