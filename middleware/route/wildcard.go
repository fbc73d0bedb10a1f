package route

import "strings"

// isWildcard says whether a rule's host is a pattern.
func isWildcard(host string) bool { return strings.IndexByte(host, '*') >= 0 }

// suffix gives the labels that every host which matches a wildcard ends in, with at least a character and a dot before
// them: "example.com" for "*.example.com" and "app-*.example.com", "com" for "*-x.com", "" for "*" and "app.*".
func suffix(pattern string) string {
	_, labels, _ := strings.Cut(pattern[strings.LastIndexByte(pattern, '*')+1:], ".")
	return labels
}

// isPlain says whether a wildcard matches each host that has something before its suffix, so that no more than the
// suffix needs to be looked at.
func isPlain(pattern string) bool { return pattern == "*" || pattern == "*."+suffix(pattern) }

// matches says whether a host is one that the pattern stands for, where "*" is any run of characters: dots too, and the
// empty run.
func matches(pattern, host string) bool {
	// After a "*" the first place that fits is as good as any other, and when what follows it fails further on, only
	// the last "*" can still help by standing for one character more.
	var p, h int
	star, retry := -1, 0
	for h < len(host) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, retry = p, h
			p++
		case p < len(pattern) && pattern[p] == host[h]:
			p++
			h++
		case star >= 0:
			retry++
			p, h = star+1, retry
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
