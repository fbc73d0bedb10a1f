package main_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// paths notes which paths a backend was asked for.
type paths struct {
	mu    sync.Mutex
	asked []string
}

func (p *paths) serve(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked = append(p.asked, r.URL.Path)
	p.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	_, _ = io.WriteString(w, r.Method+" "+r.URL.Path+" "+string(body))
}

func (p *paths) all() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.asked...)
}

// The second request of each case is one that must not be seen: it stands where a reader that took the first one
// otherwise would find it.
func TestStrict_RefusesWhatTwoReadersCouldTakeDifferently(t *testing.T) {
	t.Parallel()
	const next = "GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n"
	head := func(fields string) string { return "POST /first HTTP/1.1\r\nHost: app.test\r\n" + fields + "\r\n" }
	chunks := "0\r\n\r\n" + next
	p, seen := startStrict(t)
	defer func() { assert.Empty(t, seen.all()) }()
	for name, c := range map[string]struct {
		send string
		want int // 0: 400
	}{
		"a length and chunks":                  {send: head("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n") + chunks},
		"chunks and a length":                  {send: head("Transfer-Encoding: chunked\r\nContent-Length: 6\r\n") + chunks},
		"chunked twice":                        {send: head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n") + chunks},
		"chunked and identity":                 {send: head("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n") + chunks},
		"chunked in a list":                    {send: head("Transfer-Encoding: identity, chunked\r\n") + chunks, want: 501},
		"chunked spelled with a vertical tab":  {send: head("Transfer-Encoding: \vchunked\r\n") + chunks},
		"chunked in quotes":                    {send: head("Transfer-Encoding: \"chunked\"\r\n") + chunks, want: 501},
		"another coding":                       {send: head("Transfer-Encoding: xchunked\r\n") + chunks, want: 501},
		"an empty coding":                      {send: head("Transfer-Encoding:\r\n") + chunks, want: 501},
		"chunked in HTTP/1.0":                  {send: "POST /first HTTP/1.0\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks},
		"two lengths":                          {send: head("Content-Length: 0\r\nContent-Length: 44\r\n") + next},
		"the same length twice":                {send: head("Content-Length: 0\r\nContent-Length: 0\r\n") + next},
		"a list of lengths":                    {send: head("Content-Length: 0, 0\r\n") + next},
		"a length with a sign":                 {send: head("Content-Length: +0\r\n") + next},
		"a negative length":                    {send: head("Content-Length: -1\r\n") + next},
		"a hexadecimal length":                 {send: head("Content-Length: 0x0\r\n") + next},
		"an empty length":                      {send: head("Content-Length:\r\n") + next},
		"a length beyond 63 bits":              {send: head("Content-Length: 18446744073709551616\r\n") + next},
		"a space before the colon":             {send: head("Content-Length : 0\r\n") + next},
		"a tab before the colon":               {send: head("Transfer-Encoding\t: chunked\r\n") + chunks},
		"an obsolete fold":                     {send: head("X-Test: a\r\n Content-Length: 0\r\n") + next},
		"a fold that hides a coding":           {send: head("Transfer-Encoding:\r\n chunked\r\n") + chunks},
		"a fold in the first field":            {send: "POST /first HTTP/1.1\r\n Host: app.test\r\n\r\n" + next},
		"lines that end in LF":                 {send: "POST /first HTTP/1.1\nHost: app.test\nContent-Length: 0\n\n" + next},
		"one line that ends in LF":             {send: head("X-Test: a\nContent-Length: 0\r\n") + next},
		"an empty line of LF":                  {send: "POST /first HTTP/1.1\r\nHost: app.test\r\n\n" + next},
		"a bare CR in a value":                 {send: head("X-Test: a\rContent-Length: 0\r\n") + next},
		"a bare CR before the end of the line": {send: head("X-Test: a\r\r\n") + next},
		"NUL in a value":                       {send: head("X-Test: a\x00b\r\n") + next},
		"NUL in a name":                        {send: head("X\x00Test: a\r\n") + next},
		"DEL in a value":                       {send: head("X-Test: a\x7fb\r\n") + next},
		"a field without a colon":              {send: head("Content-Length\r\n") + next},
		"a field without a name":               {send: head(": 0\r\n") + next},
		"a name beyond ASCII":                  {send: head("Content\xadLength: 5\r\n") + next},
		"two hosts":                            {send: head("Host: other.test\r\n") + next},
		"no host":                              {send: "GET /first HTTP/1.1\r\n\r\n" + next},
		"a host with a path":                   {send: "GET /first HTTP/1.1\r\nHost: app.test/x\r\n\r\n" + next},
		"two spaces before the version":        {send: "GET /first  HTTP/1.1\r\nHost: app.test\r\n\r\n" + next},
		"a space in the target":                {send: "GET /first x HTTP/1.1\r\nHost: app.test\r\n\r\n" + next},
		"a tab for a space":                    {send: "GET\t/first\tHTTP/1.1\r\nHost: app.test\r\n\r\n" + next},
		"a fragment":                           {send: "GET /first#x HTTP/1.1\r\nHost: app.test\r\n\r\n" + next},
		"a method that is no token":            {send: "GE(T /first HTTP/1.1\r\nHost: app.test\r\n\r\n" + next},
		"HTTP/0.9":                             {send: "GET /first\r\n\r\n" + next},
		"a version of two digits":              {send: "GET /first HTTP/1.10\r\nHost: app.test\r\n\r\n" + next},
		"HTTP/2 without TLS":                   {send: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + next, want: 505},
		"a trailer announced that is none":     {send: head("Transfer-Encoding: chunked\r\nTrailer: Content-Length\r\n") + chunks},
	} {
		if c.want == 0 {
			c.want = http.StatusBadRequest
		}
		t.Run(name, func(t *testing.T) { p.assertRefused(t, c.send, c.want) })
	}
}

// The head is right, so the backend may have it before the body turns out to be no body.
func TestStrict_RefusesChunksThatTwoReadersCouldTakeDifferently(t *testing.T) {
	t.Parallel()
	const next = "GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n"
	const head = "POST /first HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n"
	p, seen := startStrict(t)
	defer func() { assert.NotContains(t, seen.all(), "/smuggled") }()
	for name, body := range map[string]string{
		"a size that is none":               "x\r\n\r\n0\r\n\r\n",
		"an empty size":                     "\r\n0\r\n\r\n",
		"a size with 0x":                    "0x1\r\na\r\n0\r\n\r\n",
		"a size with a sign":                "+1\r\na\r\n0\r\n\r\n",
		"a size beyond 64 bits":             "10000000000000001\r\na\r\n0\r\n\r\n",
		"a space before the size":           " 1\r\na\r\n0\r\n\r\n",
		"a space behind the size":           "1 \r\na\r\n0\r\n\r\n",
		"a size line that ends in LF":       "1\na\r\n0\r\n\r\n",
		"a bare CR in an extension":         "1;a\rb\r\na\r\n0\r\n\r\n",
		"LF in an extension":                "1;a\n0\r\n\r\n",
		"an extension without a name":       "1;\r\na\r\n0\r\n\r\n",
		"an extension without a value":      "1;a=\r\na\r\n0\r\n\r\n",
		"an extension without its quote":    "1;a=\"b\r\na\r\n0\r\n\r\n",
		"an extension without its end":      "1;" + strings.Repeat("a", 8<<10),
		"a chunk that is longer":            "1\r\nab\r\n0\r\n\r\n",
		"a chunk that ends in LF":           "1\r\na\n0\r\n\r\n",
		"a last chunk that ends in LF":      "0\n\n",
		"a trailer section that ends in LF": "0\r\n\n",
		"a fold in a trailer":               "0\r\nX-Test: a\r\n b\r\n\r\n",
		"a space in a trailer's name":       "0\r\nX-Test : a\r\n\r\n",
		"a bare CR in a trailer":            "0\r\nX-Test: a\rb\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) { p.assertRefused(t, head+body+next, http.StatusBadRequest) })
	}
}

// startStrict gives a Tricot that serves app.test over HTTP, too.
func startStrict(t *testing.T) (*proxy, *paths) {
	t.Helper()
	seen := new(paths)
	return start(t, config{"middleware.redirect.enabled": false}, serve(t, seen.serve).service(t, "web", "tricot app.test")), seen
}

// dialEach runs a test on a bare connection to each port.
func (p *proxy) dialEach(t *testing.T, test func(t *testing.T, port string, conn net.Conn)) {
	t.Helper()
	plain, err := net.Dial("tcp", p.httpAddress)
	require.NoError(t, err)
	t.Cleanup(func() { _ = plain.Close() })
	for port, conn := range map[string]net.Conn{"HTTP": plain, "HTTPS": p.dialTLS(t, "app.test")} {
		require.NoError(t, conn.SetDeadline(time.Now().Add(2*patience)))
		test(t, port, conn)
	}
}

// assertRefused sends bytes to both ports, each of which must answer once and close the connection.
func (p *proxy) assertRefused(t *testing.T, bytes string, want int) {
	t.Helper()
	p.dialEach(t, func(t *testing.T, port string, conn net.Conn) {
		_, err := io.WriteString(conn, bytes)
		require.NoError(t, err)
		answers := bufio.NewReader(conn)
		response, err := http.ReadResponse(answers, nil)
		require.NoError(t, err, port)
		assert.Equal(t, want, response.StatusCode, port)
		assert.True(t, response.Close, port)
		_, err = io.Copy(io.Discard, response.Body)
		require.NoError(t, err, port)
		if half, ok := conn.(interface{ CloseWrite() error }); ok { // or the server waits for what else may come
			_ = half.CloseWrite()
		}
		rest, err := io.ReadAll(answers)
		require.NoError(t, err, port)
		assert.Empty(t, rest, port)
	})
}
