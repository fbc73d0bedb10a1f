package tag_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/providers/tag"
)

func TestParse_ReadsRules(t *testing.T) {
	label63 := strings.Repeat("a", 63)
	host253 := strings.Repeat(label63+".", 3) + strings.Repeat("b", 61)
	for _, test := range []struct {
		tag  string
		want tag.Rule
	}{
		// The fields.
		{"tricot localhost", tag.Rule{Host: "localhost", Priority: 100}},
		{"tricot-https localhost", tag.Rule{Host: "localhost", Priority: 100, Scheme: tag.HTTPS}},
		{"tricot a.example/api 7", tag.Rule{Host: "a.example", Path: "/api", Priority: 7}},
		{"tricot-https a.example/api 7", tag.Rule{Host: "a.example", Path: "/api", Priority: 7, Scheme: tag.HTTPS}},
		{"tricot-h2c localhost", tag.Rule{Host: "localhost", Priority: 100, Scheme: tag.H2C}},
		{"tricot-h2c A.example./grpc.health.v1.Health/ -7",
			tag.Rule{Host: "a.example", Path: "/grpc.health.v1.Health/", Priority: -7, Scheme: tag.H2C}},
		{"   tricot    a.example/api    7   ", tag.Rule{Host: "a.example", Path: "/api", Priority: 7}},

		// The priority.
		{"tricot a.example 0", tag.Rule{Host: "a.example", Priority: 0}},
		{"tricot a.example -5", tag.Rule{Host: "a.example", Priority: -5}},
		{"tricot a.example +5", tag.Rule{Host: "a.example", Priority: 5}},
		{"tricot a.example 007", tag.Rule{Host: "a.example", Priority: 7}},
		{"tricot a.example 2147483647", tag.Rule{Host: "a.example", Priority: 2147483647}},
		{"tricot a.example -2147483648", tag.Rule{Host: "a.example", Priority: -2147483648}},

		// The path.
		{"tricot a.example/", tag.Rule{Host: "a.example", Path: "/", Priority: 100}},
		{"tricot a.example//x/", tag.Rule{Host: "a.example", Path: "//x/", Priority: 100}},
		{"tricot a.example/A%2fb%C3%A9", tag.Rule{Host: "a.example", Path: "/A%2fb%C3%A9", Priority: 100}},
		{"tricot a.example/a%4", tag.Rule{Host: "a.example", Path: "/a%4", Priority: 100}},
		{"tricot a.example/100%", tag.Rule{Host: "a.example", Path: "/100%", Priority: 100}},
		{"tricot a.example/../*/x:y@!$&'()+,;=~[]{}|^`\"<>\\",
			tag.Rule{Host: "a.example", Path: "/../*/x:y@!$&'()+,;=~[]{}|^`\"<>\\", Priority: 100}},
		{"tricot a.example/http://b.example", tag.Rule{Host: "a.example", Path: "/http://b.example", Priority: 100}},

		// The host.
		{"tricot A.Example.COM", tag.Rule{Host: "a.example.com", Priority: 100}},
		{"tricot a.example.com.", tag.Rule{Host: "a.example.com", Priority: 100}},
		{"tricot a.example.com./x", tag.Rule{Host: "a.example.com", Path: "/x", Priority: 100}},
		{"tricot my_app-1.example", tag.Rule{Host: "my_app-1.example", Priority: 100}},
		{"tricot -a-.example", tag.Rule{Host: "-a-.example", Priority: 100}},
		{"tricot " + label63 + ".example", tag.Rule{Host: label63 + ".example", Priority: 100}},
		{"tricot " + host253 + ".", tag.Rule{Host: host253, Priority: 100}},
		{"tricot bücher.example", tag.Rule{Host: "xn--bcher-kva.example", Priority: 100}},
		{"tricot BÜCHER.Example.", tag.Rule{Host: "xn--bcher-kva.example", Priority: 100}},
		{"tricot XN--BCHER-KVA.example", tag.Rule{Host: "xn--bcher-kva.example", Priority: 100}},
		{"tricot straße.example", tag.Rule{Host: "xn--strae-oqa.example", Priority: 100}},
		{"tricot ｅｘａｍｐｌｅ。com", tag.Rule{Host: "example.com", Priority: 100}},
		{"tricot _DMARC.bücher.example", tag.Rule{Host: "_dmarc.xn--bcher-kva.example", Priority: 100}},
		{"tricot 127.0.0.1", tag.Rule{Host: "127.0.0.1", Priority: 100}},
		{"tricot [2001:DB8:0:0::1]/x", tag.Rule{Host: "[2001:db8::1]", Path: "/x", Priority: 100}},
		{"tricot [::1]", tag.Rule{Host: "[::1]", Priority: 100}},
		{"tricot [::ffff:1.2.3.4]", tag.Rule{Host: "[::ffff:1.2.3.4]", Priority: 100}},

		// The wildcard.
		{"tricot *", tag.Rule{Host: "*", Priority: 100}},
		{"tricot * 1", tag.Rule{Host: "*", Priority: 1}},
		{"tricot */x", tag.Rule{Host: "*", Path: "/x", Priority: 100}},
		{"tricot *.Example.com", tag.Rule{Host: "*.example.com", Priority: 100}},
		{"tricot App-*.example.com.", tag.Rule{Host: "app-*.example.com", Priority: 100}},
		{"tricot a.*.b*c.example", tag.Rule{Host: "a.*.b*c.example", Priority: 100}},
		{"tricot a***b.example", tag.Rule{Host: "a*b.example", Priority: 100}},
		{"tricot *.Bücher.example", tag.Rule{Host: "*.xn--bcher-kva.example", Priority: 100}},
	} {
		config, malformed := tag.Parse([]string{test.tag})
		assert.Empty(t, malformed, test.tag)
		assert.Equal(t, tag.Config{Rules: []tag.Rule{test.want}}, config, test.tag)
	}
}

