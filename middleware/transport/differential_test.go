package transport

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
)

// said is what somebody makes of a backend's bytes.
type said struct {
	status  int
	header  http.Header
	body    string
	trailer http.Header
}

// scripted is a connection on which one side's bytes are known.
type scripted struct {
	net.Conn // nil
	from     io.Reader
}

func (s scripted) Read(p []byte) (int, error)       { return s.from.Read(p) }
func (s scripted) Write(p []byte) (int, error)      { return len(p), nil }
func (s scripted) Close() error                     { return nil }
func (s scripted) SetDeadline(time.Time) error      { return nil }
func (s scripted) SetReadDeadline(time.Time) error  { return nil }
func (s scripted) SetWriteDeadline(time.Time) error { return nil }

// ours is what the stage makes of bytes; the error is why it takes them for no answer, or for none that is complete.
func ours(t testing.TB, method string, from io.Reader) (s said, err error) {
	connections, err := NewConnections(ConnectionOptions{Dial: func(context.Context, string, string) (net.Conn, error) {
		return scripted{from: from}, nil
	}})
	require.NoError(t, err)
	defer connections.Close()
	stage, err := New(Options{Connections: connections})
	require.NoError(t, err)
	r := incoming(0)
	r.Method = method
	w := newRecorded()
	state, w2, r2 := pipeline.Enter(w, r)
	state.Backend = &pipeline.Backend{Scheme: pipeline.HTTP, Address: "scripted:80"}
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler { // which comes with a failure
			panic(p)
		}
		if state.Failure != nil {
			err = state.Failure.Err
		}
	}()
	stage(nil).ServeHTTP(w2, r2)
	return said{w.status, w.header, w.body.String(), w.trailer()}, nil
}

// theirs is what net/http's client makes of them.
func theirs(method, text string) (said, error) {
	rest := strings.NewReader(text)
	r := bufio.NewReader(rest)
	for {
		// It drops the field where that says "close".
		head := textproto.NewReader(bufio.NewReader(strings.NewReader(text[len(text)-rest.Len()-r.Buffered():])))
		_, _ = head.ReadLine()
		fields, _ := head.ReadMIMEHeader()
		response, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			return said{}, err
		}
		if response.StatusCode < 200 && response.StatusCode != http.StatusSwitchingProtocols {
			continue
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return said{}, err
		}
		if response.Header.Get("Cache-Control") == "no-cache" && response.Header.Get("Pragma") == "no-cache" {
			response.Header.Del("Cache-Control") // it makes one of the other
		}
		response.Header["Connection"] = fields["Connection"]
		return said{response.StatusCode, response.Header, string(body), response.Trailer}, nil
	}
}

// same holds what ours made of bytes, which it took for an answer, against what theirs did.
func same(t testing.TB, text string, a, b said) {
	require.Equal(t, b.status, a.status, "%q", text)
	require.Equal(t, b.body, a.body, "%q", text)
	header, trailer := maps.Clone(b.header), make(http.Header)
	removeHopByHop(header)
	if a.status == http.StatusNoContent {
		delete(header, "Content-Length")
	}
	got := maps.Clone(a.header)
	delete(got, "Trailer")
	if got["Content-Type"] == nil {
		delete(got, "Content-Type")
	}
	if got.Get("Cache-Control") == "no-cache" && got.Get("Pragma") == "no-cache" {
		delete(got, "Cache-Control")
	}
	require.Equal(t, header, got, "%q", text)
	for name, values := range b.trailer {
		if isTrailer(name) && values != nil {
			trailer[name] = values
		}
	}
	require.Equal(t, trailer, a.trailer, "%q", text)
}

// corpus has answers that both take, that one refuses, and that both do.
var corpus = []string{
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.1 200\r\n\r\nhello",
	"HTTP/1.1 200 \r\n\r\nhello",
	"HTTP/1.0 200 OK\r\n\r\nuntil the end",
	"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.1 600 Odd\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 000 Odd\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: CHUNKED\r\n\r\n005;a=b\r\nhello\r\n1\r\n!\r\n0;c\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Never\r\nX-Sum: header\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\nOther: 2\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 1\r\nConnection: x\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhell",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
	"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
	"HTTP/1.1 200 OK\r\nA: \t b \t\r\na: c\r\nEtag: \xff\r\nB:\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nConnection: close, x-own\r\nX-Own: 1\r\nKeep-Alive: 5\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nConnection: Content-Length, Content-Type\r\nContent-Type: a/b\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nPragma: no-cache\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.2 200 OK\r\nContent-Length: 5\r\n\r\nhello",
	"ICY 200 OK\r\nContent-Length: 5\r\n\r\nhello",
	"\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
	"",
	"HTTP/1.1 200 OK\r\n",
}

func TestDifferential_ReadsAnswersAsTheStandardLibraryDoesOrNotAtAll(t *testing.T) {
	taken := 0
	for _, text := range corpus {
		for _, method := range []string{"GET", "HEAD", "POST"} {
			for name, from := range map[string]io.Reader{
				"at once": strings.NewReader(text), "by bytes": iotest.OneByteReader(strings.NewReader(text)),
				"with its end": iotest.DataErrReader(strings.NewReader(text)),
			} {
				a, err := ours(t, method, from)
				if err != nil {
					continue
				}
				taken++
				b, err := theirs(method, text)
				require.NoError(t, err, "%s: %s %q", name, method, text)
				same(t, text, a, b)
			}
		}
	}
	require.Greater(t, taken, 100)
}

func TestDifferential_TakesWhatEveryBackendSends(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 20_000)
	var chunked bytes.Buffer
	for i := 0; i < len(large); i += 10_000 {
		chunked.WriteString("2710\r\n" + large[i:i+10_000] + "\r\n")
	}
	chunked.WriteString("0\r\n\r\n")
	for _, c := range []struct{ answer, body string }{
		{"HTTP/1.1 200 OK\r\nContent-Length: 320000\r\n\r\n" + large, large},
		{"HTTP/1.1 200 OK\r\n\r\n" + large, large},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked.String(), large},
		{"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 320000\r\n\r\n" + large, large},
		{"HTTP/1.1 200 OK\r\nSet-Cookie: " + strings.Repeat("c", 20_000) + "\r\nContent-Length: 5\r\n\r\nhello", "hello"},
	} {
		for _, from := range []io.Reader{strings.NewReader(c.answer), iotest.HalfReader(strings.NewReader(c.answer))} {
			got, err := ours(t, "GET", from)
			require.NoError(t, err)
			require.Equal(t, c.body, got.body, "%.80q", c.answer)
			other, err := theirs("GET", c.answer)
			require.NoError(t, err)
			same(t, c.answer, got, other)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	for _, text := range corpus {
		f.Add(text, true, false)
		f.Add(text, false, true)
	}
	f.Fuzz(func(t *testing.T, text string, get, slow bool) {
		method := http.MethodHead
		if get {
			method = http.MethodGet
		}
		a, err := ours(t, method, strings.NewReader(text))
		if slow {
			b, err2 := ours(t, method, iotest.OneByteReader(strings.NewReader(text)))
			require.Equal(t, err == nil, err2 == nil, "%v, %v", err, err2)
			if err == nil {
				require.Equal(t, a, b)
			}
		}
		if err != nil {
			return
		}
		b, err := theirs(method, text)
		require.NoError(t, err, "%q", text)
		same(t, text, a, b)
	})
}
