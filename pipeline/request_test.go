package pipeline

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHost_GivesTheCanonicalForm(t *testing.T) {
	label := strings.Repeat("a", 63)
	long := label + "." + label + "." + label + "." + strings.Repeat("a", 61) // 253 characters
	for given, want := range map[string]string{
		"app.example.com":           "app.example.com",
		"APP.Example.COM":           "app.example.com",
		"app.example.com.":          "app.example.com",
		"app.example.com:8443":      "app.example.com",
		"app.example.com.:8443":     "app.example.com",
		"app.example.com:":          "app.example.com",
		"localhost":                 "localhost",
		"my_service":                "my_service",
		"xn--bcher-kva.example":     "xn--bcher-kva.example",
		"bücher.example":            "xn--bcher-kva.example",
		"BÜCHER.example:443":        "xn--bcher-kva.example",
		"bücher。example":            "xn--bcher-kva.example",
		"bücher.example.":           "xn--bcher-kva.example",
		"192.0.2.1":                 "192.0.2.1",
		"192.0.2.1:80":              "192.0.2.1",
		"[2001:db8::1]":             "[2001:db8::1]",
		"[2001:DB8:0::1]:8443":      "[2001:db8::1]",
		"[::ffff:192.0.2.1]":        "[::ffff:192.0.2.1]",
		"[::1]:":                    "[::1]",
		long:                        long,
		"":                          "",
		".":                         "",
		":80":                       "",
		"app..example.com":          "",
		".example.com":              "",
		"app.example.com..":         "",
		"app.example.com:http":      "",
		"app.example.com:123456":    "",
		"app.example.com:80:80":     "",
		"app.example.com:-1":        "",
		"user@example.com":          "",
		"example.com/path":          "",
		"example.com?q":             "",
		"example.com#f":             "",
		"example.com\\x":            "",
		"a b":                       "",
		"a\tb":                      "",
		"a\r\nX: y":                 "",
		"a\x00":                     "",
		"a\x7f":                     "",
		"%61.example.com":           "",
		"*.example.com":             "",
		"::1":                       "",
		"[::1":                      "",
		"::1]":                      "",
		"[]":                        "",
		"[192.0.2.1]":               "",
		"[fe80::1%eth0]":            "",
		"[fe80::1%25eth0]":          "",
		"[::1]x":                    "",
		"[::1]:x":                   "",
		"[app.example.com]":         "",
		"\xff\xfe":                  "",
		"example．com／x":             "",
		"℀.example":                 "",
		label + "a.example":         "",
		long + "a":                  "",
		strings.Repeat("a.", 1<<12): "",
	} {
		got, ok := Host(&http.Request{Host: given})
		assert.Equal(t, want != "", ok, "%q gives %q", given, got)
		if ok {
			assert.Equal(t, want, got, "%q", given)
		}
	}
}

func TestHost_CostsNoAllocationInCanonicalForm(t *testing.T) {
	for _, host := range []string{
		"app.example.com", "app.example.com:8443", "app.example.com.", "xn--bcher-kva.example", "192.0.2.1:80",
		"[2001:db8::1]", "[2001:db8:1:2:3:4:5:6]:8443", "[::ffff:192.0.2.1]", "nobody@example.com",
	} {
		r := &http.Request{Host: host}
		assert.Zero(t, testing.AllocsPerRun(100, func() { Host(r) }), host)
	}
}

func FuzzHost(f *testing.F) {
	for _, seed := range []string{
		"app.example.com:8443", "BÜCHER.example.", "[2001:DB8:0::1]:80", "[::ffff:192.0.2.1]", "a。b", "xn--a", "℀", "ß.a:1",
		"a.\u00ad", "١.example", "[::%1]", "a\u200db.c",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, given string) {
		host, ok := canonicalHost(given)
		if !ok {
			return
		}
		name := host
		if inner, isV6 := strings.CutPrefix(host, "["); isV6 {
			name = strings.ReplaceAll(strings.TrimSuffix(inner, "]"), ":", "")
			require.NotEqual(t, inner, name, "a bracket is left")
		} else {
			require.NotEmpty(t, name)
			require.LessOrEqual(t, len(host), 253)
		}
		for _, c := range name {
			require.Contains(t, "abcdefghijklmnopqrstuvwxyz0123456789-_.", string(c), "%q", host)
		}
		again, ok := canonicalHost(host)
		require.True(t, ok, "%q", host)
		require.Equal(t, host, again)
		withPort, ok := canonicalHost(host + ":8443")
		require.True(t, ok, "%q", host)
		require.Equal(t, host, withPort)
	})
}

func TestTargetAndPath_AreWhatTheClientSent(t *testing.T) {
	for requestURI, want := range map[string][2]string{
		"/":                                {"/", "/"},
		"/a/../b//c/%2e%2E/%2Fd;x=1":       {"/a/../b//c/%2e%2E/%2Fd;x=1", "/a/../b//c/%2e%2E/%2Fd;x=1"},
		"/a?b=c?d&e=%20+":                  {"/a?b=c?d&e=%20+", "/a"},
		"/a?":                              {"/a?", "/a"},
		"/?":                               {"/?", "/"},
		"//other.example/x":                {"//other.example/x", "//other.example/x"},
		"/a?u=http://other.example/x":      {"/a?u=http://other.example/x", "/a"},
		"*":                                {"*", "*"},
		"http://app.example.com":           {"/", "/"},
		"http://app.example.com/":          {"/", "/"},
		"http://app.example.com/a/%2e?b=c": {"/a/%2e?b=c", "/a/%2e"},
		"http://app.example.com?b=/c":      {"/?b=/c", "/"},
		"HTTP://app.example.com//x":        {"//x", "//x"},
		"http:x?u=http://other.example/y":  {"/", "/"},
		"app.example.com:443":              {"/", "/"}, // CONNECT
		"/ü":                               {"/ü", "/ü"},
	} {
		r := &http.Request{RequestURI: requestURI, URL: &url.URL{Path: "/unused"}}
		assert.Equal(t, want[0], Target(r), requestURI)
		assert.Equal(t, want[1], Path(r), requestURI)
	}
}

func TestTarget_TakesTheURLOfARequestThatAProgramMade(t *testing.T) {
	r, err := http.NewRequest(http.MethodGet, "http://app.example.com/a%2Fb?c=d", nil)
	require.NoError(t, err)
	assert.Equal(t, "/a%2Fb?c=d", Target(r))
	assert.Equal(t, "/a%2Fb", Path(r))
}

func TestTarget_CostsNoAllocation(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "http://app.example.com/a?b", nil)
	assert.Zero(t, testing.AllocsPerRun(100, func() { Path(r) }))
}

func BenchmarkHost(b *testing.B) {
	for _, host := range []string{"app.example.com", "APP.example.com:8443", "bücher.example", "[2001:db8::1]:443"} {
		b.Run(host, func(b *testing.B) {
			b.ReportAllocs()
			r := &http.Request{Host: host}
			for b.Loop() {
				Host(r)
			}
		})
	}
}
