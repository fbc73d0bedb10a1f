package hpack

import (
	"bytes"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	reference "golang.org/x/net/http2/hpack"
)

// request is what a browser sends.
var request = [][2]string{
	{":method", "GET"}, {":authority", "shop.example.com"}, {":scheme", "https"}, {":path", "/assets/app.3f2a91.js?v=12"},
	{"sec-ch-ua", `"Chromium";v="140", "Not=A?Brand";v="24"`}, {"sec-ch-ua-mobile", "?0"},
	{"user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"},
	{"accept", "*/*"}, {"sec-fetch-site", "same-origin"}, {"sec-fetch-mode", "no-cors"}, {"sec-fetch-dest", "script"},
	{"referer", "https://shop.example.com/"}, {"accept-encoding", "gzip, deflate, br, zstd"},
	{"accept-language", "en-US,en;q=0.9"}, {"cookie", "session=0123456789abcdef0123456789abcdef"},
}

// requestBlocks are the first request's, and a later one's, of which path alone is a literal unless all is in the table.
func requestBlocks(b *testing.B, literalPath bool) (first, later []byte) {
	var written bytes.Buffer
	e := reference.NewEncoder(&written)
	write := func(sensitivePath bool) []byte {
		written.Reset()
		for _, field := range request {
			sensitive := sensitivePath && field[0] == ":path"
			require.NoError(b, e.WriteField(reference.HeaderField{Name: field[0], Value: field[1], Sensitive: sensitive}))
		}
		return bytes.Clone(written.Bytes())
	}
	return write(literalPath), write(literalPath)
}

func BenchmarkDecoder(b *testing.B) {
	indexedFirst, indexedLater := requestBlocks(b, false)
	literalFirst, literalLater := requestBlocks(b, true)
	for _, c := range []struct {
		name         string
		first, later []byte
	}{
		{"first request", nil, indexedFirst}, {"indexed request", indexedFirst, indexedLater},
		{"request with a path", literalFirst, literalLater},
	} {
		b.Run(c.name+"/ours", func(b *testing.B) {
			b.ReportAllocs()
			d := NewDecoder(4096)
			_, err := decodeAll(d, c.first)
			require.NoError(b, err)
			for b.Loop() {
				if c.first == nil {
					d = NewDecoder(4096)
				}
				d.Reset(c.later)
				for _, more := d.Next(); more; _, more = d.Next() {
				}
			}
			require.NoError(b, d.Err())
		})
		b.Run(c.name+"/reference", func(b *testing.B) {
			b.ReportAllocs()
			emit := func(reference.HeaderField) {}
			d := reference.NewDecoder(4096, emit)
			_, err := d.Write(c.first)
			require.NoError(b, err)
			for b.Loop() {
				if c.first == nil {
					d = reference.NewDecoder(4096, emit)
				}
				_, err = d.Write(c.later)
			}
			require.NoError(b, err)
		})
	}
}

func BenchmarkEncoder(b *testing.B) {
	lengths := make([]string, 64)
	dates := make([]string, 60)
	for i := range lengths {
		lengths[i] = strconv.Itoa(1000 + 37*i)
	}
	for i := range dates {
		dates[i] = "Mon, 23 Nov 2026 01:22:" + strconv.Itoa(100 + i)[1:] + " GMT"
	}
	for _, c := range []struct {
		name    string
		changes int // a new date each so many answers
	}{
		{"answers", 1 << 60}, {"answers with new dates", 100},
	} {
		b.Run(c.name+"/ours", func(b *testing.B) {
			b.ReportAllocs()
			e := NewEncoder()
			block := make([]byte, 0, 512)
			n := 0
			for b.Loop() {
				block = e.AppendStatus(e.Begin(block[:0]), 200)
				for _, field := range answer {
					value := field[1]
					switch field[0] {
					case "Content-Length":
						value = lengths[n%len(lengths)]
					case "Date":
						value = dates[n/c.changes%len(dates)]
					}
					block = e.AppendField(block, field[0], value)
				}
				n++
			}
			b.ReportMetric(float64(len(block)), "bytes/answer")
		})
		b.Run(c.name+"/reference", func(b *testing.B) {
			b.ReportAllocs()
			var written bytes.Buffer
			e := reference.NewEncoder(&written)
			n := 0
			for b.Loop() {
				written.Reset()
				_ = e.WriteField(reference.HeaderField{Name: ":status", Value: strconv.Itoa(200)})
				for _, field := range answer {
					value := field[1]
					switch field[0] {
					case "Content-Length":
						value = lengths[n%len(lengths)]
					case "Date":
						value = dates[n/c.changes%len(dates)]
					}
					_ = e.WriteField(reference.HeaderField{Name: strings.ToLower(field[0]), Value: value})
				}
				n++
			}
			b.ReportMetric(float64(written.Len()), "bytes/answer")
		})
	}
}

func BenchmarkHuffman(b *testing.B) {
	s := request[6][1]
	coded := reference.AppendHuffmanString(nil, s)
	to := make([]byte, 0, 512)
	b.Run("decode/ours", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(s)))
		for b.Loop() {
			to, _ = appendDecoded(to[:0], coded)
		}
	})
	b.Run("decode/reference", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(s)))
		var written bytes.Buffer
		for b.Loop() {
			written.Reset()
			_, _ = reference.HuffmanDecode(&written, coded)
		}
	})
	b.Run("encode/ours", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(s)))
		for b.Loop() {
			to = appendHuffman(to[:0], s, huffmanSize(s))
		}
	})
	b.Run("encode/reference", func(b *testing.B) { // with the size, which it too needs ahead
		b.ReportAllocs()
		b.SetBytes(int64(len(s)))
		size := uint64(0)
		for b.Loop() {
			size += reference.HuffmanEncodeLength(s)
			to = reference.AppendHuffmanString(to[:0], s)
		}
		require.NotZero(b, size)
	})
}

func BenchmarkLookUp(b *testing.B) {
	for _, name := range []string{"Content-Type", "content-type", "ETag", "X-Made-Up"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				lookUp(name)
			}
		})
	}
}
