package tag_test

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http/httpguts"

	"github.com/tricot-proxy/tricot/pipeline"
	"github.com/tricot-proxy/tricot/providers/tag"
)

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "web", "tricotx a", "tricot-xyz", "tricot", "tricot *", "tricot *.example.com/ -1", "tricot-https [::1]/x%2f 7", "tricot-h2c a/x.Y/ 1",
		"tricot BÜCHER.example./", "tricot a**b.ü.example", "tricot _a.ü", "tricot http://a/", "tricot a:1", "tricot a/?",
		"tricot-add-header X-A a  b", "tricot-add-header te x", "tricot-add-header X \r\n", "tricot-global-lb", "tricot-site-lb x",
		"tricot a 99999999999", "tricot a 1 2", "tricot ｅｘ。com", "tricot א.1", "tricot xn--a.ü",
		"tricot-on-demand-tls-ask http://a.example:80/x?y=z", "tricot-on-demand-tls-ask http://[::1", "tricot-on-demand-tls-ask ftp://a#",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		config, malformed := tag.Parse([]string{text})
		word, _, _ := strings.Cut(strings.Trim(text, " "), " ")
		if word != "tricot" && !strings.HasPrefix(word, "tricot-") {
			require.Equal(t, tag.Config{}, config)
			require.Empty(t, malformed)
			return
		}
		yield := len(config.Rules) + len(config.Headers) + len(malformed)
		if config.Balance != tag.Nearest {
			yield++
		}
		if config.Ask != "" {
			yield++
			at, err := url.Parse(config.Ask)
			require.NoError(t, err)
			require.True(t, at.IsAbs() && at.Host != "")
			require.Contains(t, text, config.Ask)
			require.NotContains(t, config.Ask, " ")
		}
		require.Equal(t, 1, yield, "a tag of ours has one meaning or one error")

		for _, rule := range config.Rules {
			checkRule(t, rule)
		}
		for _, header := range config.Headers {
			require.True(t, httpguts.ValidHeaderFieldName(header.Name))
			require.True(t, httpguts.ValidHeaderFieldValue(header.Value))
			require.Equal(t, http.CanonicalHeaderKey(header.Name), header.Name)
			require.Equal(t, strings.Trim(header.Value, " \t"), header.Value)
			require.NotEmpty(t, header.Value)
			require.Contains(t, text, header.Value)
			again, _ := tag.Parse([]string{"tricot-add-header " + header.Name + " " + header.Value})
			require.Equal(t, []tag.Header{header}, again.Headers)
		}
		for _, e := range malformed {
			require.Equal(t, text, e.Tag)
			require.NotEmpty(t, e.Reason)
			require.NotContains(t, e.Error(), "\n")
		}
	})
}

// checkRule holds a rule to what the table counts on.
func checkRule(t *testing.T, rule tag.Rule) {
	require.NotEmpty(t, rule.Host)
	require.NotContains(t, rule.Host, "**")
	if !strings.Contains(rule.Host, "*") {
		host, ok := pipeline.Host(&http.Request{Host: rule.Host})
		require.True(t, ok)
		require.Equal(t, host, rule.Host)
	}
	require.True(t, rule.Path == "" || rule.Path[0] == '/')
	for _, c := range []byte(rule.Path) {
		require.True(t, ' ' < c && c < 0x7f && c != '?' && c != '#')
	}
	require.Equal(t, rule.Priority, int(int32(rule.Priority)))

	word := map[tag.Scheme]string{tag.HTTP: "tricot ", tag.HTTPS: "tricot-https ", tag.H2C: "tricot-h2c "}[rule.Scheme]
	again, malformed := tag.Parse([]string{word + rule.Host + rule.Path + " " + strconv.Itoa(rule.Priority)})
	require.Empty(t, malformed)
	require.Equal(t, []tag.Rule{rule}, again.Rules)
}

func FuzzHost(f *testing.F) {
	for _, seed := range []string{
		"localhost", "A.example.", "127.0.0.1", "[2001:DB8::1]", "bücher.example", "ｅｘ。com", "א.example", "_a.ü", "xn--a.ü", "a\u00ad",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, host string) {
		if host == "" || strings.ContainsAny(host, "*/ ") {
			return
		}
		if strings.Contains(host, ":") && (host[0] != '[' || strings.Contains(host, "]:")) {
			return // a port, which a request has and a rule has not
		}
		agree(t, host)
	})
}
