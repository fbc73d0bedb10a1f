package h1

import (
	"bufio"
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline/entrypoint/servertest"
)

// script is a connection on which a client has said all that it has to say.
type script struct {
	io.Reader
	told   bytes.Buffer
	closed bool
}

func (s *script) Write(p []byte) (int, error) { return s.told.Write(p) }
func (s *script) Close() error                { s.closed = true; return nil }
func (s *script) LocalAddr() net.Addr         { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }
func (s *script) RemoteAddr() net.Addr        { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1234} }

func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

func see(r *http.Request) servertest.Request {
	s := servertest.ReadRequest(r)
	if len(s.Trailer) == 0 {
		s.Trailer = nil
	}
	return s
}

// seenHere is what this server makes of a client's bytes.
func seenHere(from io.Reader) (requests []servertest.Request, told string) {
	server := NewServer(Options{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s := see(r)
			requests = append(requests, s)
			if s.Broken {
				panic(http.ErrAbortHandler)
			}
		}),
		ReadHeaderTimeout: time.Minute, IdleTimeout: time.Minute, Log: slog.New(slog.DiscardHandler),
	})
	client := &script{Reader: from}
	server.Serve(client, new(switches))
	return requests, client.told.String()
}

// seenByNetHTTP is what the standard library makes of them.
func seenByNetHTTP(text string) (requests []servertest.Request) {
	r := bufio.NewReader(strings.NewReader(text))
	for {
		if line, _ := r.Peek(2); string(line) == "\r\n" { // which http.ReadRequest leaves to its caller, too
			_, _ = r.Discard(2)
		}
		request, err := http.ReadRequest(r)
		if err != nil {
			return requests
		}
		s := see(request)
		requests = append(requests, s)
		if s.Close || s.Broken {
			return requests
		}
	}
}

func FuzzServe_NeverReadsOtherwiseThanNetHTTP(f *testing.F) {
	for _, seed := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: b\r\n\r\n",
		"GET /?a=b&c HTTP/1.1\r\nHost: a:80\r\nX-y: 1\r\nx-Y:2\r\n\r\n",
		"GET /a%20b/%2f?x=%zz? HTTP/1.1\r\nHost: [::1]\r\n\r\n",
		"GET /! HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /a? HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET //a/b?c HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /\xc3\xbc HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET http://b:8080/x?y HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET HTTPS://b?y HTTP/1.1\r\nHost: a\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
		"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.0\r\n\r\n",
		"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, CLOSE\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\nTrailer: x-a, B\r\n\r\n5\r\nhello\r\n0\r\nX-A: 1\r\nc: 2\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nC: 2\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n",
		"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
		"GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n",
		"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\nHost: a\n\n",
		"GET / HTTP/1.1\r\nHost: a\r\nTrailer: x\r\nPragma: no-cache\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"GET / HTTP/1.9\r\nHost: \r\n\r\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ours, told := seenHere(strings.NewReader(text))
		slow, _ := seenHere(iotest.OneByteReader(strings.NewReader(text)))
		require.Equal(t, ours, slow, "however it arrives")

		theirs := seenByNetHTTP(text)
		require.LessOrEqual(t, len(ours), len(theirs), "%q", text)
		for i, s := range ours {
			want := theirs[i]
			if _, made := s.Header["Cache-Control"]; !made {
				delete(want.Header, "Cache-Control") // which it makes of Pragma
			}
			if s.Broken { // refused
				s.Broken, s.Content, s.Trailer = want.Broken, want.Content, want.Trailer
			}
			require.Equal(t, want, s, "%q", text)
		}
		if len(ours) < len(theirs) {
			broken := len(ours) > 0 && ours[len(ours)-1].Broken
			require.True(t, broken || strings.Contains(told, "\r\nConnection: close\r\n"), "fewer requests, and nobody was told: %q", text)
		}
	})
}
