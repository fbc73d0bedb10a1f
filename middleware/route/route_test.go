package route

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
	"github.com/tricot-proxy/tricot/providers"
)

// serve starts a server whose only stage is route, and which answers with the route that it finds.
func serve(t *testing.T, instances ...providers.Instance) *httptest.Server {
	router := NewRouter(Options{})
	router.Apply(instances)
	server := httptest.NewUnstartedServer(New(router)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		route := pipeline.StateOf(r).Route
		_, _ = fmt.Fprintf(w, "%s%s %d", route.Host, route.Path, len(route.Tiers))
	})))
	server.Config.DisableGeneralOptionsHandler = true // which would answer OPTIONS * itself
	server.Start()
	t.Cleanup(server.Close)
	return server
}

// ask sends a request's bytes and gives the answer's status and body.
func ask(t *testing.T, server *httptest.Server, request string) (int, string) {
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, request)
	require.NoError(t, err)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(body)
}

func TestNew_SetsTheRouteOfEachRequestOrAnswers404(t *testing.T) {
	server := serve(t, instance("a", "tricot a.com", "tricot a.com/api", "tricot bücher.de"),
		sick(instance("b", "tricot b.com")), instance("c", "tricot *.c.com"))

	const none = "404 page not found\n"
	cases := []struct {
		name, request string
		status        int
		body          string
	}{
		{"plain", "GET / HTTP/1.1\r\nHost: a.com", 200, "a.com 1"},
		{"host in capitals, with dot and port", "GET /api HTTP/1.1\r\nHost: A.Com.:8443", 200, "a.com/api 1"},
		{"ASCII form", "GET / HTTP/1.1\r\nHost: xn--bcher-kva.de", 200, "xn--bcher-kva.de 1"},
		{"wildcard", "GET / HTTP/1.1\r\nHost: x.c.com", 200, "*.c.com 1"},
		{"encoded path", "GET /%61pi HTTP/1.1\r\nHost: a.com", 200, "a.com 1"},
		{"path that is not clean", "GET /x/../api HTTP/1.1\r\nHost: a.com", 200, "a.com 1"},
		{"query that looks like a path", "GET /?/api HTTP/1.1\r\nHost: a.com", 200, "a.com 1"},
		{"absolute form", "GET http://a.com/api HTTP/1.1\r\nHost: ignored.com", 200, "a.com/api 1"},
		{"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: a.com", 200, "a.com 1"},
		{"nobody can serve", "GET / HTTP/1.1\r\nHost: b.com", 200, "b.com 0"},
		{"no rule", "GET / HTTP/1.1\r\nHost: none.com", 404, none},
		{"no Host", "GET / HTTP/1.0", 404, none},
		{"Host empty", "GET / HTTP/1.1\r\nHost: ", 404, none},
		{"Host is none", "GET / HTTP/1.1\r\nHost: a.com!", 404, none},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			status, body := ask(t, server, c.request+"\r\n\r\n")
			assert.Equal(t, c.status, status)
			assert.Equal(t, c.body, body)
		})
	}
}

func TestNew_RoutesEachRequestByTheTableOfItsTime(t *testing.T) {
	router := NewRouter(Options{})
	handler := New(router)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	}))
	status := func() int {
		response := httptest.NewRecorder()
		handler.ServeHTTP(response, httptest.NewRequest(http.MethodGet, "http://a.com/", nil))
		return response.Code
	}
	assert.Equal(t, http.StatusNotFound, status())
	router.Apply([]providers.Instance{instance("a", "tricot a.com")})
	assert.Equal(t, http.StatusNoContent, status())
	router.Apply(nil)
	assert.Equal(t, http.StatusNotFound, status())
}
