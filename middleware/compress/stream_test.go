package compress

import (
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestStream_HoldsBoundedMemoryHoweverLongTheResponseIs(t *testing.T) {
	text := []byte(page(256 << 10))
	for _, c := range everyCoding {
		t.Run(c.String(), func(t *testing.T) {
			used := memory(t, c, text)
			assert.Less(t, used, 1.5*(1<<20), "bytes for each stream")
		})
	}
}

// memory gives the bytes that a stream holds after twice the text.
func memory(t testing.TB, c coding, text []byte) float64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	held := new(streams).open(c, io.Discard)
	for range 2 {
		_, err := held.Write(text)
		require.NoError(t, err)
	}
	require.NoError(t, held.Flush())
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(held)
	return float64(after.HeapAlloc) - float64(before.HeapAlloc)
}

// sink is a client that takes everything.
type sink struct {
	header http.Header
	bytes  int
}

func (s *sink) Header() http.Header { return s.header }
func (s *sink) WriteHeader(int)     {}
func (s *sink) Write(p []byte) (int, error) {
	s.bytes += len(p)
	return len(p), nil
}

func TestCompress_AllocatesOnceForAResponseThatItLeavesAlone(t *testing.T) {
	wrap, err := New(Options{})
	require.NoError(t, err)
	content, types := make([]byte, 4096), []string{"image/png"}
	handler := wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Content-Type"] = types
		_, _ = w.Write(content)
	}))
	r := httptest.NewRequest(http.MethodGet, "http://example.com/", nil)
	r.Header.Set("Accept-Encoding", "gzip, deflate, br, zstd")
	client := &sink{header: http.Header{}}
	assert.LessOrEqual(t, testing.AllocsPerRun(100, func() { handler.ServeHTTP(client, r) }), 1.0)
}

// BenchmarkCompress serves 64 KiB of HTML in pieces of 32 KiB, as transport does, to a client that costs nothing.
func BenchmarkCompress(b *testing.B) {
	text := []byte(page(64 << 10))
	wrap, err := New(Options{})
	require.NoError(b, err)
	for _, c := range []struct{ name, accepted string }{
		{"pass-through", ""}, {"gzip", "gzip"}, {"br", "br"}, {"zstd", "zstd"},
	} {
		b.Run(c.name, func(b *testing.B) {
			types, lengths, tags := []string{"text/html"}, []string{strconv.Itoa(len(text))}, []string{`"v1"`}
			handler := wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				header := w.Header()
				header["Content-Type"], header["Content-Length"], header["Etag"] = types, lengths, tags
				w.WriteHeader(http.StatusOK)
				_, _ = w.Write(text[:32<<10])
				_, _ = w.Write(text[32<<10:])
			}))
			r := httptest.NewRequest(http.MethodGet, "http://example.com/", nil)
			if c.accepted != "" {
				r.Header.Set("Accept-Encoding", c.accepted)
			}
			client := &sink{header: http.Header{}}
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				client.bytes = 0
				clear(client.header)
				handler.ServeHTTP(client, r)
			}
			b.ReportMetric(float64(client.bytes), "sent-bytes")
		})
	}
}

// BenchmarkStream_Memory reports what one stream of each coding holds.
func BenchmarkStream_Memory(b *testing.B) {
	text := []byte(page(256 << 10))
	for _, c := range everyCoding {
		b.Run(c.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				b.ReportMetric(memory(b, c, text)/1024, "KiB/stream")
			}
		})
	}
}

// BenchmarkNegotiate reads what a browser sends.
func BenchmarkNegotiate(b *testing.B) {
	fields := []string{"gzip, deflate, br, zstd"}
	b.ReportAllocs()
	for b.Loop() {
		negotiate(fields)
	}
}
