package transport

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
)

// echoHead answers with the head that it got, and then closes.
func echoHead(t *testing.T) *pipeline.Backend {
	return newRawBackend(t, func(c *wire) {
		if head := c.head(); head != "" {
			c.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + head)
			c.end()
		}
	})
}

func TestTransport_SendsTheTargetByteForByte(t *testing.T) {
	front := newFront(t, echoHead(t), setting{server: func(s *httptest.Server) { s.Config.DisableGeneralOptionsHandler = true }})
	for _, c := range []struct{ sent, want string }{
		{"/", "/"},
		{"/a%2Fb/../c//d?x=;&&y", "/a%2Fb/../c//d?x=;&&y"},
		{"/%7e/~/%7E", "/%7e/~/%7E"},
		{"/a|b^c`\"<>{}\\", "/a|b^c`\"<>{}\\"},
		{"/?", "/?"},
		{"/a?", "/a?"},
		{"/a?b?c", "/a?b?c"},
		{"/a?b#c%", "/a?b#c%"},
		{"/%ff%FE", "/%ff%FE"},
		{"/\xff\xfe?\xff", "/\xff\xfe?\xff"},
		{"/./a/./", "/./a/./"},
		{"//", "//"},
		{"//x", "//x"},
		{"//x?y", "//x?y"},
		{"//x?", "//x?"},
		{"///x//y/%2f?q=%zz", "///x//y/%2f?q=%zz"},
		{"//example.com/a:b@c", "//example.com/a:b@c"},
		{"//a|b?c", "//a|b?c"},
		{"http://other.example/a%2Fb?c", "/a%2Fb?c"},
		{"http://other.example", "/"},
		{"http://other.example?c", "/?c"},
	} {
		_, head := front.exchangeRaw(t, "GET", "GET "+c.sent+" HTTP/1.1\r\nHost: app.example\r\n\r\n")
		line, _, _ := strings.Cut(head, "\r\n")
		assert.Equal(t, "GET "+c.want+" HTTP/1.1", line, "sent %q", c.sent)
	}
	_, head := front.exchangeRaw(t, "OPTIONS", "OPTIONS * HTTP/1.1\r\nHost: app.example\r\n\r\n")
	assert.True(t, strings.HasPrefix(head, "OPTIONS * HTTP/1.1\r\n"), head)
}

func TestTransport_SendsTheTargetByteForByteOverHTTP2(t *testing.T) {
	backend := newSecureBackend(t, nil, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto+" "+r.RequestURI)
	})
	front := newFront(t, backend, setting{})
	for _, target := range []string{"/a%2Fb/../c//d?x=;&&y", "//x", "//x|y?", "/a|b", "/%ff"} {
		_, body := front.exchangeRaw(t, "GET", "GET "+target+" HTTP/1.1\r\nHost: app.example\r\n\r\n")
		assert.Equal(t, "HTTP/2.0 "+target, body)
	}
}

func TestTransport_SendsNothingThatTheClientDidNot(t *testing.T) {
	front := newFront(t, echoHead(t), setting{})
	_, head := front.exchangeRaw(t, "GET", "GET / HTTP/1.1\r\nHost: App.Example:8080\r\nX-Own: 1\r\nx-own: 2\r\n\r\n")
	assert.Equal(t, []string{
		"GET / HTTP/1.1",
		"Host: App.Example:8080",
		"X-Forwarded-For: 127.0.0.1",
		"X-Forwarded-Host: App.Example:8080",
		"X-Forwarded-Proto: http",
		"X-Own: 1",
		"X-Own: 2",
		"",
	}, strings.Split(head, "\r\n"))
}

func TestTransport_NamesTheBackendWhereTheClientNamesNoHost(t *testing.T) {
	backend := echoHead(t)
	front := newFront(t, backend, setting{})
	_, head := front.exchangeRaw(t, "GET", "GET / HTTP/1.0\r\n\r\n")
	assert.Contains(t, head, "Host: "+backend.Address+"\r\n")
	assert.NotContains(t, head, "X-Forwarded-Host")

	secure := newSecureBackend(t, nil, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Host) })
	_, host := newFront(t, secure, setting{}).exchangeRaw(t, "GET", "GET / HTTP/1.0\r\n\r\n")
	assert.Equal(t, secure.Address, host)
}

func TestTransport_PassesNoExpectationOfHTTP10On(t *testing.T) {
	front := newFront(t, echoHead(t), setting{})
	_, head := front.exchangeRaw(t, "POST", "POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab")
	assert.Contains(t, head, "Content-Length: 2\r\n")
	assert.NotContains(t, head, "Expect")
}

