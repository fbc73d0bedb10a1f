package entrypoint

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
)

// browser is a request as a browser sends it over HTTP/2.
func browser() *http.Request {
	return &http.Request{
		Method: "POST", RequestURI: "/shop/basket?article=4711&count=2", Host: "app.example.com", ProtoMajor: 2, ContentLength: 27,
		Header: http.Header{
			"Content-Length": {"27"}, "Content-Type": {"application/x-www-form-urlencoded"},
			"User-Agent": {"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"},
			"Accept":     {"text/html,application/xhtml+xml"}, "Accept-Encoding": {"gzip, br"}, "Accept-Language": {"en"},
			"Cookie": {"session=0123456789abcdef"}, "Origin": {"https://app.example.com"}, "Sec-Fetch-Mode": {"navigate"},
			"Referer": {"https://app.example.com/shop"}, "Te": {"trailers"}, "X-Empty": {""},
		},
	}
}

func TestMalformed_TakesWhatIsRightAndAllocatesNothing(t *testing.T) {
	for name, change := range map[string]func(*http.Request){
		"a browser's":                  func(*http.Request) {},
		"a Host that is the authority": func(r *http.Request) { r.Header["Host"] = []string{r.Host} },
		"no host at all":               func(r *http.Request) { r.Host = "" },
		"CONNECT":                      func(r *http.Request) { r.Method, r.RequestURI = "CONNECT", "other.example.com:443" },
		"OPTIONS *":                    func(r *http.Request) { r.Method, r.RequestURI = "OPTIONS", "*" },
		"a length with zeros before":   func(r *http.Request) { r.Header["Content-Length"] = []string{"00027"} },
		"bytes beyond ASCII":           func(r *http.Request) { r.RequestURI = "/\xc3\xa9" },
	} {
		r := browser()
		change(r)
		assert.Empty(t, malformed(r), name)
		assert.Zero(t, testing.AllocsPerRun(100, func() { malformed(r) }), name)
	}
}

func BenchmarkMalformed(b *testing.B) {
	b.ReportAllocs()
	r := browser()
	for b.Loop() {
		malformed(r)
	}
}
