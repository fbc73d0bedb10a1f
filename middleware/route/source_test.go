package route

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tricot-proxy/tricot/providers"
)

func TestMatch_FindsEqualInstancesEachOnce(t *testing.T) {
	instances := func(ids ...string) []providers.Instance {
		var all []providers.Instance
		for _, id := range ids {
			all = append(all, instance(id, "tricot a.com"))
		}
		return all
	}
	for _, c := range []struct{ is, was, want string }{
		{"", "", ""}, {"abc", "", "---"}, {"", "abc", ""}, {"abc", "abc", "012"},
		{"bc", "abc", "12"}, {"ab", "abc", "01"}, {"ac", "abc", "02"}, {"abc", "ac", "0-1"}, {"xabc", "abc", "-012"}, {"abcx", "abc", "012-"},
		{"axc", "abc", "0-2"}, {"cab", "abc", "201"}, {"bac", "abc", "102"}, {"dcba", "abcd", "3210"},
		{"aa", "a", "0-"}, {"a", "aa", "0"}, {"aab", "ab", "0-1"}, {"xaay", "yax", "21-0"},
	} {
		got := ""
		for _, at := range match(instances(slices.Collect(letters(c.is))...), instances(slices.Collect(letters(c.was))...), new(pace)) {
			if at < 0 {
				got += "-"
			} else {
				got += string(rune('0' + at))
			}
		}
		assert.Equal(t, c.want, got, "%s after %s", c.is, c.was)
	}
}

func letters(text string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, r := range text {
			if !yield(string(r)) {
				return
			}
		}
	}
}

func TestMatch_TakesNoInstanceForAnotherThatDiffersInAnything(t *testing.T) {
	was := []providers.Instance{at("n1", "s1", "a", "tricot a.com", "tricot b.com")}
	assert.Equal(t, []int{0}, match([]providers.Instance{at("n1", "s1", "a", "tricot a.com", "tricot b.com")}, was, new(pace)))
	for name, change := range map[string]func(*providers.Instance){
		"ID":      func(i *providers.Instance) { i.ID = "b" },
		"service": func(i *providers.Instance) { i.Service = "b" },
		"address": func(i *providers.Instance) { i.Address = "10.0.0.2" },
		"port":    func(i *providers.Instance) { i.Port = 81 },
		"node":    func(i *providers.Instance) { i.Node = "n2" },
		"site":    func(i *providers.Instance) { i.Site = "s2" },
		"health":  func(i *providers.Instance) { i.Healthy = false },
		"tags":    func(i *providers.Instance) { i.Tags = []string{"tricot a.com"} },
		"tag":     func(i *providers.Instance) { i.Tags = []string{"tricot a.com", "tricot c.com"} },
	} {
		is := was[0]
		change(&is)
		assert.Equal(t, []int{-1}, match([]providers.Instance{is}, was, new(pace)), name)
	}
}