func TestParse_ReadsHeaders(t *testing.T) {
	for _, test := range []struct {
		tag  string
		want tag.Header
	}{
		{"tricot-add-header X-Served-By web", tag.Header{Name: "X-Served-By", Value: "web"}},
		{"tricot-add-header x-served-BY web", tag.Header{Name: "X-Served-By", Value: "web"}},
		{"  tricot-add-header   X-A    b   c  \"d\"   ", tag.Header{Name: "X-A", Value: "b   c  \"d\""}},
		{"tricot-add-header X-A \t b\tc \t", tag.Header{Name: "X-A", Value: "b\tc"}},
		{"tricot-add-header X-A gr\xfc\xdfe é", tag.Header{Name: "X-A", Value: "gr\xfc\xdfe é"}},
		{"tricot-add-header !#$%&'*+-.^_`|~9z v", tag.Header{Name: "!#$%&'*+-.^_`|~9z", Value: "v"}},
		{"tricot-add-header Strict-Transport-Security max-age=63072000; includeSubDomains",
			tag.Header{Name: "Strict-Transport-Security", Value: "max-age=63072000; includeSubDomains"}},
		{"tricot-add-header Content-Security-Policy default-src 'self'",
			tag.Header{Name: "Content-Security-Policy", Value: "default-src 'self'"}},
	} {
		config, malformed := tag.Parse([]string{test.tag})
		assert.Empty(t, malformed, test.tag)
		assert.Equal(t, tag.Config{Headers: []tag.Header{test.want}}, config, test.tag)
	}
}

func TestParse_CombinesTheTagsOfAService(t *testing.T) {
	config, malformed := tag.Parse([]string{
		"tricot b.example/x 5",
		"tricot-add-header Vary Origin",
		"tricot-site-lb",
		"tricot-https a.example",
		"tricot-h2c c.example",
		"tricot-add-header X-A 1",
		"tricot-add-header vary Accept",
	})
	require.Empty(t, malformed)
	assert.Equal(t, tag.Config{
		Rules: []tag.Rule{
			{Host: "b.example", Path: "/x", Priority: 5},
			{Host: "a.example", Priority: 100, Scheme: tag.HTTPS},
			{Host: "c.example", Priority: 100, Scheme: tag.H2C},
		},
		Headers: []tag.Header{{Name: "Vary", Value: "Origin"}, {Name: "X-A", Value: "1"}, {Name: "Vary", Value: "Accept"}},
		Balance: tag.Site,
	}, config)
}

func TestParse_TakesTheWiderBalanceInWhateverOrder(t *testing.T) {
	for _, test := range []struct {
		tags []string
		want tag.Balance
	}{
		{nil, tag.Nearest},
		{[]string{"tricot-site-lb"}, tag.Site},
		{[]string{" tricot-global-lb "}, tag.Global},
		{[]string{"tricot-site-lb", "tricot-global-lb"}, tag.Global},
		{[]string{"tricot-global-lb", "tricot-site-lb"}, tag.Global},
	} {
		config, malformed := tag.Parse(test.tags)
		assert.Empty(t, malformed, test.tags)
		assert.Equal(t, tag.Config{Balance: test.want}, config, test.tags)
	}
}

