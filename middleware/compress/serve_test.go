package compress

import (
	"compress/gzip"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
)

// What the tests of this package share: a real server with the stage in front of a handler, over HTTP/1.1 and HTTP/2,
// and decoders that give what has arrived without waiting for more.

var (
	everyCoding   = []coding{brotliCoding, zstdCoding, gzipCoding}
	everyProtocol = []string{"HTTP/1.1", "HTTP/2.0"}
)

// eachWay runs a test for each protocol and coding.
func eachWay(t *testing.T, test func(t *testing.T, protocol string, c coding)) {
	for _, protocol := range everyProtocol {
		for _, c := range everyCoding {
			t.Run(protocol+" "+c.String(), func(t *testing.T) { test(t, protocol, c) })
		}
	}
}

// A site is a server with the stage in front of a handler.
type site struct {
	*httptest.Server
	protocol string
}

func serve(t *testing.T, protocol string, options Options, handler http.HandlerFunc) *site {
	t.Helper()
	wrap, err := New(options)
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(wrap(handler))
	if protocol == "HTTP/2.0" {
		server.EnableHTTP2 = true
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	server.Client().Transport.(*http.Transport).DisableCompression = true
	return &site{server, protocol}
}

// do sends a request and gives the response, its body as it came. Whatever takes longer than half a minute fails.
func (s *site) do(t *testing.T, method string, header http.Header) *http.Response {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, method, s.URL, nil)
	require.NoError(t, err)
	if header != nil {
		request.Header = header
	}
	response, err := s.Client().Do(request)
	require.NoError(t, err)
	t.Cleanup(func() { response.Body.Close() })
	require.Equal(t, s.protocol, response.Proto)
	return response
}

func (s *site) get(t *testing.T, accepted string) *http.Response {
	t.Helper()
	return s.do(t, http.MethodGet, http.Header{"Accept-Encoding": {accepted}})
}

// decode gives the plain content of a stream.
func decode(t testing.TB, contentEncoding string, body io.Reader) io.Reader {
	t.Helper()
	switch contentEncoding {
	case "br":
		return brotli.NewReader(body)
	case "zstd":
		decoder, err := zstd.NewReader(body, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20))
		require.NoError(t, err)
		t.Cleanup(decoder.Close)
		return decoder
	case "gzip":
		return &lateGzip{body: body}
	case "":
		return body
	}
	require.Failf(t, "unknown coding", "%q", contentEncoding)
	return nil
}

// lateGzip reads the header of the stream when it is first read itself, as the other decoders do.
type lateGzip struct {
	body io.Reader
	*gzip.Reader
}

func (g *lateGzip) Read(p []byte) (int, error) {
	if g.Reader == nil {
		var err error
		if g.Reader, err = gzip.NewReader(g.body); err != nil {
			return 0, err
		}
	}
	return g.Reader.Read(p)
}

func decodeAll(t *testing.T, response *http.Response) string {
	t.Helper()
	content, err := io.ReadAll(decode(t, response.Header.Get("Content-Encoding"), response.Body))
	require.NoError(t, err)
	return string(content)
}

// page makes a text of n bytes that compresses about as well as HTML does.
func page(n int) string {
	words := strings.Fields("the of and to in that is was for it with as on be at by this from or have an they which one " +
		"service backend route pipeline certificate response <p class=\"note\"> </p> <li><a href=\"/docs/" +
		"\"> </a></li> <h2 id=\"stage\"> </h2> 2024 1.1 consul")
	random := rand.New(rand.NewPCG(1, 2))
	var text strings.Builder
	for text.Len() < n {
		text.WriteString(words[min(random.IntN(len(words)), random.IntN(len(words)))])
		text.WriteByte(" \n"[random.IntN(2)])
	}
	return text.String()[:n]
}
