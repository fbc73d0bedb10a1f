package consultest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// TLS names the files with which an agent speaks HTTPS and its clients speak to it, all in PEM.
type TLS struct {
	// CA is the certificate of the authority: that which the agent's certificate comes from, and which that of a client
	// has to come from.
	CA string
	// Cert and Key are the agent's.
	Cert, Key string
	// ClientCert and ClientKey are a client's; [Agent.Client] uses them. Empty: it has none.
	ClientCert, ClientKey string
	// VerifyIncoming refuses clients without a certificate of the authority.
	VerifyIncoming bool
}

// NewTLS makes an authority of its own, with a certificate for an agent on 127.0.0.1 and localhost and one for a client,
// in files that go with the test. A second call gives credentials that are worth nothing to the first.
func NewTLS(tb testing.TB) *TLS {
	tb.Helper()
	files, err := newTLS(tb.TempDir())
	if err != nil {
		tb.Fatalf("make certificates: %v", err)
	}
	return files
}

func newTLS(dir string) (*TLS, error) {
	at := func(file string) string { return filepath.Join(dir, file) }
	files := &TLS{
		CA:   at("ca.pem"),
		Cert: at("agent.pem"), Key: at("agent-key.pem"),
		ClientCert: at("client.pem"), ClientKey: at("client-key.pem"),
	}
	root := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name("Consul test authority ")},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	authority, err := issue(root, nil, files.CA, at("ca-key.pem"))
	if err != nil {
		return nil, err
	}
	agent := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "server.dc1.consul"},
		DNSNames:    []string{"server.dc1.consul", "localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if _, err := issue(agent, authority, files.Cert, files.Key); err != nil {
		return nil, err
	}
	client := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "client.dc1.consul"},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if _, err := issue(client, authority, files.ClientCert, files.ClientKey); err != nil {
		return nil, err
	}
	return files, nil
}

// An issued certificate can sign others.
type issued struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue signs a certificate, by itself where there is no authority, and writes it and its key.
func issue(template *x509.Certificate, by *issued, certFile, keyFile string) (*issued, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if by == nil {
		by = &issued{cert: template, key: key}
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62)); err != nil {
		return nil, err
	}
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = time.Now().Add(24 * time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, key.Public(), by.key)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	if err := writePEM(certFile, "CERTIFICATE", der); err != nil {
		return nil, err
	}
	if err := writePEM(keyFile, "PRIVATE KEY", keyDER); err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &issued{cert: cert, key: key}, nil
}

func writePEM(path, kind string, der []byte) error {
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// client says how the agent's own client proves itself and what it trusts.
func (t *TLS) client() api.TLSConfig {
	return api.TLSConfig{CAFile: t.CA, CertFile: t.ClientCert, KeyFile: t.ClientKey}
}
