package h1

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// uncalled is a handler for requests that never get to one.
func uncalled(t *testing.T) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		assert.Fail(t, "the request was served", "%s %s %q", r.Method, r.RequestURI, r.Header)
	}
}

func TestServe_RefusesWhatIsNoRequestAndReadsNothingAfterIt(t *testing.T) {
	const next = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
	long := strings.Repeat("x", 20<<10)
	f := newFront(t, uncalled(t))
	f.options.MaxHeaderBytes = 16 << 10
	f.start()
	for _, c := range []struct {
		name, request string
		status        int
	}{
		{"both lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		{"two lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400},
		{"the same length twice", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400},
		{"a list of lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello", 400},
		{"a signed length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello", 400},
		{"a length too large", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", 400},
		{"an empty length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400},
		{"another coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
		{"two codings", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
		{"a coding that hides", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400},
		{"chunked twice", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		{"chunks in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		{"an announced trailer that is none", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n0\r\n\r\n", 400},
		{"a fold", "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n", 400},
		{"a fold at the start", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400},
		{"a bare LF", "GET / HTTP/1.1\nHost: a\n\n", 400},
		{"a bare LF in a field", "GET / HTTP/1.1\r\nHost: a\r\nX: 1\nY: 2\r\n\r\n", 400},
		{"a bare CR", "GET / HTTP/1.1\r\nHost: a\r\nX: 1\rY: 2\r\n\r\n", 400},
		{"a bare CR in the request line", "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"a space before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400},
		{"a NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", 400},
		{"a NUL in a name", "GET / HTTP/1.1\r\nHost: a\r\nX\x00: 1\r\n\r\n", 400},
		{"a field without a name", "GET / HTTP/1.1\r\nHost: a\r\n: 1\r\n\r\n", 400},
		{"a line that is no field", "GET / HTTP/1.1\r\nHost: a\r\nGET /x HTTP/1.1\r\n\r\n", 400},
		{"a control character in the target", "GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"a DEL in the target", "GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"a tab in the request line", "GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"a space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"a space at the start", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"a space at the end", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400},
		{"a fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"a path that cannot be decoded", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"a method that is no token", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"no target", "GET HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"a target that is none", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"a star for GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"a scheme that is none of ours", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"a URL without a host", "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"a URL with a user", "GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"CONNECT with a path", "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"CONNECT without a port", "CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"no version", "GET /\r\nHost: a\r\n\r\n", 400},
		{"a version that is none", "GET / HTTP/1.x\r\nHost: a\r\n\r\n", 400},
		{"a version in small letters", "GET / http/1.1\r\nHost: a\r\n\r\n", 400},
		{"a version of three digits", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400},
		{"HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
		{"HTTP/0.9", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505},
		{"the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
		{"no Host", "GET / HTTP/1.1\r\n\r\n", 400},
		{"two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
		{"a Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
		{"a Host with a user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400},
		{"a Host with a space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
		{"a Host with a port that is none", "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400},
		{"a Host beside a URL, and none", "GET http://a/ HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
		{"another expectation", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 200-ok\r\n\r\nhello", 417},
		{"two expectations", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\nExpect: 100-continue\r\n\r\nhello", 417},
		{"a long field", "GET / HTTP/1.1\r\nHost: a\r\nX: " + long + "\r\n\r\n", 431},
		{"a long target", "GET /" + long + " HTTP/1.1\r\nHost: a\r\n\r\n", 431},
		{"fields without end", "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: 1\r\n", 4000), 431},
		{"too many fields", "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X:1\r\n", 1100) + "\r\n", 431},
		{"two empty lines before", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			answer := f.talk(t, c.request+next)
			head, text, _ := strings.Cut(answer, "\r\n\r\n")
			assert.True(t, strings.HasPrefix(head, fmt.Sprintf("HTTP/1.1 %d %s\r\n", c.status, http.StatusText(c.status))), "%s", answer)
			assert.Contains(t, head, "\r\nConnection: close")
			assert.Contains(t, head, fmt.Sprintf("\r\nContent-Length: %d", len(text)))
			assert.NotContains(t, text, "HTTP/1.1 4", "one answer")
			assert.True(t, strings.HasPrefix(text, fmt.Sprintf("%d %s: ", c.status, http.StatusText(c.status))), "%s", text)
		})
	}
}

func TestServe_RefusesARequestBehindOneThatItServes(t *testing.T) {
	f := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(r.URL.Path)) })
	answer := f.talk(t, "GET /first HTTP/1.1\r\nHost: a\r\n\r\nGET /second HTTP/1.1\r\nHost : a\r\n\r\nGET /third HTTP/1.1\r\nHost: a\r\n\r\n")
	assert.Equal(t, "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 6\r\n\r\n/first"+
		"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 51\r\nConnection: close\r\n\r\n"+
		"400 Bad Request: white space in the name of a field", answer)
}

func TestServe_SaysWhyItRefusesAtDebugAndNothingOfTheFields(t *testing.T) {
	f := serve(t, uncalled(t))
	f.talk(t, "GET /secret HTTP/1.1\r\nHost: secret\r\nCookie: secret\x00\r\nAuthorization: secret\r\n\r\n")
	f.log.Await(t, "request refused")
	assert.Contains(t, f.log.String(), "level=DEBUG")
	assert.Contains(t, f.log.String(), "status=400")
	assert.Contains(t, f.log.String(), "client=127.0.0.1:")
	assert.NotContains(t, f.log.String(), "secret")
}

func TestServe_CutsARequestWhoseContentIsMalformed(t *testing.T) {
	for _, content := range []string{
		"x\r\n", "5\nhello\r\n0\r\n\r\n", "5\r\nhello!\r\n0\r\n\r\n", "5;\x00\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\nA : b\r\n\r\n",
		"-1\r\n\r\n0\r\n\r\n", "0x5\r\nhello\r\n0\r\n\r\n",
	} {
		f := serve(t, func(w http.ResponseWriter, r *http.Request) {
			assert.Equal(t, "/", r.URL.Path)
			_, err := r.Body.Read(make([]byte, 100))
			for err == nil {
				_, err = r.Body.Read(make([]byte, 100))
			}
			assert.NotEqual(t, "EOF", err.Error())
			http.Error(w, "malformed", http.StatusBadRequest)
		})
		answer := f.talk(t, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"+content+"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
		assert.True(t, strings.HasPrefix(answer, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n") ||
			strings.Contains(answer, "\r\nConnection: close\r\n"), "%q: %s", content, answer)
		assert.Equal(t, 1, strings.Count(answer, "HTTP/1.1"), "%q: %s", content, answer)
	}
}
