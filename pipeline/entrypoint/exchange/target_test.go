package exchange

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline/http1"
)

func TestParseTarget_KnowsEachForm(t *testing.T) {
	for target, want := range map[string]url.URL{
		"/":                       {Path: "/"},
		"/a/b.c;d=1?x=y&z":        {Path: "/a/b.c;d=1", RawQuery: "x=y&z"},
		"/a?":                     {Path: "/a", ForceQuery: true},
		"/a??":                    {Path: "/a", RawQuery: "?"},
		"/a?b?c":                  {Path: "/a", RawQuery: "b?c"},
		"//a/b":                   {Path: "//a/b"},
		"/a:b":                    {Path: "/a:b"},
		"/a%20b":                  {Path: "/a b"},
		"/a%2Fb":                  {Path: "/a/b", RawPath: "/a%2Fb"},
		"/\"":                     {Path: "/\"", RawPath: "/\""},
		"/\xc3\xa4?\xc3\xa4":      {Path: "/ä", RawPath: "/ä", RawQuery: "ä"},
		"*":                       {Path: "*"},
		"http://a.test:81/b?c":    {Scheme: "http", Host: "a.test:81", Path: "/b", RawQuery: "c"},
		"HTTPS://a.test":          {Scheme: "https", Host: "a.test"},
		"a.test:443":              {Host: "a.test:443"},
		"[2001:db8::1]:443":       {Host: "[2001:db8::1]:443"},
		"a.test":                  {Host: "a.test"},
		"http://a.test?where=%2F": {Scheme: "http", Host: "a.test", RawQuery: "where=%2F"},
	} {
		var u url.URL
		if assert.NoError(t, ParseTarget(&u, target), target) {
			assert.Equal(t, want, u, target)
		}
	}
}

func TestParseTarget_FailsWhereATargetCannotBeDecoded(t *testing.T) {
	for _, target := range []string{"/%", "/%zz", "/a%2", "http://a.test/%", "a%zz:443"} {
		assert.Error(t, ParseTarget(new(url.URL), target), target)
	}
}

func TestParseTarget_AllocatesNothingForAPlainPath(t *testing.T) {
	var u url.URL
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		u = url.URL{}
		_ = ParseTarget(&u, "/static/app.js?v=3&w=%20")
	}))
}

// It is package url's reading, with or without the way round it, of all that has the form of a target.
func FuzzParseTarget(f *testing.F) {
	for _, seed := range []string{"/", "/a?b", "/%2f", "//a", "/a?", "*", "http://a/b", "https://a", "a:1", "/\xff"} {
		f.Add(http.MethodGet, seed)
		f.Add(http.MethodConnect, seed)
		f.Add(http.MethodOptions, seed)
	}
	f.Fuzz(func(t *testing.T, method, target string) {
		form, err := http1.TargetForm(method, target)
		if err != nil {
			return
		}
		var u url.URL
		err = ParseTarget(&u, target)
		if form == http1.Authority {
			want, wrong := url.ParseRequestURI("http://" + target)
			require.Equal(t, wrong == nil, err == nil, "%v", err)
			if err == nil {
				require.Equal(t, url.URL{Host: want.Host}, u)
			}
			return
		}
		want, wrong := url.ParseRequestURI(target)
		require.Equal(t, wrong == nil, err == nil, "%v", err)
		if err == nil {
			require.Equal(t, *want, u)
		}
	})
}
