package cmd

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The default pipeline as a whole, and in the place of its last stage, transport, a kilobyte out of memory: what the stages
// cost a request, without what its connections do.
func BenchmarkChain(b *testing.B) {
	for _, c := range []struct{ name, flag string }{
		{"default", "--middleware-access-log-path=" + os.DevNull},
		{"without access log", "--middleware-access-log-enabled=false"},
	} {
		b.Run(c.name, func(b *testing.B) {
			content := []byte(strings.Repeat("x", 1<<10))
			handler := chainOf(b, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, "tricot", []string{c.flag}, func(plans []plan) {
				plans[len(plans)-1].build = func(surroundings) (func(http.Handler) http.Handler, error) {
					return func(http.Handler) http.Handler {
						return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) })
					}, nil
				}
			})
			header := http.Header{"Accept": {"*/*"}, "User-Agent": {"benchmark"}, "Accept-Encoding": {"identity"}}
			w := &discarded{}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.header)
				r := &http.Request{
					Method: http.MethodGet, Proto: "HTTP/2.0", ProtoMajor: 2, Host: "example.com", RemoteAddr: "192.0.2.1:5000",
					URL: &url.URL{Path: "/"}, RequestURI: "/", Body: http.NoBody, Header: header.Clone(), TLS: &tls.ConnectionState{},
				}
				handler.ServeHTTP(w, r)
			}
			require.Equal(b, http.StatusOK, w.status)
		})
	}
}

// discarded is a ResponseWriter that keeps the status only.
type discarded struct {
	header http.Header
	status int
}

func (d *discarded) Header() http.Header {
	if d.header == nil {
		d.header = http.Header{}
	}
	return d.header
}

func (d *discarded) WriteHeader(status int) { d.status = status }

func (d *discarded) Write(p []byte) (int, error) {
	if d.status == 0 {
		d.status = http.StatusOK
	}
	return len(p), nil
}