func TestTransport_FramesTheBodyAsTheClientDid(t *testing.T) {
	front := newFront(t, echoHead(t), setting{})
	for _, c := range []struct{ name, request, has, not string }{
		{"none", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET", "Length"},
		{"none, of a DELETE", "DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", "DELETE", "Length"},
		{"empty", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "Content-Length: 0\r\n", "chunked"},
		{"known", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab", "Content-Length: 2\r\n", "chunked"},
		{"known, of a GET", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab", "Content-Length: 2\r\n", "chunked"},
		{"unknown", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "Transfer-Encoding: chunked\r\n", "Content-Length"},
		{"unknown, of a GET", "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "Transfer-Encoding: chunked\r\n", "Content-Length"},
	} {
		t.Run(c.name, func(t *testing.T) {
			method, _, _ := strings.Cut(c.request, " ")
			_, head := front.exchangeRaw(t, method, c.request)
			assert.Contains(t, head, c.has)
			assert.NotContains(t, head, c.not)
		})
	}
}

func TestTransport_SendsNoBodyForABodilessHTTP2Request(t *testing.T) {
	front := newFront(t, echoHead(t), setting{secure: true})
	_, head := front.get(t, "/")
	assert.NotContains(t, head, "chunked")
	assert.NotContains(t, head, "Content-Length")
}

func TestTransport_DropsHopByHopRequestFields(t *testing.T) {
	front := newFront(t, echoHead(t), setting{})
	_, head := front.exchangeRaw(t, "GET", "GET / HTTP/1.1\r\nHost: a\r\n"+
		"Connection: keep-alive, x-Named ,, TE\r\nConnection: x-other, X-Forwarded-For\r\n"+
		"X-Named: 1\r\nX-Other: 1\r\nKeep-Alive: 5\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: x\r\n"+
		"Proxy-Authenticate: x\r\nTE: gzip, trailers\r\nUpgrade: websocket\r\nAuthorization: kept\r\n\r\n")
	for _, gone := range []string{"X-Named", "X-Other", "Keep-Alive", "keep-alive", "Proxy-", "gzip", "Upgrade"} {
		assert.NotContains(t, head, gone)
	}
	for _, kept := range []string{"Te: trailers\r\n", "Connection: TE\r\n", "Authorization: kept\r\n", "X-Forwarded-For: 127.0.0.1\r\n"} {
		assert.Contains(t, head, kept)
	}
}

func TestTransport_KeepsAFieldThatAStageAddedAndTheClientNames(t *testing.T) {
	head := func(w http.ResponseWriter, r *http.Request) { _ = r.Header.Write(w) }
	adding := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set("X-Request-Id", "a stage's")
			next.ServeHTTP(w, r)
		})
	}
	for name, backend := range map[string]*pipeline.Backend{"HTTP/1.1": newBackend(t, head), "HTTP/2": newH2CBackend(t, head)} {
		t.Run(name, func(t *testing.T) {
			front := newFront(t, backend, setting{around: adding})
			_, got := front.exchangeRaw(t, "GET", "GET / HTTP/1.1\r\nHost: a\r\n"+
				"Connection: close, x-request-id, x-mine, x-forwarded-for, x-forwarded-proto\r\nX-Mine: 1\r\nX-Request-Id: the client's\r\n\r\n")
			for _, line := range []string{"X-Request-Id: a stage's\r\n", "X-Forwarded-For: 127.0.0.1\r\n", "X-Forwarded-Proto: http\r\n"} {
				assert.Contains(t, got, line)
			}
			assert.NotContains(t, got, "X-Mine")
			assert.NotContains(t, got, "client's")
		})
	}
}

func TestTransport_PassesTRACEOnAndRefusesCONNECT(t *testing.T) {
	front := newFront(t, echoHead(t), setting{})
	_, head := front.exchangeRaw(t, "TRACE", "TRACE /x HTTP/1.1\r\nHost: a\r\n\r\n")
	assert.True(t, strings.HasPrefix(head, "TRACE /x HTTP/1.1\r\n"), head)
	response, _ := front.exchangeRaw(t, "GET", "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n")
	assert.Equal(t, http.StatusNotImplemented, response.StatusCode)
}

func TestTransport_KeepsRequestTrailers(t *testing.T) {
	type seen struct {
		body    string
		trailer http.Header
	}
	got := make(chan seen, 1)
	handler := func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- seen{string(body), r.Trailer}
	}
	t.Run("announced, both ways HTTP/2", func(t *testing.T) {
		front := newFront(t, newSecureBackend(t, nil, handler), setting{secure: true})
		request := front.request(t, "POST", "/", io.MultiReader(strings.NewReader("content")))
		request.Trailer = http.Header{"X-Sum": {"42"}}
		front.do(t, request)
		assert.Equal(t, seen{"content", http.Header{"X-Sum": {"42"}}}, receive(t, got, "request"))
	})
	t.Run("announced, with a length, from HTTP/2 to HTTP/1.1", func(t *testing.T) {
		front := newFront(t, newBackend(t, handler), setting{secure: true})
		request := front.request(t, "POST", "/", strings.NewReader("content"))
		request.Trailer = http.Header{"X-Sum": {"42"}}
		front.do(t, request)
		assert.Equal(t, seen{"content", http.Header{"X-Sum": {"42"}}}, receive(t, got, "request"))
	})
	t.Run("announced and not, on HTTP/1.1", func(t *testing.T) {
		backend := newRawBackend(t, func(c *wire) {
			head := c.head()
			if head == "" {
				return
			}
			assert.Contains(t, head, "Trailer: X-Never,X-Sum\r\n")
			assert.Equal(t, "2\r\nab\r\n0\r\nX-Sum: 42\r\nX-Unannounced: 43\r\n\r\n", c.exactly(42))
			c.send(ok(""))
		})
		front := newFront(t, backend, setting{})
		response, _ := front.exchangeRaw(t, "POST", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: X-Mine\r\nTrailer: X-Sum, X-Mine, X-Forwarded-For, X-Never\r\n\r\n"+
			"2\r\nab\r\n0\r\nX-Mine: 1\r\nX-Sum: 42\r\nX-Unannounced: 43\r\nX-Forwarded-For: 1.2.3.4\r\nConnection: x\r\n\r\n")
		require.Equal(t, http.StatusOK, response.StatusCode)
	})
}
