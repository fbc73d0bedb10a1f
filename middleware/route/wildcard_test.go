package route

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestMatches_TakesStarsForAnyRunOfCharacters(t *testing.T) {
	cases := []struct {
		pattern string
		yes, no []string
	}{
		{"*", []string{"a", "a.com", "[::1]"}, nil},
		{"*.a.com", []string{"x.a.com", "x.y.a.com"}, []string{"a.com", "xa.com", "x.a.com.org", "x.aXcom"}},
		{"app-*.a.com", []string{"app-.a.com", "app-1.a.com", "app-x.y.a.com"}, []string{"app.a.com", "xapp-1.a.com"}},
		{"*-x.com", []string{"a-x.com", "a.b-x.com"}, []string{"x.com", "a-x.org", "a-xx.com"}},
		{"a.*", []string{"a.com", "a.b.com"}, []string{"a", "b.a.com"}},
		{"a.*.com", []string{"a.b.com", "a.b.c.com"}, []string{"a.com", "x.a.b.com"}},
		{"*a*b*", []string{"ab", "xaxbx", "aab", "abab"}, []string{"ba", "a", "b"}},
		{"*ab", []string{"ab", "aab", "abab"}, []string{"aba", "b"}},
	}
	for _, c := range cases {
		for _, host := range c.yes {
			assert.True(t, matches(c.pattern, host), "%s matches %s", c.pattern, host)
		}
		for _, host := range c.no {
			assert.False(t, matches(c.pattern, host), "%s matches %s", c.pattern, host)
		}
	}
}

func TestSuffix_IsTheWholeLabelsAfterTheLastStar(t *testing.T) {
	for _, c := range []struct {
		pattern, suffix string
		plain           bool
	}{
		{"*", "", true}, {"*.com", "com", true}, {"*.a.com", "a.com", true},
		{"app-*.a.com", "a.com", false}, {"*.b.*.a.com", "a.com", false}, {"*-x.com", "com", false},
		{"*a.b.com", "b.com", false}, {"*x", "", false}, {"a.*", "", false},
	} {
		assert.Equal(t, c.suffix, suffix(c.pattern), c.pattern)
		assert.Equal(t, c.plain, isPlain(c.pattern), c.pattern)
	}
}

func FuzzMatches(f *testing.F) {
	f.Add("*.a.com", "x.a.com")
	f.Add("a*b*c", "aXbXbXc")
	f.Add("*a*", "bbbb")
	f.Fuzz(func(t *testing.T, pattern, host string) {
		if len(pattern) > 64 || len(host) > 253 {
			return
		}
		like := regexp.MustCompile("(?s)^" + strings.ReplaceAll(regexp.QuoteMeta(toLatin(pattern)), `\*`, ".*") + "$")
		assert.Equal(t, like.MatchString(toLatin(host)), matches(pattern, host))
	})
}

// toLatin makes each byte a character, which is what a regexp compares.
func toLatin(s string) string {
	runes := make([]rune, len(s))
	for i := 0; i < len(s); i++ {
		runes[i] = rune(s[i])
	}
	return string(runes)
}
