package tag_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/providers/tag"
)

// Users have these texts in front of them and alerts may look for them: each is held to the letter.
func TestParse_SaysWhatItExpected(t *testing.T) {
	label64 := strings.Repeat("a", 64)
	host254 := strings.Repeat(strings.Repeat("a", 63)+".", 3) + strings.Repeat("b", 62)
	const (
		needHost      = "no host: expected tricot HOST[/PATH] [PRIORITY]"
		needIPv6      = "expected an IPv6 address without zone in the brackets, such as [2001:db8::1]"
		needPriority  = ": expected a whole number from -2147483648 to 2147483647"
		needChars     = "expected letters, digits, -, _, . and *, it has "
		needLabel     = "expected a label before and after each dot"
		needASCII     = "expected printable ASCII only: write the rest percent-encoded, as clients send it"
		needHex       = "expected two hexadecimal digits after each %; a percent sign itself is written %25"
		needToken     = ": expected letters, digits and any of !#$%&'*+-.^_`|~"
		needName      = ": expected another name, this one frames the response or steers the connection, which is left to Tricot"
		noPort        = ": a rule has no port, it holds on those that Tricot listens on"
		needURL       = "expected an absolute URL with http or https, such as https://app.example.com/allowed"
		needPrintable = "expected printable ASCII only: write the rest percent-encoded"
	)
	for _, test := range []struct{ tag, want string }{
		// The word.
		{"tricot-xyz", `unknown tag "tricot-xyz": ` +
			"expected one of tricot, tricot-https, tricot-h2c, tricot-add-header, tricot-global-lb, tricot-site-lb, tricot-on-demand-tls-ask"},
		{"tricot- a.example", `unknown tag "tricot-": ` +
			"expected one of tricot, tricot-https, tricot-h2c, tricot-add-header, tricot-global-lb, tricot-site-lb, tricot-on-demand-tls-ask"},
		{"tricot-HTTPS a.example", `unknown tag "tricot-HTTPS": ` +
			"expected one of tricot, tricot-https, tricot-h2c, tricot-add-header, tricot-global-lb, tricot-site-lb, tricot-on-demand-tls-ask"},

		// The fields of a rule.
		{"tricot", needHost},
		{" tricot  ", needHost},
		{"tricot-https", "no host: expected tricot-https HOST[/PATH] [PRIORITY]"},
		{"tricot-h2c", "no host: expected tricot-h2c HOST[/PATH] [PRIORITY]"},
		{"tricot-h2c a.example:50051", `host "a.example:50051": leave out ":50051"` + noPort},
		{"tricot-h2c h2c://a.example/x", `"h2c://a.example/x" is a URL: leave out the scheme "h2c://", expected HOST[/PATH]`},
		{"tricot /path", `no host before the path "/path": expected HOST[/PATH], with * as HOST for every host`},
		{"tricot //a.example/x", `no host before the path "//a.example/x": expected HOST[/PATH], with * as HOST for every host`},
		{"tricot a.example 1 2", `surplus "2": expected nothing after HOST[/PATH] and PRIORITY`},
		{"tricot a.example 1  2  3", `surplus "2  3": expected nothing after HOST[/PATH] and PRIORITY`},
		{"tricot a.example high", `priority "high"` + needPriority},
		{"tricot a.example /api", `priority "/api"` + needPriority},
		{"tricot a.example 1.5", `priority "1.5"` + needPriority},
		{"tricot a.example 0x10", `priority "0x10"` + needPriority},
		{"tricot a.example 1_000", `priority "1_000"` + needPriority},
		{"tricot a.example -", `priority "-"` + needPriority},
		{"tricot a.example 2147483648", `priority "2147483648"` + needPriority},
		{"tricot a.example -2147483649", `priority "-2147483649"` + needPriority},

		// The host.
		{"tricot http://a.example/x", `"http://a.example/x" is a URL: leave out the scheme "http://", expected HOST[/PATH]`},
		{"tricot HTTPS://a.example", `"HTTPS://a.example" is a URL: leave out the scheme "HTTPS://", expected HOST[/PATH]`},
		{"tricot a.example:443", `host "a.example:443": leave out ":443"` + noPort},
		{"tricot a.example:/x", `host "a.example:": leave out ":"` + noPort},
		{"tricot [::1]:443", `host "[::1]:443": leave out ":443"` + noPort},
		{"tricot ::1", `host "::1": expected an IPv6 address in brackets: [::1]`},
		{"tricot 2001:DB8::0:1/x", `host "2001:DB8::0:1": expected an IPv6 address in brackets: [2001:db8::1]`},
		{"tricot fe80::1%eth0", `host "fe80::1%eth0": expected an IPv6 address in brackets: [fe80::1]`},
		{"tricot [::1", `host "[::1": ` + needIPv6},
		{"tricot []", `host "[]": ` + needIPv6},
		{"tricot [", `host "[": ` + needIPv6},
		{"tricot [::1].", `host "[::1].": ` + needIPv6},
		{"tricot [127.0.0.1]", `host "[127.0.0.1]": ` + needIPv6},
		{"tricot [fe80::1%eth0]", `host "[fe80::1%eth0]": ` + needIPv6},
		{"tricot [*]", `host "[*]": ` + needIPv6},
		{"tricot a$b.example", `host "a$b.example": ` + needChars + `'$'`},
		{"tricot a:b.example", `host "a:b.example": ` + needChars + `':'`},
		{"tricot user@a.example", `host "user@a.example": ` + needChars + `'@'`},
		{"tricot a.example?x=1", `host "a.example?x=1": ` + needChars + `'?'`},
		{"tricot a.example\n", `host "a.example\n": ` + needChars + `'\n'`},
		{"tricot .", `host ".": ` + needLabel},
		{"tricot .example", `host ".example": ` + needLabel},
		{"tricot a..example", `host "a..example": ` + needLabel},
		{"tricot a.example..", `host "a.example..": ` + needLabel},
		{"tricot " + label64 + ".example",
			`host "` + label64 + `.example": expected labels of at most 63 characters, "` + label64 + `" has 64`},
		{"tricot " + host254, `host "` + host254 + `": expected at most 253 characters, it has 254`},
		{"tricot bü*.example", `host "bü*.example": expected the label "bü*" in ASCII, since it has a *`},
		{"tricot a\u00ad-.bü\u2028.example", `host "a\u00ad-.bü\u2028.example": ` +
			"expected a name that has an ASCII form by RFC 5891: idna: disallowed rune U+2028"},
		{"tricot -ü.example", `host "-ü.example": expected a name that has an ASCII form by RFC 5891: idna: invalid label "-ü"`},
		{"tricot *.-ü.example", `host "*.-ü.example": expected a name that has an ASCII form by RFC 5891: idna: invalid label "-ü"`},
		{"tricot ü\xff.example", `host "ü\xff.example": expected UTF-8`},

		// The path.
		{"tricot a.example/x?y=1", `path "/x?y=1": expected a path without a query: rules do not look at what follows the ?`},
		{"tricot a.example/x#y",
			`path "/x#y": expected a path without a fragment: clients keep the # and what follows it to themselves`},
		{"tricot a.example/é", `path "/é": ` + needASCII},
		{"tricot a.example/\xff", `path "/\xff": ` + needASCII},
		{"tricot a.example/\tx", `path "/\tx": ` + needASCII},
		{"tricot a.example/\x7f", `path "/\x7f": ` + needASCII},
		{"tricot a.example/x%zz", `path "/x%zz": ` + needHex},
		{"tricot a.example/x%2/y", `path "/x%2/y": ` + needHex},
		{"tricot a.example/x%2é", `path "/x%2é": ` + needHex},

		// Headers.
		{"tricot-add-header", "no header: expected tricot-add-header NAME VALUE"},
		{"tricot-add-header  ", "no header: expected tricot-add-header NAME VALUE"},
		{"tricot-add-header X-A", "header X-A: expected a value after the name"},
		{"tricot-add-header X-A  \t ", "header X-A: expected a value after the name"},
		{"tricot-add-header X-A: b", `header name "X-A:"` + needToken},
		{"tricot-add-header X\tA b", `header name "X\tA"` + needToken},
		{"tricot-add-header Xé b", `header name "Xé"` + needToken},
		{"tricot-add-header X-A a\r\nX-B: c", "header X-A: expected a value without control characters"},
		{"tricot-add-header X-A a\x00", "header X-A: expected a value without control characters"},
		{"tricot-add-header X-A a\x7f", "header X-A: expected a value without control characters"},
		{"tricot-add-header connection close", "header connection" + needName},
		{"tricot-add-header Content-Length 3", "header Content-Length" + needName},
		{"tricot-add-header HTTP2-Settings x", "header HTTP2-Settings" + needName},
		{"tricot-add-header Keep-Alive timeout=5", "header Keep-Alive" + needName},
		{"tricot-add-header Proxy-Connection close", "header Proxy-Connection" + needName},
		{"tricot-add-header TE trailers", "header TE" + needName},
		{"tricot-add-header Trailer X-A", "header Trailer" + needName},
		{"tricot-add-header TRANSFER-ENCODING chunked", "header TRANSFER-ENCODING" + needName},
		{"tricot-add-header Upgrade h2c", "header Upgrade" + needName},
		{"tricot-add-header Upgrade", "header Upgrade" + needName},

		// Balance.
		{"tricot-global-lb yes", `surplus "yes": expected nothing after tricot-global-lb`},
		{"tricot-site-lb  a  b", `surplus "a  b": expected nothing after tricot-site-lb`},

		// The endpoint for certificates on demand.
		{"tricot-on-demand-tls-ask", "no URL: expected tricot-on-demand-tls-ask URL"},
		{"tricot-on-demand-tls-ask   ", "no URL: expected tricot-on-demand-tls-ask URL"},
		{"tricot-on-demand-tls-ask http://a.example/ b  c", `surplus "b  c": expected nothing after tricot-on-demand-tls-ask URL`},
		{"tricot-on-demand-tls-ask /allowed", `URL "/allowed": ` + needURL},
		{"tricot-on-demand-tls-ask a.example/allowed", `URL "a.example/allowed": ` + needURL},
		{"tricot-on-demand-tls-ask //a.example/allowed", `URL "//a.example/allowed": ` + needURL},
		{"tricot-on-demand-tls-ask ftp://a.example/", `URL "ftp://a.example/": ` + needURL},
		{"tricot-on-demand-tls-ask http:a.example", `URL "http:a.example": ` + needURL},
		{"tricot-on-demand-tls-ask http://", `URL "http://": ` + needURL},
		{"tricot-on-demand-tls-ask http:///allowed", `URL "http:///allowed": ` + needURL},
		{"tricot-on-demand-tls-ask http://:80/", `URL "http://:80/": ` + needURL},
		{"tricot-on-demand-tls-ask http://a.example:b/",
			`URL "http://a.example:b/": expected an absolute URL: invalid port ":b" after host`},
		{"tricot-on-demand-tls-ask http://a.example/%zz",
			`URL "http://a.example/%zz": expected an absolute URL: invalid URL escape "%zz"`},
		{"tricot-on-demand-tls-ask http://u:p@a.example/", `URL "http://u:p@a.example/": expected a URL without user and password`},
		{"tricot-on-demand-tls-ask http://a.example/#", `URL "http://a.example/#": expected a URL without a fragment: it is never sent`},
		{"tricot-on-demand-tls-ask http://a.example/\t", `URL "http://a.example/\t": ` + needPrintable},
		{"tricot-on-demand-tls-ask http://bücher.example/", `URL "http://bücher.example/": ` + needPrintable},
	} {
		config, malformed := tag.Parse([]string{test.tag})
		assert.Equal(t, tag.Config{}, config, test.tag)
		assert.Equal(t, []tag.Error{{Tag: test.tag, Reason: test.want}}, malformed, test.tag)
	}
}

func TestError_IsOneLineWhateverTheTagIsMadeOf(t *testing.T) {
	_, malformed := tag.Parse([]string{"tricot a\n\xff\x1b[31m.example/\r\n"})
	require.Len(t, malformed, 1)
	text := malformed[0].Error()
	assert.True(t, strings.HasPrefix(text, `tag "tricot a\n\xff\x1b[31m.example/\r\n": host "a\n\xff\x1b[31m.example": `), text)
	for _, c := range []byte(text) {
		assert.True(t, ' ' <= c && c < 0x7f, text)
	}
}
