package servertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// host is whom the certificates are for.
const host = "app.example.com"

// Certificate makes a self-signed certificate for app.example.com.
func Certificate(t testing.TB) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{host},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// ServerTLS is for a server with a [Certificate], whose records are as long as they may be from the first on.
func ServerTLS(t testing.TB, protocols ...string) *tls.Config {
	t.Helper()
	return &tls.Config{
		Certificates:                []tls.Certificate{*Certificate(t)},
		NextProtos:                  protocols,
		DynamicRecordSizingDisabled: true,
	}
}

// ClientTLS is for a client that asks for app.example.com and takes any certificate.
func ClientTLS(protocols ...string) *tls.Config {
	return &tls.Config{ServerName: host, InsecureSkipVerify: true, NextProtos: protocols}
}

// Handshake has a client open TLS on a connection, and makes sure that it then speaks one of the protocols it asked for. The
// connection has no deadline afterwards.
func Handshake(t testing.TB, c net.Conn, config *tls.Config) *tls.Conn {
	t.Helper()
	secured := tls.Client(c, config)
	require.NoError(t, c.SetDeadline(time.Now().Add(Patience)))
	require.NoError(t, secured.Handshake())
	require.NoError(t, c.SetDeadline(time.Time{}))
	if len(config.NextProtos) > 0 {
		require.Contains(t, config.NextProtos, secured.ConnectionState().NegotiatedProtocol)
	}
	return secured
}
