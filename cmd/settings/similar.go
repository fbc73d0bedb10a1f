package settings

import "strings"

// similar gives the name that somebody most likely meant, empty where none is near.
func similar(name string, among []string) string {
	name = strings.ToLower(strings.ReplaceAll(name, "-", "_"))
	// A long name is never near enough, and would be slow to compare.
	if len(name) > 64 {
		return ""
	}
	best, nearest := "", 1+max(1, min(len(name)/3, 3))
	for _, candidate := range among {
		if d := distance(name, strings.ToLower(candidate)); d < nearest {
			best, nearest = candidate, d
		}
	}
	return best
}

// distance is the number of characters that are inserted, deleted, replaced or swapped with their neighbour to make one
// word of the other (optimal string alignment).
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replaced := last[j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			row[j] = min(last[j]+1, row[j-1]+1, replaced)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
