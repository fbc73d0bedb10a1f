package settings

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// A Problem is one thing that is wrong with the settings.
type Problem struct {
	// Key is the setting's, empty where the problem is no single setting's: a file that cannot be read.
	Key string
	// Value is what was given, "***" for a secret; empty where nothing was, or where it could be a secret.
	Value string
	// Source is where it was given: "tricot.yaml:12", "variable TRICOT_HTTP_BIND_ADDR", "flag --http-bind-addr" or
	// "default".
	Source string
	// Reason says what is wrong, and what was expected.
	Reason string

	from source
}

// String is the problem on one line.
func (p Problem) String() string {
	parts := []string{p.Source}
	switch {
	case p.Key != "" && p.Value != "":
		parts = append(parts, p.Key+" = "+quoted(p.Value))
	case p.Key != "":
		parts = append(parts, p.Key)
	}
	return strings.Join(append(parts, p.Reason), ": ")
}

// Problems is the error of [Schema.Load]: all that is wrong, what the file says in the order of its lines, then the
// rest by key. It is never empty.
type Problems []Problem

// Error gives one line for each problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}

// Sort puts problems into that order.
func (p Problems) Sort() {
	slices.SortStableFunc(p, func(a, b Problem) int {
		if aFile, bFile := a.from.place == inFile, b.from.place == inFile; aFile != bFile {
			if aFile {
				return -1
			}
			return 1
		}
		if c := cmp.Compare(a.from.line, b.from.line); c != 0 {
			return c
		}
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Source, b.Source))
	})
}

// Problem makes a problem of the value that is in force for a key, for whoever finds out later that it does not work.
// The key must be one of the settings.
func (s *Settings) Problem(key, reason string) Problem {
	value := s.inForce[key]
	return problem(key, s.schema.byKey[key].display(value), value.from, reason)
}

func problem(key, value string, from source, reason string) Problem {
	return Problem{Key: key, Value: value, Source: from.String(), Reason: reason, from: from}
}

// quoted puts quotes around a value, and cuts one that is too long for a line.
func quoted(value string) string {
	const longest = 200
	if runes := []rune(value); len(runes) > longest {
		value = string(runes[:longest]) + "…"
	}
	return strconv.Quote(value)
}
