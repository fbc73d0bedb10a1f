package main_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEntrypoint_ClosesConnectionsThatSayTooLittle(t *testing.T) {
	t.Parallel()
	for setting, say := range map[string]func(t *testing.T, p *proxy) net.Conn{
		"entrypoint.read_header_timeout": func(t *testing.T, p *proxy) net.Conn {
			conn := p.dialTLS(t, "app.test")
			_, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: app")
			require.NoError(t, err)
			return conn
		},
		"entrypoint.idle_timeout": func(t *testing.T, p *proxy) net.Conn {
			conn := p.dialTLS(t, "app.test")
			_, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
			require.NoError(t, err)
			return conn
		},
		"entrypoint.handshake_timeout": func(t *testing.T, p *proxy) net.Conn {
			conn, err := net.Dial("tcp", p.httpsAddress)
			require.NoError(t, err)
			t.Cleanup(func() { _ = conn.Close() })
			return conn
		},
	} {
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			p := start(t, config{setting: "300ms"}, naming(t, "web").service(t, "web", "tricot app.test"))
			conn := say(t, p)
			require.NoError(t, conn.SetReadDeadline(time.Now().Add(2*patience)))
			_, err := io.Copy(io.Discard, conn)
			assert.NotErrorIs(t, err, os.ErrDeadlineExceeded, "it stays open")
		})
	}
}

func TestEntrypoint_RefusesAHeadThatIsTooLong(t *testing.T) {
	t.Parallel()
	p := start(t, config{"entrypoint.max_header_bytes": 8192}, naming(t, "web").service(t, "web", "tricot app.test"))
	long := strings.Repeat("x", 32<<10)
	reply := get(t, p.client(t, http1), "https://app.test/", "X-Long", long)
	assert.Equal(t, http.StatusRequestHeaderFieldsTooLarge, reply.StatusCode)

	response, err := p.client(t, http2).Do(newRequest(t, http.MethodGet, "https://app.test/", nil, "X-Long", long))
	if err == nil {
		defer response.Body.Close()
		assert.Equal(t, http.StatusRequestHeaderFieldsTooLarge, response.StatusCode)
	}
	assert.Equal(t, "web", get(t, p.client(t, http2), "https://app.test/", "X-Short", "x").body)
}

func TestEntrypoint_LetsAConnectionWaitThatIsOneTooMany(t *testing.T) {
	t.Parallel()
	web := naming(t, "web").service(t, "web", "tricot app.test")
	p := start(t, config{"entrypoint.max_connections": 2}, web)
	const request = "GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", p.httpAddress)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		_, err = io.WriteString(conn, request)
		require.NoError(t, err)
		return conn
	}
	answered := func(conn net.Conn) chan error {
		answer := make(chan error, 1)
		go func() {
			_, err := http.ReadResponse(bufio.NewReader(conn), nil)
			answer <- err
		}()
		return answer
	}
	first, second := dial(), dial()
	require.NoError(t, <-answered(first))
	require.NoError(t, <-answered(second))

	third := answered(dial())
	select {
	case <-third:
		assert.Fail(t, "a third one is served")
	case <-time.After(100 * time.Millisecond):
	}
	require.NoError(t, first.Close())
	select {
	case err := <-third:
		assert.NoError(t, err)
	case <-time.After(patience):
		assert.Fail(t, "the third one is never served")
	}
}
