package metrics

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync/atomic"
)

// body counts the content of a request that does not say how long it is. Whoever reads it may do so after the request has
// ended.
type body struct {
	io.ReadCloser
	read atomic.Int64
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read.Add(int64(n))
	return n, err
}

// upgrade notices when a connection becomes a tunnel. Only requests that ask for it have one.
type upgrade struct {
	http.ResponseWriter
	open  *atomic.Int64
	begun bool
}

func (u *upgrade) begin() {
	if !u.begun {
		u.begun = true
		u.open.Add(1)
	}
}

func (u *upgrade) WriteHeader(status int) {
	if status == http.StatusSwitchingProtocols {
		u.begin()
	}
	u.ResponseWriter.WriteHeader(status)
}

// Hijack serves code that looks for an http.Hijacker too.
func (u *upgrade) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(u.ResponseWriter).Hijack()
	if err == nil {
		u.begin()
	}
	return conn, buffered, err
}

// Flush serves code that looks for an http.Flusher.
func (u *upgrade) Flush() { _ = http.NewResponseController(u.ResponseWriter).Flush() }

// Unwrap lets a [http.ResponseController] reach the rest.
func (u *upgrade) Unwrap() http.ResponseWriter { return u.ResponseWriter }
