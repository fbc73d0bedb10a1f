package acme_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tricot-proxy/tricot/certs/acme"
)

func TestCheckDirectory_TakesURLsOfCAsAndOfServersOnLoopback(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		acme.LetsEncrypt:                               "",
		"https://ca.example.com:14000/dir":             "",
		"https://ca.example.com/acme?profile=x":        "",
		"https://[2001:db8::1]/dir":                    "",
		"http://127.0.0.1:14000/dir":                   "",
		"http://[::1]/dir":                             "",
		"http://[::ffff:127.0.0.1]/dir":                "",
		"http://localhost/dir":                         "",
		"":                                             "is not an https URL",
		"/dir":                                         "is not an https URL",
		"ca.example.com/dir":                           "is not an https URL",
		"http://ca.example.com/dir":                    "is not an https URL",
		"http://localhost.example.com/dir":             "is not an https URL",
		"ftp://127.0.0.1/dir":                          "is not an https URL",
		"https://user:secret@ca.example.com/dir":       "is not an https URL",
		"https://ca.example.com/dir#part":              "is not an https URL",
		"https://:443/dir":                             "is not an https URL",
		"https://ca.example.com:0/dir":                 "port",
		"https://ca.example.com:65536/dir":             "port",
		"https://ca.example.com/%zz":                   "is not an https URL",
		"https://ca.example.com/" + long(250):          "has no place in the store",
		"https://ca.example.com/" + long(200) + "/dir": "",
	} {
		err := acme.CheckDirectory(url)
		if want == "" {
			assert.NoError(t, err, url)
		} else {
			assert.ErrorContains(t, err, want, url)
		}
	}
}

func long(n int) string { return strings.Repeat("x", n) }

func TestCheckEmail_TakesAnAddressAloneThatFitsAMailtoURL(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"ops@example.com", "a.b+c_d-e@sub.example.co.uk", "o'neil@example.com"} {
		assert.NoError(t, acme.CheckEmail(address), address)
	}
	for _, address := range []string{
		"", "ops", "ops@", "@example.com", "Ops <ops@example.com>", "<ops@example.com>", " ops@example.com", "a@b.de,c@d.de",
		"mailto:ops@example.com", "ops@bücher.example", "öps@example.com", "o%70s@example.com", `"o p"@example.com`,
		"ops@example.com?cc=x@example.com", "a#b@example.com", "a&b@example.com", "ops@example.com\n",
	} {
		assert.Error(t, acme.CheckEmail(address), address)
	}
}

func TestCheck_OfABindingSaysWhatIsWrongAndNeverTheKey(t *testing.T) {
	t.Parallel()
	for _, good := range []acme.EAB{{KeyID: "kid", HMACKey: "c2VjcmV0"}, {KeyID: "kid 1/x", HMACKey: "c2VjcmV0LQ=="}} {
		assert.NoError(t, good.Check())
	}
	for want, bad := range map[string]acme.EAB{
		"a key ID and":     {HMACKey: "c2VjcmV0"},
		"and an HMAC key":  {KeyID: "kid"},
		"is not ASCII":     {KeyID: "k\u00efd", HMACKey: "c2VjcmV0"},
		"is not base64url": {KeyID: "kid", HMACKey: "s3cr+t/="},
	} {
		err := bad.Check()
		assert.ErrorContains(t, err, want)
		assert.NotContains(t, err.Error(), "s3cr")
	}
}
