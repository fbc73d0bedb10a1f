package redirect

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func passed(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "passed") }

func stageOn(t testing.TB, port int) http.Handler {
	stage, err := New(Options{Port: port})
	require.NoError(t, err)
	return stage(http.HandlerFunc(passed))
}

// exchange sends bytes to a real server with the stage and reads the answer.
func exchange(t *testing.T, port int, request string) (status int, location, body string) {
	t.Helper()
	server := httptest.NewUnstartedServer(stageOn(t, port))
	server.Config.DisableGeneralOptionsHandler = true
	server.Start()
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, request)
	require.NoError(t, err)
	// The header is read as bytes: a client's parser might mend it.
	reader := bufio.NewReader(conn)
	head := ""
	for !strings.HasSuffix(head, "\r\n\r\n") {
		line, err := reader.ReadString('\n')
		require.NoError(t, err)
		if value, ok := strings.CutPrefix(line, "Location: "); ok {
			location = strings.TrimSuffix(value, "\r\n")
		}
		head += line
	}
	method, _, _ := strings.Cut(request, " ")
	response, err := http.ReadResponse(bufio.NewReader(io.MultiReader(strings.NewReader(head), reader)),
		&http.Request{Method: method})
	require.NoError(t, err)
	raw, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, location, string(raw)
}

func TestRedirect_KeepsHostPathAndQueryByteForByte(t *testing.T) {
	for _, c := range []struct {
		target, host string
		port         int
		want         string
	}{
		{"/", "app.example.com", 443, "https://app.example.com/"},
		{"/", "app.example.com", 8443, "https://app.example.com:8443/"},
		{"/", "app.example.com:80", 443, "https://app.example.com/"},
		{"/", "app.example.com:8080", 8443, "https://app.example.com:8443/"},
		{"/", "app.example.com:", 443, "https://app.example.com/"},
		{"/", "App.Example.COM.", 443, "https://App.Example.COM./"},
		{"/", "192.0.2.1:80", 443, "https://192.0.2.1/"},
		{"/", "[2001:DB8::1]", 443, "https://[2001:DB8::1]/"},
		{"/", "[2001:db8::1]:80", 8443, "https://[2001:db8::1]:8443/"},
		{"/a/../b//c/./%2e%2E/%2Fd;p=1", "a.b", 443, "https://a.b/a/../b//c/./%2e%2E/%2Fd;p=1"},
		{"/a?b=c%20d&e=+&f=?g&", "a.b", 443, "https://a.b/a?b=c%20d&e=+&f=?g&"},
		{"/a?", "a.b", 443, "https://a.b/a?"},
		{"/\xc3\xbc\xff?\xe9", "a.b", 443, "https://a.b/\xc3\xbc\xff?\xe9"},
		{"/<script>\"'`{}|^", "a.b", 443, "https://a.b/<script>\"'`{}|^"},
		{"/%0d%0aSet-Cookie:%20a=b", "a.b", 443, "https://a.b/%0d%0aSet-Cookie:%20a=b"},
		{"//other.example/x", "a.b", 443, "https://a.b//other.example/x"},
		{"/\\other.example", "a.b", 443, "https://a.b/\\other.example"},
		{"/@other.example", "a.b", 443, "https://a.b/@other.example"},
		{"http://a.b/x?y", "ignored.example", 443, "https://a.b/x?y"},
		{"http://a.b:80?y", "ignored.example", 443, "https://a.b/?y"},
		{"http://user:secret@a.b/x", "ignored.example", 443, "https://a.b/x"},
		{"/.well-known/acme-challeng", "a.b", 443, "https://a.b/.well-known/acme-challeng"},
		{"/.well-known/acme-challenge", "a.b", 443, "https://a.b/.well-known/acme-challenge"},
		{"/.well-known/acme%2Dchallenge/x", "a.b", 443, "https://a.b/.well-known/acme%2Dchallenge/x"},
		{"/?/.well-known/acme-challenge/x", "a.b", 443, "https://a.b/?/.well-known/acme-challenge/x"},
	} {
		status, location, text := exchange(t, c.port, "GET "+c.target+" HTTP/1.1\r\nHost: "+c.host+"\r\n\r\n")
		assert.Equal(t, http.StatusPermanentRedirect, status, c.target)
		assert.Equal(t, c.want, location)
		assert.Equal(t, body, text)
	}
}

func TestRedirect_AnswersEveryMethod(t *testing.T) {
	for request, want := range map[string]string{
		"POST /form?x HTTP/1.1\r\nHost: a.b\r\nContent-Length: 4\r\n\r\nbody": "https://a.b/form?x",
		"HEAD / HTTP/1.1\r\nHost: a.b\r\n\r\n":                                "https://a.b/",
		"OPTIONS * HTTP/1.1\r\nHost: a.b\r\n\r\n":                             "https://a.b",
		"GET /old HTTP/1.0\r\nHost: a.b\r\n\r\n":                              "https://a.b/old",
	} {
		status, location, _ := exchange(t, 443, request)
		assert.Equal(t, http.StatusPermanentRedirect, status, request)
		assert.Equal(t, want, location, request)
	}
}

