package certs

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestMatches_TakesAStarForAnyRunOfCharacters(t *testing.T) {
	for _, test := range []struct {
		wildcard, name string
		want           bool
	}{
		{"*", "app.example.com", true},
		{"*", "localhost", true},
		{"*.example.com", "app.example.com", true},
		{"*.example.com", "a.b.example.com", true},
		{"*.example.com", "example.com", false},
		{"*.example.com", "app.example.com.evil.test", false},
		{"*.example.com", "notexample.com", false},
		{"a*.b.c", "a.b.c", true},
		{"a*.b.c", "a1.x.b.c", true},
		{"a*.b.c", "b.b.c", false},
		{"a*a", "a", false},
		{"a*a", "aa", true},
		{"a*b*c", "axbxbxc", true},
		{"a*b*c", "axc", false},
		{"*b*", "abc", true},
		{"app.example.com", "app.example.com", true},
		{"app.example.com", "app.example.co", false},
	} {
		assert.Equal(t, test.want, matches(test.wildcard, test.name), "%s %s", test.wildcard, test.name)
	}
}

func FuzzMatches(f *testing.F) {
	f.Add("a*b*c", "axbxc")
	f.Add("*.example.com", "a.b.example.com")
	f.Fuzz(func(t *testing.T, wildcard, name string) {
		if len(wildcard) > 50 || len(name) > 50 {
			return
		}
		reference := "(?s)^" + strings.ReplaceAll(regexp.QuoteMeta(wildcard), `\*`, ".*") + "$"
		expression, err := regexp.Compile(reference)
		if err != nil {
			return // not UTF-8
		}
		assert.Equal(t, expression.MatchString(name), matches(wildcard, name), "%q %q", wildcard, name)
	})
}

func TestWanted_SortsHostsIntoNamesAndWildcards(t *testing.T) {
	names, wildcards := wanted([]string{"b.test", "A.test.", "b.test", "*", "[::1]", "a*.b.c", "127.0.0.1", "*", "", "no name"})
	assert.Equal(t, []string{"127.0.0.1", "::1", "a.test", "b.test"}, names)
	assert.Equal(t, []string{"*", "a*.b.c"}, wildcards)
}

func TestBackoff_DoublesUpToItsLimit(t *testing.T) {
	for tries, most := range map[int]time.Duration{
		1: 5 * time.Second, 2: 10 * time.Second, 5: 80 * time.Second, 100: time.Hour, 1 << 30: time.Hour,
	} {
		pause := backoff(tries, time.Hour)
		assert.LessOrEqual(t, pause, most)
		assert.GreaterOrEqual(t, pause, most/2)
	}
	assert.LessOrEqual(t, backoff(1, time.Second), time.Second)
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"hostname":"a.test","date":"2026-01-01","valid_days":90,"key_pem":"","fullchain_pem":""}`))
	f.Add([]byte(`{"hostname":1}`))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----"))
	f.Fuzz(func(t *testing.T, value []byte) {
		cert, err := decode("a.test", value, time.Now())
		if err == nil {
			assert.NoError(t, cert.Leaf.VerifyHostname("a.test"))
		} else {
			assert.Nil(t, cert)
		}
	})
}
