package local

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strings"
	"time"

	"github.com/tricot-proxy/tricot/certs"
)

// years is the lifetime of a root.
const years = 10

// An authority is a root certificate with its key.
type authority struct {
	cert    *x509.Certificate
	certPEM []byte
	key     *ecdsa.PrivateKey
}

// A record is an authority as the store has it.
type record struct {
	CertPEM string `json:"cert_pem"`
	KeyPEM  string `json:"key_pem"`
}

func create(host string, now time.Time) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make root key: %w", err)
	}
	now = now.Truncate(time.Second)
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: "Tricot local authority " + host},
		NotBefore:             now.Add(-time.Hour), // for clients whose clocks are behind
		NotAfter:              now.AddDate(years, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true, // it signs leaves only
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make root certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make root certificate: %w", err)
	}
	return &authority{cert: cert, certPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key: key}, nil
}

func (a *authority) encode() ([]byte, error) {
	key, err := encodeKey(a.key)
	if err != nil {
		return nil, err
	}
	return json.Marshal(record{CertPEM: string(a.certPEM), KeyPEM: string(key)})
}

// decode reads an authority. Its errors quote nothing of the value, which holds a key.
func decode(value []byte) (*authority, error) {
	var r record
	if json.Unmarshal(value, &r) != nil {
		return nil, errors.New("it is not JSON as it should be")
	}
	certBlock, _ := pem.Decode([]byte(r.CertPEM))
	if certBlock == nil || certBlock.Type != "CERTIFICATE" {
		return nil, errors.New("cert_pem is no certificate in PEM")
	}
	cert, err := x509.ParseCertificate(certBlock.Bytes)
	if err != nil {
		return nil, fmt.Errorf("cert_pem: %w", err)
	}
	keyBlock, _ := pem.Decode([]byte(r.KeyPEM))
	if keyBlock == nil || keyBlock.Type != "PRIVATE KEY" {
		return nil, errors.New("key_pem is no PKCS #8 private key in PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, fmt.Errorf("key_pem: %w", err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("key_pem is %T, not an ECDSA key", parsed)
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return nil, errors.New("the key is not that of the certificate")
	}
	if !cert.BasicConstraintsValid || !cert.IsCA {
		return nil, errors.New("the certificate is not that of an authority")
	}
	return &authority{cert: cert, certPEM: pem.EncodeToMemory(certBlock), key: key}, nil
}

// sign makes a leaf for a host name or an IP address, and a key for it.
func (a *authority) sign(name string, now time.Time, lifetime time.Duration) (certs.Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return certs.Pair{}, err
	}
	// A little in the past, for clients whose clocks are behind, and never so much that the half of a short life is gone.
	begin := now.Add(-min(lifetime/10, time.Hour)).Truncate(time.Second)
	template := &x509.Certificate{
		SerialNumber:          serial(),
		NotBefore:             begin,
		NotAfter:              begin.Add(lifetime),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		if !isHost(name) {
			return certs.Pair{}, errors.New("it is neither a host name nor an IP address")
		}
		template.DNSNames = []string{name}
	}
	if len(name) <= 64 { // the upper bound of a common name, RFC 5280, appendix A.1; SAN is what clients look at
		template.Subject.CommonName = name
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return certs.Pair{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return certs.Pair{}, err
	}
	if err := leaf.VerifyHostname(name); err != nil {
		return certs.Pair{}, err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return certs.Pair{}, err
	}
	chain := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), a.certPEM...)
	return certs.Pair{Chain: chain, Key: keyPEM}, nil
}

// isHost says whether a name has what host names have, wildcards apart, "_" included; its length is RFC 1035's.
func isHost(name string) bool {
	for _, c := range name {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789.-_", c) {
			return false
		}
	}
	return name != "" && len(name) <= 253
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// serial gives a random number of 128 bits, positive and not zero.
func serial() *big.Int {
	bytes := make([]byte, 16)
	_, _ = rand.Read(bytes) // never fails
	bytes[0] |= 1
	return new(big.Int).SetBytes(bytes)
}