func TestRedirect_AnswersAHostThatIsNoneWith400(t *testing.T) {
	for _, request := range []string{
		"GET / HTTP/1.0\r\n\r\n",
		"GET / HTTP/1.1\r\nHost:\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a..b\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: 2001:db8::1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: %61.b\r\n\r\n",
	} {
		status, location, _ := exchange(t, 443, request)
		assert.Equal(t, http.StatusBadRequest, status, request)
		assert.Empty(t, location)
	}
}

func TestRedirect_PassesTheChallengePathOn(t *testing.T) {
	for _, request := range []string{
		"GET /.well-known/acme-challenge/token HTTP/1.1\r\nHost: a.b\r\n\r\n",
		"GET http://a.b/.well-known/acme-challenge/token?x HTTP/1.1\r\nHost: a.b\r\n\r\n",
		"GET /.well-known/acme-challenge/token HTTP/1.0\r\n\r\n",
	} {
		status, _, text := exchange(t, 443, request)
		assert.Equal(t, http.StatusOK, status, request)
		assert.Equal(t, "passed", text)
	}
}

func TestRedirect_LeavesTLSAlone(t *testing.T) {
	server := httptest.NewTLSServer(stageOn(t, 443))
	defer server.Close()
	response, err := server.Client().Get(server.URL + "/x")
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	assert.Equal(t, "passed", string(text))
}

// A real server lets none of these in; whoever makes requests in another way cannot split the response either.
func TestRedirect_PutsNothingIntoLocationThatEndsAField(t *testing.T) {
	handler := stageOn(t, 443)
	for _, target := range []string{"/a\r\nX: y", "/a\nb", "/a\x00", "/a b", "/\x7f"} {
		r := &http.Request{Method: http.MethodGet, Host: "a.b", RequestURI: target, URL: &url.URL{}, Header: http.Header{}}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		assert.Equal(t, http.StatusBadRequest, w.Code, "%q", target)
		assert.Empty(t, w.Header().Get("Location"))
	}
}

func TestRedirect_WritesAnInternationalHostInASCII(t *testing.T) {
	w := httptest.NewRecorder()
	stageOn(t, 8443).ServeHTTP(w, &http.Request{
		Method: http.MethodGet, Host: "BÜCHER.example:80", RequestURI: "/", URL: &url.URL{}, Header: http.Header{},
	})
	assert.Equal(t, "https://xn--bcher-kva.example:8443/", w.Header().Get("Location"))
}

func TestNew_RefusesAPortThatIsNone(t *testing.T) {
	for _, port := range []int{-1, 0, 65536} {
		_, err := New(Options{Port: port})
		assert.ErrorContains(t, err, "redirect: HTTPS port")
	}
}

func FuzzRedirect(f *testing.F) {
	f.Add("a.b:80", "//x")
	f.Add("[::1]", "http://x/y?z")
	handler := stageOn(f, 443)
	f.Fuzz(func(t *testing.T, host, target string) {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, &http.Request{
			Method: http.MethodGet, Host: host, RequestURI: target, URL: &url.URL{Path: "/"}, Header: http.Header{},
		})
		if w.Code != http.StatusPermanentRedirect {
			return
		}
		location := w.Header().Get("Location")
		rest, ok := strings.CutPrefix(location, "https://")
		require.True(t, ok)
		authority := rest
		if i := strings.IndexAny(rest, "/?#"); i >= 0 {
			authority = rest[:i]
		}
		require.NotContains(t, authority, "@")
		require.NotContains(t, authority, "\\")
		if isASCII(host) {
			port, ok := strings.CutPrefix(host, authority)
			require.True(t, ok && (port == "" || port[0] == ':'), "%q %q", host, authority)
		}
		for i := range len(location) {
			require.Greater(t, location[i], byte(' '))
		}
	})
}

func isASCII(s string) bool { return strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 }) < 0 }

func BenchmarkRedirect(b *testing.B) {
	for name, state := range map[string]*tls.ConnectionState{"plain": nil, "TLS": {}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			stage, err := New(Options{Port: 443})
			require.NoError(b, err)
			handler := stage(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			r := httptest.NewRequest(http.MethodGet, "http://app.example.com/path?query", nil)
			r.TLS = state
			w := httptest.NewRecorder()
			for b.Loop() {
				w.Body.Reset()
				handler.ServeHTTP(w, r)
			}
		})
	}
}
