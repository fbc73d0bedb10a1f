package http1_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline/http1"
)

func TestParseRequestLine_ReadsItsParts(t *testing.T) {
	for line, want := range map[string]http1.RequestLine{
		"GET / HTTP/1.1":      {Method: "GET", Target: "/", Version: "HTTP/1.1", Major: 1, Minor: 1},
		"M-SEARCH * HTTP/1.0": {Method: "M-SEARCH", Target: "*", Version: "HTTP/1.0", Major: 1, Minor: 0},
		"get a HTTP/2.9":      {Method: "get", Target: "a", Version: "HTTP/2.9", Major: 2, Minor: 9},
	} {
		got, err := http1.ParseRequestLine(line)
		require.NoError(t, err, line)
		assert.Equal(t, want, got)
	}
}

func TestParseRequestLine_RefusesWhatIsNone(t *testing.T) {
	for _, line := range []string{
		"", " ", "GET", "GET /", "GET / ", "GET  / HTTP/1.1", "GET /  HTTP/1.1", "GET / HTTP/1.1 ", " GET / HTTP/1.1", "GET /a b HTTP/1.1",
		"GET\t/\tHTTP/1.1", "G T / HTTP/1.1", "G(T / HTTP/1.1", "\x00 / HTTP/1.1", "GET / HTTP/1", "GET / HTTP/1.", "GET / HTTP/.1",
		"GET / HTTP/11", "GET / HTTP/1.10", "GET / HTTP/+1.1", "GET / http/1.1", "GET / HTTPS/1.1", "GET / HTTP/1,1", "GET / HTTP/1.\xb9",
	} {
		_, err := http1.ParseRequestLine(line)
		var syntax *http1.SyntaxError
		assert.ErrorAs(t, err, &syntax, "%q", line)
	}
}

func TestTargetForm_KnowsTheFour(t *testing.T) {
	for _, c := range []struct {
		method, target string
		want           http1.Form
	}{
		{"GET", "/", http1.Origin},
		{"GET", "//a/b", http1.Origin},
		{"OPTIONS", "/*", http1.Origin},
		{"GET", "/a%zz?b?c|{}\"\xfc", http1.Origin},
		{"OPTIONS", "*", http1.Asterisk},
		{"GET", "http://a", http1.Absolute},
		{"GET", "HTTPS://a.example:8443?x=://", http1.Absolute},
		{"GET", "http://[::1]:80/x", http1.Absolute},
		{"CONNECT", "a.example:443", http1.Authority},
		{"CONNECT", "[::1]:443", http1.Authority},
	} {
		got, err := http1.TargetForm(c.method, c.target)
		require.NoError(t, err, "%s %s", c.method, c.target)
		assert.Equal(t, c.want, got, "%s %s", c.method, c.target)
	}
}

func TestTargetForm_RefusesWhatIsNoTarget(t *testing.T) {
	for _, c := range [][2]string{
		{"GET", ""}, {"GET", "a"}, {"GET", "*"}, {"GET", "a:443"}, {"GET", "?x"}, {"GET", "/#"}, {"GET", "/a b"}, {"GET", "/\t"}, {"GET", "/\x00"},
		{"GET", "/\x7f"}, {"GET", "http:/a"}, {"GET", "http:a"}, {"GET", "http://"}, {"GET", "http:///a"}, {"GET", "http://?"}, {"GET", "http://:80/"},
		{"GET", "http://u@a/"}, {"GET", "http://a:b/"}, {"GET", "ftp://a/"}, {"GET", "://a/"}, {"GET", "http://[::1/"}, {"GET", "http://a\\b/"},
		{"OPTIONS", "**"}, {"CONNECT", "/"}, {"CONNECT", "a"}, {"CONNECT", "a:"}, {"CONNECT", ":443"}, {"CONNECT", "http://a:443"},
		{"CONNECT", "a:443/"}, {"CONNECT", "u@a:443"}, {"CONNECT", "*"}, {"CONNECT", "a:b"},
	} {
		_, err := http1.TargetForm(c[0], c[1])
		var syntax *http1.SyntaxError
		assert.ErrorAs(t, err, &syntax, "%q", c)
	}
}

func TestIsHost_FollowsTheGrammar(t *testing.T) {
	for host, want := range map[string]bool{
		"": true, "a": true, "A.example": true, "a_b-c~d": true, "127.0.0.1": true, "a:80": true, "a:": true, "[::1]": true, "[::1]:80": true,
		"[2001:DB8::1.2.3.4]": true, "a%20b": true, "a!$&'()*+,;=": true,
		"a b": false, "a/b": false, "u@a": false, "a:b": false, "a:80:80": false, "::1": false, "[::1": false, "[]": false, "[a]": false, "[::1]80": false,
		"[::1%25eth0]": false, "a%": false, "a%2": false, "a%zz": false, "a\x00": false, "\xc3\xbc": false, "a\"": false, "a#": false, "a?": false,
		"a\\b": false, "[v1.x]": false, "a<": false,
	} {
		assert.Equal(t, want, http1.IsHost(host), "%q", host)
	}
}
