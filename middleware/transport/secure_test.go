package transport

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
)

func certificate(t testing.TB, name string, from, to time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestTransport_TakesWhateverCertificateABackendShows(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		name     string
		from, to time.Time
	}{
		{"self-signed, for another name", now.Add(-time.Hour), now.Add(time.Hour)},
		{"expired long ago", now.AddDate(-20, 0, 0), now.AddDate(-10, 0, 0)},
		{"not valid yet", now.AddDate(10, 0, 0), now.AddDate(20, 0, 0)},
	} {
		t.Run(c.name, func(t *testing.T) {
			backend := newSecureBackend(t, func(s *httptest.Server) {
				s.TLS = &tls.Config{Certificates: []tls.Certificate{certificate(t, "other.example", c.from, c.to)}}
			}, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) })
			_, body := newFront(t, backend, setting{}).get(t, "/")
			assert.Equal(t, "HTTP/2.0", body)
		})
	}
}

func TestTransport_SpeaksHTTP11ToASecureBackendThatKnowsNothingElse(t *testing.T) {
	backend := newSecureBackend(t, func(s *httptest.Server) { s.EnableHTTP2 = false }, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto)
	})
	_, body := newFront(t, backend, setting{}).get(t, "/")
	assert.Equal(t, "HTTP/1.1", body)
}

func TestTransport_AsksASecureBackendForTheNameThatTheClientAskedFor(t *testing.T) {
	for _, http2 := range []bool{true, false} {
		var connections atomic.Int32
		backend := newSecureBackend(t, func(s *httptest.Server) {
			s.EnableHTTP2 = http2
			cert := certificate(t, "x", time.Now(), time.Now().Add(time.Hour))
			s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
				connections.Add(1)
				return nil, nil
			}}
		}, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, r.TLS.ServerName+" "+r.Host)
		})
		front := newFront(t, backend, setting{})
		for _, c := range []struct{ host, want string }{
			{"App.Example:8443", "app.example App.Example:8443"},
			{"app.example", "app.example app.example"},
			{"other.example", "other.example other.example"},
			{"app.example.", "app.example app.example."},
			{"192.0.2.1", " 192.0.2.1"},
			{"[2001:db8::1]:443", " [2001:db8::1]:443"},
		} {
			_, body := front.exchangeRaw(t, "GET", "GET / HTTP/1.1\r\nHost: "+c.host+"\r\n\r\n")
			assert.Equal(t, c.want, body)
		}
		assert.EqualValues(t, 4, connections.Load(), "one for each name")
	}
}

func TestTransport_ReachesABackendOverIPv6(t *testing.T) {
	for _, scheme := range []string{pipeline.HTTP, pipeline.HTTPS} {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "six") }))
		listener, err := net.Listen("tcp", "[::1]:0")
		require.NoError(t, err)
		server.Listener.Close()
		server.Listener = listener
		if scheme == pipeline.HTTPS {
			server.StartTLS()
		} else {
			server.Start()
		}
		t.Cleanup(server.Close)
		backend := &pipeline.Backend{Scheme: scheme, Address: listener.Addr().String()}
		_, body := newFront(t, backend, setting{}).get(t, "/")
		assert.Equal(t, "six", body)
	}
}
