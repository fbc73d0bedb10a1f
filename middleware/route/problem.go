package route

import (
	"cmp"
	"fmt"
	"strings"
)

// A Problem is a tag that is malformed. It is comparable: two that are equal are the same tag on the same instance with
// the same reason.
type Problem struct {
	// Service and ID name the instance that has the tag, Node says where it runs and may be empty.
	Service, ID, Node string
	Tag, Reason       string
}

func (p Problem) Error() string {
	where := "instance " + p.ID
	if p.Node != "" {
		where += " on node " + p.Node
	}
	return fmt.Sprintf("tag %q of service %s (%s): %s", Masked(p.Tag, p.Tag), p.Service, where, Masked(p.Tag, p.Reason))
}

// compareProblems orders them for people. It is 0 for equal ones only.
func compareProblems(a, b Problem) int {
	return cmp.Or(
		strings.Compare(a.Service, b.Service), strings.Compare(a.ID, b.ID), strings.Compare(a.Tag, b.Tag),
		strings.Compare(a.Node, b.Node), strings.Compare(a.Reason, b.Reason),
	)
}

// Masked gives a text on a tag, or the tag itself, without what may be a secret in the URL of tricot-on-demand-tls-ask: the
// query, and what stands before an "@".
func Masked(tag, text string) string {
	if !strings.HasPrefix(strings.TrimSpace(tag), "tricot-on-demand-tls-ask") {
		return text
	}
	var shown strings.Builder
	for text != "" {
		end := strings.IndexAny(text, " \t\"")
		if end < 0 {
			end = len(text)
		}
		shown.WriteString(maskedURL(text[:end]))
		if end < len(text) {
			shown.WriteByte(text[end])
			end++
		}
		text = text[end:]
	}
	return shown.String()
}

func maskedURL(word string) string {
	before, query, found := strings.Cut(word, "?")
	if scheme, rest, isURL := strings.Cut(before, "//"); isURL {
		if at := strings.LastIndexByte(rest, '@'); at >= 0 {
			before = scheme + "//***" + rest[at:]
		}
	}
	switch {
	case !found:
		return before
	case query == "":
		return before + "?"
	}
	return before + "?***"
}
