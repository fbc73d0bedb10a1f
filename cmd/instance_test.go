package cmd

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAskInstance_SaysWhyThereIsNoAnswer(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status int
		body   string
		says   []string
	}{
		"a sentence":     {http.StatusUnauthorized, "401 unauthorized: give admin.token\n", []string{"401 Unauthorized", "give admin.token"}},
		"JSON":           {http.StatusBadRequest, `{"error":"that is no URL"}`, []string{"400 Bad Request: that is no URL"}},
		"other JSON":     {http.StatusBadGateway, `{"why":"no"}`, []string{`502 Bad Gateway: {"why":"no"}`}},
		"a redirect":     {http.StatusFound, "", []string{"302 Found"}},
		"no JSON at all": {http.StatusOK, "<html>", []string{"read the answer of the running instance"}},
		"half of it":     {http.StatusOK, `{"a":`, []string{"read the answer of the running instance"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "http://192.0.2.1/")
				w.WriteHeader(tc.status)
				_, _ = io.WriteString(w, tc.body)
			}))
			t.Cleanup(server.Close)
			var into map[string]any
			err := askInstance(t.Context(), loaded(t, "--admin-bind-addr="+server.Listener.Addr().String()), "/api/status", &into)
			for _, part := range tc.says {
				assert.ErrorContains(t, err, part)
			}
		})
	}
}

func TestAskInstance_SaysThatNobodyIsThere(t *testing.T) {
	t.Parallel()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, gone.Close())
	for address, part := range map[string]string{
		gone.Addr().String(): "connection refused", "": "admin.bind_addr is empty", "127.0.0.1:0": "has no port of its own",
	} {
		err := askInstance(t.Context(), loaded(t, "--admin-bind-addr="+address), "/api/explain?url=secret", nil)
		assert.ErrorContains(t, err, part)
		assert.ErrorContains(t, err, "--offline")
		assert.ErrorContains(t, err, address)
		assert.NotContains(t, err.Error(), "secret")
	}
}

func TestAskInstance_GivesTheToken(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "/api/status?x=1", r.RequestURI)
		_, _ = io.WriteString(w, `{"given":"`+r.Header.Get("Authorization")+`"}`)
	}))
	t.Cleanup(server.Close)
	var answer struct{ Given string }
	s := loaded(t, "--admin-bind-addr="+server.Listener.Addr().String())
	require.NoError(t, askInstance(t.Context(), s, "/api/status?x=1", &answer))
	assert.Empty(t, answer.Given)
	s.Admin.Token = "a-token"
	require.NoError(t, askInstance(t.Context(), s, "/api/status?x=1", &answer))
	assert.Equal(t, "Bearer a-token", answer.Given)
}

func TestReachable_IsThisMachine(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"127.0.0.1:9335": "127.0.0.1:9335", "localhost:9335": "localhost:9335", "[::1]:9335": "[::1]:9335", "192.0.2.1:9335": "192.0.2.1:9335",
		":9335": "127.0.0.1:9335", "0.0.0.0:9335": "127.0.0.1:9335", "[::]:9335": "[::1]:9335",
	} {
		assert.Equal(t, want, reachable(address))
	}
}
