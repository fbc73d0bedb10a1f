package certs

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/tricot-proxy/tricot/certs/store"
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
	var hosts []Wanted
	for _, host := range []string{"b.test", "A.test.", "b.test", "*", "[::1]", "a*.b.c", "127.0.0.1", "*", "", "no name"} {
		hosts = append(hosts, Wanted{Host: host})
	}
	names, wildcards := wanted(hosts, "")
	assert.Equal(t, []string{"127.0.0.1", "::1", "a.test", "b.test"}, names)
	assert.Equal(t, []wildcard{{"a*.b.c", ""}, {"*", ""}}, wildcards)
}

func TestWanted_LooksAtTheLongestWildcardWithAnEndpointFirst(t *testing.T) {
	hosts := []Wanted{
		{Host: "*"}, {Host: "*.long.example.com"}, {Host: "*.b.test", Ask: "u2"}, {Host: "*.example.com", Ask: "u1"},
		{Host: "*.a.test", Ask: "a longer one"}, {Host: "*.b.test", Ask: "u3"}, {Host: "*", Ask: "u4"}, {Host: "exact.test", Ask: "u5"},
	}
	names, wildcards := wanted(hosts, "")
	assert.Equal(t, []string{"exact.test"}, names)
	assert.Equal(t, []wildcard{
		{"*.example.com", "u1"}, {"*.a.test", "a longer one"}, {"*.b.test", "u2"}, {"*", "u4"}, {"*.long.example.com", ""},
	}, wildcards)
	_, wildcards = wanted(hosts, "default")
	assert.Equal(t, []wildcard{
		{"*.long.example.com", "default"}, {"*.example.com", "u1"}, {"*.a.test", "a longer one"}, {"*.b.test", "u2"}, {"*", "u4"},
	}, wildcards)

	for name, ask := range map[string]string{"x.long.example.com": "u1", "x.b.test": "u2", "else.org": "u4"} {
		_, wildcards := wanted(hosts, "")
		url, found := search(wildcards, name)
		assert.True(t, found)
		assert.Equal(t, ask, url, name)
	}
}

func TestPublic_IsTrueForNamesThatThePublicDNSCanHave(t *testing.T) {
	label63 := strings.Repeat("a", 63)
	host253 := strings.Repeat(label63+".", 3) + strings.Repeat("b", 61)
	for _, name := range []string{"a.b", "app.example.com", "xn--bcher-kva.example", "1.2.3.4.example.com", "a-1.b-2.c3", "0.a0", host253} {
		assert.True(t, public(name), name)
	}
	for _, name := range []string{
		"", ".", "localhost", "a.", ".a", "a..b", "A.example.com", "a_b.example.com", "*.example.com", "-a.example.com",
		"a-.example.com", "a.-b", "a.b-", "127.0.0.1", "::1", "[::1]", "1.2", "a.1", "a b.example.com", "a/b.example.com",
		"bücher.example", "a.example.com\x00", "a%2e.example.com", label63 + "a.example.com", host253 + "b", strings.Repeat("a.", 1000),
	} {
		assert.False(t, public(name), name)
	}
}

func FuzzPublic(f *testing.F) {
	f.Add("app.example.com")
	f.Add("a..b-.1")
	f.Add("127.0.0.1")
	expression := regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	number := regexp.MustCompile(`\.[0-9]+$`)
	f.Fuzz(func(t *testing.T, name string) {
		want := len(name) <= 253 && expression.MatchString(name) && !number.MatchString(name)
		assert.Equal(t, want, public(name), "%q", name)
		if public(name) {
			assert.Equal(t, name, canonical(name))
			assert.NoError(t, store.CheckKey(key(name)))
			assert.False(t, address(name).IsValid())
		}
	})
}

func TestBackoff_DoublesUpToItsLimit(t *testing.T) {
	for tries, most := range map[int]time.Duration{
		1: 5 * time.Second, 2: 10 * time.Second, 5: 80 * time.Second, 100: time.Hour, 1 << 30: time.Hour,
	} {
		pause := backoff(tries, 5*time.Second, time.Hour)
		assert.LessOrEqual(t, pause, most)
		assert.GreaterOrEqual(t, pause, most/2)
	}
	assert.LessOrEqual(t, backoff(1, 5*time.Second, time.Second), time.Second)
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"hostname":"a.test","date":"2026-01-01","valid_days":90,"key_pem":"","fullchain_pem":""}`))
	f.Add([]byte(`{"hostname":1}`))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----"))
	f.Fuzz(func(t *testing.T, value []byte) {
		cert, err := decode("a.test", store.Record{Value: value}, time.Now())
		if err == nil {
			assert.NoError(t, cert.Leaf.VerifyHostname("a.test"))
		} else {
			assert.Nil(t, cert)
		}
	})
}
