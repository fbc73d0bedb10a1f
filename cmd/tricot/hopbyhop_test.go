package main_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What a client's Connection names is the client's own; Tricot's stages add their fields after that.
func TestConnection_NamesOnlyWhatTheClientSent(t *testing.T) {
	t.Parallel()
	p := start(t, config{"middleware.redirect.enabled": false}, serve(t, func(w http.ResponseWriter, r *http.Request) {
		_ = r.Header.Write(w)
	}).service(t, "web", "tricot app.test"))
	conn := p.dialTLS(t, "app.test")
	_, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close, X-Request-Id, X-Mine, X-Forwarded-For, X-Forwarded-Proto\r\n"+
		"X-Mine: 1\r\nX-Request-Id: the-clients\r\nX-Kept: 1\r\n\r\n")
	require.NoError(t, err)
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	_, got, _ := strings.Cut(string(answer), "\r\n\r\n")
	assert.Regexp(t, `(?m)^X-Request-Id: [0-9a-f]{32}\r$`, got)
	for _, line := range []string{"X-Forwarded-For: 127.0.0.1\r\n", "X-Forwarded-Proto: https\r\n", "X-Kept: 1\r\n"} {
		assert.Contains(t, got, line)
	}
	assert.NotContains(t, got, "X-Mine")
	assert.NotContains(t, got, "the-clients")
}
