package acme_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tricot-proxy/tricot/certs/acme"
)

func TestSignable_SaysWhyNoCASignsForAName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"example.com":                     "",
		"App.Example.COM.":                "",
		"xn--bcher-kva.example.com":       "",
		"a-b.3com.co.uk":                  "",
		"mylocal":                         "single label",
		"my-localhost.de":                 "",
		"testing.notinternal":             "",
		strings.Repeat("a", 63) + ".de":   "",
		"":                                "empty",
		".":                               "empty",
		"localhost":                       ".localhost is not in the public DNS",
		"app.localhost":                   ".localhost is not",
		"printer.local":                   ".local is not",
		"db.service.internal":             ".internal is not",
		"a.test":                          ".test is not",
		"a.example":                       ".example is not",
		"a.invalid":                       ".invalid is not",
		"a.onion":                         ".onion is not",
		"a.alt":                           ".alt is not",
		"box.home.arpa":                   ".home.arpa is not",
		"web":                             "single label",
		"127.0.0.1":                       "IP address",
		"::1":                             "IP address",
		"[2001:db8::1]":                   "IP address",
		"1.2.3.400":                       "number",
		"*":                               "wildcard",
		"*.example.com":                   "wildcard",
		"a_b.example.com":                 `"_"`,
		"a..example.com":                  "empty label",
		".example.com":                    "empty label",
		"-a.example.com":                  `begins or ends with "-"`,
		"a-.example.com":                  `begins or ends with "-"`,
		"bücher.example.com":              "character that no host name has",
		"a b.example.com":                 "character that no host name has",
		strings.Repeat("a", 64) + ".de":   "63 characters",
		strings.Repeat("a.", 127) + "de":  "253 characters",
		"example.com:443":                 "character that no host name has",
		"example.com/.well-known/../x.de": "character that no host name has",
	} {
		ok, reason := acme.Signable(name)
		assert.Equal(t, want == "", ok, name)
		assert.Contains(t, reason, want, name)
		assert.Equal(t, ok, reason == "", name)
	}
}

func FuzzSignable(f *testing.F) {
	for _, seed := range []string{"example.com", "localhost", "127.0.0.1", "*.a.de", "a_b.de", "xn--a.de", "1.2.3"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		ok, reason := acme.Signable(name)
		if ok != (reason == "") {
			t.Fatalf("%q: %v, %q", name, ok, reason)
		}
		if !ok {
			return
		}
		if _, err := netip.ParseAddr(name); err == nil || strings.ContainsAny(name, "_*/: \x00\n") ||
			!strings.Contains(strings.TrimSuffix(name, "."), ".") || len(name) > 254 {
			t.Fatalf("%q is signable", name)
		}
	})
}
