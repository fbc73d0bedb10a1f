package h1

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline/entrypoint/servertest"
)

const benchRequest = "GET /static/app.js?v=3 HTTP/1.1\r\nHost: app.example.com\r\nUser-Agent: wrk\r\nAccept: */*\r\n" +
	"Accept-Encoding: gzip, br\r\nCookie: session=0123456789abcdef\r\n\r\n"

// benchServers run a handler on this server and on net/http's.
func benchServers(b *testing.B, handler http.HandlerFunc, run func(b *testing.B, c net.Conn)) {
	for _, server := range []string{"h1", "nethttp"} {
		for _, secure := range []bool{false, true} {
			b.Run(server+"/tls="+strconv.FormatBool(secure), func(b *testing.B) {
				f := newFront(b, handler)
				if secure {
					f.tls = servertest.ServerTLS(b)
				}
				if server == "h1" {
					f.start()
				} else {
					servertest.ServeNetHTTP(b, f.listener, f.tls, handler)
				}
				c := f.dial(b)
				require.NoError(b, c.SetDeadline(time.Time{}))
				servertest.ReportCPU(b, func() { run(b, c) })
			})
		}
	}
}

func BenchmarkServe_AnswersOneKibibyte(b *testing.B) {
	benchServers(b, servertest.Answering(1<<10, 1<<10), func(b *testing.B, c net.Conn) {
		request := []byte(benchRequest)
		size := exchangeOnce(b, c, request)
		p := make([]byte, size)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Write(request); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(c, p); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// exchangeOnce gives the length of an answer, which is the same each time.
func exchangeOnce(b *testing.B, c net.Conn, request []byte) int {
	if _, err := c.Write(request); err != nil {
		b.Fatal(err)
	}
	var read []byte
	p := make([]byte, 64<<10)
	for {
		n, err := c.Read(p)
		if err != nil {
			b.Fatal(err)
		}
		read = append(read, p[:n]...)
		head, content, whole := bytes.Cut(read, []byte("\r\n\r\n"))
		if whole && len(content) == 1<<10 {
			return len(head) + 4 + len(content)
		}
	}
}

func BenchmarkServe_AnswersOneMebibyte(b *testing.B) {
	benchServers(b, servertest.Answering(1<<20, 32<<10), func(b *testing.B, c net.Conn) {
		request := []byte(benchRequest)
		p := make([]byte, 64<<10)
		b.ReportAllocs()
		b.SetBytes(1 << 20)
		for b.Loop() {
			if _, err := c.Write(request); err != nil {
				b.Fatal(err)
			}
			for read, size := 0, 1<<20; read < size; {
				n, err := c.Read(p)
				if err != nil {
					b.Fatal(err)
				}
				if read == 0 {
					size += bytes.Index(p[:n], []byte("\r\n\r\n")) + 4
				}
				read += n
			}
		}
	})
}

func BenchmarkServe_TakesSixteenKibibytes(b *testing.B) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, r.Body, make([]byte, 32<<10))
		w.Header()["Content-Length"] = []string{"1024"}
		_, _ = w.Write(make([]byte, 1<<10))
	}
	benchServers(b, handler, func(b *testing.B, c net.Conn) {
		head := []byte("POST /upload HTTP/1.1\r\nHost: app.example.com\r\nContent-Length: 16384\r\n\r\n")
		request := append(head, make([]byte, 16<<10)...)
		p := make([]byte, exchangeOnce(b, c, request))
		b.ReportAllocs()
		b.SetBytes(16 << 10)
		for b.Loop() {
			if _, err := c.Write(request); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(c, p); err != nil {
				b.Fatal(err)
			}
		}
	})
}
