package transport

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
)

// resuming is a backend that says whether the connection was resumed.
func resuming(t *testing.T, configure func(*httptest.Server)) *pipeline.Backend {
	t.Helper()
	return newSecureBackend(t, configure, func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, r.Proto, " ", r.TLS.DidResume)
	})
}

// anew asks on a new connection.
func (f *front) anew(t *testing.T, host string) string {
	t.Helper()
	f.connections.Retain(func(_, _ string) bool { return false })
	request := f.request(t, "GET", "/", nil)
	request.Host = host
	_, body := f.do(t, request)
	return body
}

func TestTransport_ResumesTheTLSSessionOfABackend(t *testing.T) {
	for name, c := range map[string]struct {
		proto     string
		configure func(*httptest.Server)
	}{
		"HTTP/2":   {"HTTP/2.0", nil},
		"HTTP/1.1": {"HTTP/1.1", func(s *httptest.Server) { s.EnableHTTP2 = false }},
		"TLS 1.2":  {"HTTP/2.0", func(s *httptest.Server) { s.TLS = &tls.Config{MaxVersion: tls.VersionTLS12} }},
	} {
		t.Run(name, func(t *testing.T) {
			front := newFront(t, resuming(t, c.configure), setting{})
			assert.Equal(t, c.proto+" false", front.anew(t, "app.example"))
			assert.Equal(t, c.proto+" true", front.anew(t, "app.example"))
			assert.Equal(t, c.proto+" false", front.anew(t, "other.example"), "is another name")
			assert.Equal(t, c.proto+" true", front.anew(t, "app.example"))
			assert.Equal(t, c.proto+" false", front.anew(t, "192.0.2.1"), "is no name at all")
			assert.Equal(t, c.proto+" true", front.anew(t, "192.0.2.1"))
		})
	}
}

func TestTransport_KeepsTheTLSSessionsOfBackendsWithOneNameApart(t *testing.T) {
	cs := newConnections(t, ConnectionOptions{})
	a := newFront(t, resuming(t, nil), setting{options: Options{Connections: cs}})
	b := newFront(t, resuming(t, nil), setting{options: Options{Connections: cs}})
	for _, want := range []string{"HTTP/2.0 false", "HTTP/2.0 true", "HTTP/2.0 true"} {
		assert.Equal(t, want, a.anew(t, "app.example"))
		assert.Equal(t, want, b.anew(t, "app.example"))
	}
}

func TestTransport_OutlivesTheEndOfATLSSession(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		second  tls.Certificate
		resumes bool
	}{
		"the backend has new keys for its tickets": {certificate(t, "a", now.Add(-time.Hour), now.Add(time.Hour)), true},
		"the backend's certificate has expired":    {certificate(t, "a", now.Add(-2*time.Hour), now.Add(-time.Hour)), false},
	} {
		t.Run(name, func(t *testing.T) {
			first := certificate(t, "a", now.Add(-time.Hour), now.Add(time.Hour))
			configs := make(chan *tls.Config, 1)
			backend := resuming(t, func(s *httptest.Server) {
				s.TLS = &tls.Config{Certificates: []tls.Certificate{first}, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
					config := <-configs
					configs <- config
					return config, nil
				}}
			})
			config := func(shown tls.Certificate, ticketKey byte) *tls.Config {
				config := &tls.Config{Certificates: []tls.Certificate{shown}, NextProtos: []string{"h2"}}
				config.SetSessionTicketKeys([][32]byte{{ticketKey}})
				return config
			}
			configs <- config(first, 1)
			front := newFront(t, backend, setting{})
			assert.Equal(t, "HTTP/2.0 false", front.anew(t, "app.example"))
			assert.Equal(t, "HTTP/2.0 true", front.anew(t, "app.example"))
			<-configs
			configs <- config(c.second, 2)
			assert.Equal(t, "HTTP/2.0 false", front.anew(t, "app.example"))
			assert.Equal(t, fmt.Sprint("HTTP/2.0 ", c.resumes), front.anew(t, "app.example"))
		})
	}
}

func TestSessions_AreBound(t *testing.T) {
	cs := newConnections(t, ConnectionOptions{})
	of := func(n int) sessions {
		return sessions{cs.sessions, key{scheme: pipeline.HTTPS, address: "127.0.0.1:443", name: fmt.Sprint(n, ".example")}}
	}
	for n := range maxSessions + 1 {
		of(n).Put("", new(tls.ClientSessionState))
	}
	_, kept := of(0).Get("")
	assert.False(t, kept)
	_, kept = of(1).Get("")
	require.True(t, kept)
}