func TestParse_ReadsTheEndpointForCertificatesOnDemand(t *testing.T) {
	const url = "https://app.example.com:8443/allowed?key=a%20b&c"
	for _, tags := range [][]string{
		{"tricot-on-demand-tls-ask " + url},
		{"  tricot-on-demand-tls-ask   " + url + "  "},
		{"tricot-on-demand-tls-ask " + url, "tricot-on-demand-tls-ask " + url},
	} {
		config, malformed := tag.Parse(tags)
		assert.Empty(t, malformed, tags)
		assert.Equal(t, tag.Config{Ask: url}, config, tags)
	}
	for _, url := range []string{"http://127.0.0.1:9000/ask", "http://[::1]/", "HTTP://localhost", "https://a.example?"} {
		config, malformed := tag.Parse([]string{"tricot-on-demand-tls-ask " + url})
		assert.Empty(t, malformed, url)
		assert.Equal(t, url, config.Ask)
	}
}

func TestParse_KeepsTheFirstEndpointWhereThereIsASecond(t *testing.T) {
	config, malformed := tag.Parse([]string{
		"tricot-on-demand-tls-ask http://a.example/", "tricot *.example", "tricot-on-demand-tls-ask http://b.example/",
	})
	assert.Equal(t, "http://a.example/", config.Ask)
	assert.Len(t, config.Rules, 1)
	assert.Equal(t, []tag.Error{{
		Tag:    "tricot-on-demand-tls-ask http://b.example/",
		Reason: `a second URL "http://b.example/": expected one for all of the service, it has "http://a.example/" already`,
	}}, malformed)
}

func TestParse_IgnoresTagsOfOthers(t *testing.T) {
	config, malformed := tag.Parse([]string{
		"", " ", "web", "traefik.enable=true", "urlprefix-/foo", "tricotx a.example", "tricot_https a.example", "h2c a.example",
		"Tricot a.example", "TRICOT a.example", "tricot\ta.example", "a tricot b.example", "\xff\x00",
	})
	assert.Empty(t, malformed)
	assert.Equal(t, tag.Config{}, config)
}

func TestParse_KeepsTheOtherTagsWhereOneIsMalformed(t *testing.T) {
	config, malformed := tag.Parse([]string{
		"tricot", "tricot a.example", "tricot-add-header", "tricot-add-header X-A 1", "tricot-global-lb x", "tricot-site-lb",
	})
	assert.Equal(t, tag.Config{
		Rules:   []tag.Rule{{Host: "a.example", Priority: 100}},
		Headers: []tag.Header{{Name: "X-A", Value: "1"}},
		Balance: tag.Site,
	}, config)
	assert.Equal(t, []tag.Error{
		{Tag: "tricot", Reason: "no host: expected tricot HOST[/PATH] [PRIORITY]"},
		{Tag: "tricot-add-header", Reason: "no header: expected tricot-add-header NAME VALUE"},
		{Tag: "tricot-global-lb x", Reason: `surplus "x": expected nothing after tricot-global-lb`},
	}, malformed)
}

func TestParse_LeavesItsInputAsItIs(t *testing.T) {
	tags := []string{" tricot  A.example ", "tricot-add-header x-a  1 "}
	tag.Parse(tags)
	assert.Equal(t, []string{" tricot  A.example ", "tricot-add-header x-a  1 "}, tags)
}

func BenchmarkParse(b *testing.B) {
	for name, tags := range map[string][]string{
		"one rule": {"tricot app.example.com"},
		"all kinds": {"web", "tricot app.example.com/api 200", "tricot-https *.example.com",
			"tricot-add-header X-Served-By web", "tricot-site-lb", "traefik.enable=true"},
		"not canonical": {"tricot App.Example.com.", "tricot bücher.example"},
		"foreign":       {"web", "v1.2.3", "traefik.enable=true", "urlprefix-/foo"},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				tag.Parse(tags)
			}
		})
	}
}

func TestParse_AllocatesNothingButTheRuleForAHostInCanonicalForm(t *testing.T) {
	rule := []string{"web", "tricot app.example.com/api 200"}
	assert.EqualValues(t, 1, testing.AllocsPerRun(100, func() { tag.Parse(rule) }))
	foreign := []string{"web", "v1.2.3", "traefik.enable=true"}
	assert.Zero(t, testing.AllocsPerRun(100, func() { tag.Parse(foreign) }))
}
