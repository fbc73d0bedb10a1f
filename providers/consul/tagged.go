package consul

import (
	"slices"
	"strings"
)

// word is the first word of a tag for Tricot, or what it starts with before a "-".
const word = "tricot"

// tagged says whether one of the tags is for Tricot. What it says is the business of package tag.
func tagged(tags []string) bool { return slices.ContainsFunc(tags, isOurs) }

func isOurs(tag string) bool {
	rest, ok := strings.CutPrefix(strings.TrimLeft(tag, " "), word)
	return ok && (rest == "" || rest[0] == ' ' || rest[0] == '-')
}
