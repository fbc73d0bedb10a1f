package transport

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
)

// BenchmarkTransport is the stage alone, on one connection to a backend that costs as little as a backend can.
func BenchmarkTransport(b *testing.B) {
	for _, c := range []struct {
		name           string
		upload, answer int
	}{
		{"GET 1 KiB", 0, 1 << 10},
		{"GET 64 KiB", 0, 64 << 10},
		{"GET 1 MiB", 0, 1 << 20},
		{"POST 16 KiB", 16 << 10, 2},
	} {
		b.Run(c.name, func(b *testing.B) {
			stage, err := New(Options{})
			require.NoError(b, err)
			handler, backend := stage(nil), quickBackend(b, c.answer)
			r := incoming(c.upload)
			body := make([]byte, c.upload)
			content := bytes.NewReader(body)
			w := &discarded{header: make(http.Header)}
			b.SetBytes(int64(c.upload + c.answer))
			b.ReportAllocs()
			for b.Loop() {
				clear(w.header)
				if c.upload > 0 {
					content.Reset(body)
					r.Body = io.NopCloser(content)
				}
				w.bytes = 0
				state, w2, r2 := pipeline.Enter(w, r)
				state.Backend = backend
				handler.ServeHTTP(w2, r2)
				if w.bytes != c.answer {
					b.Fatalf("%d bytes: %v", w.bytes, state.Failure)
				}
			}
		})
	}
}

// incoming is a request as a browser sends it.
func incoming(upload int) *http.Request {
	r := &http.Request{Method: "GET", RequestURI: "/assets/app.js?v=1", Host: "app.example", RemoteAddr: "192.0.2.1:1234",
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: http.NoBody, Header: http.Header{
			"User-Agent":      {"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"},
			"Accept":          {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
			"Accept-Language": {"en-US,en;q=0.5"},
			"Accept-Encoding": {"gzip, deflate, br, zstd"},
			"Cookie":          {"session=0123456789abcdef0123456789abcdef"},
			"Cache-Control":   {"no-cache"},
		}}
	if upload > 0 {
		r.Method, r.ContentLength = "POST", int64(upload)
		r.Header["Content-Length"] = []string{strconv.Itoa(upload)}
	}
	return r
}

// quickBackend answers each request with the same bytes.
func quickBackend(t testing.TB, size int) *pipeline.Backend {
	answer := append([]byte("HTTP/1.1 200 OK\r\nServer: quick\r\nDate: Sun, 22 Nov 2026 22:00:00 GMT\r\nContent-Type: text/plain\r\n"+
		"ETag: \"6560a0b0-400\"\r\nContent-Length: "+strconv.Itoa(size)+"\r\n\r\n"), make([]byte, size)...)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				r := bufio.NewReaderSize(conn, 32<<10)
				for {
					length := 0
					for {
						line, err := r.ReadSlice('\n')
						if err != nil {
							return
						}
						if len(line) == 2 {
							break
						}
						if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
							length, _ = strconv.Atoi(string(bytes.TrimSpace(value)))
						}
					}
					if _, err := r.Discard(length); err != nil {
						return
					}
					if _, err := conn.Write(answer); err != nil {
						return
					}
				}
			}()
		}
	}()
	return &pipeline.Backend{Scheme: pipeline.HTTP, Address: listener.Addr().String()}
}

// discarded is the response of a client that costs nothing.
type discarded struct {
	header http.Header
	status int
	bytes  int
}

func (d *discarded) Header() http.Header    { return d.header }
func (d *discarded) WriteHeader(status int) { d.status = status }
func (d *discarded) Write(p []byte) (int, error) {
	d.bytes += len(p)
	return len(p), nil
}
func (d *discarded) FlushError() error       { return nil }
func (d *discarded) EnableFullDuplex() error { return nil }
