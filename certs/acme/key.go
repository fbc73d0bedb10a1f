package acme

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/tricot-proxy/tricot/certs"
)

// A KeyType is the kind of a certificate's private key, as it is written in settings.
type KeyType string

// The kinds that there are. Every certificate has a key of its own.
const (
	P256    KeyType = "p256"    // ECDSA on the curve P-256
	P384    KeyType = "p384"    // ECDSA on the curve P-384
	RSA2048 KeyType = "rsa2048" // RSA with 2048 bits
)

func (t KeyType) known() bool { return t == P256 || t == P384 || t == RSA2048 }

func (t KeyType) generate() (crypto.Signer, error) {
	switch t {
	case P384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case RSA2048:
		return rsa.GenerateKey(rand.Reader, 2048)
	}
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

// request makes a certificate signing request for a name (RFC 2986), in DER. It has no common name: the CA sets one where
// the profile has any.
func request(name string, key crypto.Signer) ([]byte, error) {
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{name}}, key)
}

// pair makes what is served of the chain that a CA gave, or says why it is not a certificate for the name and the key.
func pair(name string, chain []byte, key crypto.Signer, now time.Time) (certs.Pair, error) {
	keyPEM, err := encodeKey(key)
	if err != nil {
		return certs.Pair{}, err
	}
	cert, err := tls.X509KeyPair(chain, keyPEM)
	if err != nil {
		return certs.Pair{}, err
	}
	if err := cert.Leaf.VerifyHostname(name); err != nil {
		return certs.Pair{}, err
	}
	if !now.Before(cert.Leaf.NotAfter) {
		return certs.Pair{}, fmt.Errorf("it expired at %s", cert.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	var clean bytes.Buffer // of text between the certificates, and of lines in another form
	for _, der := range cert.Certificate {
		_ = pem.Encode(&clean, &pem.Block{Type: "CERTIFICATE", Bytes: der}) // a buffer takes everything
	}
	return certs.Pair{Chain: clean.Bytes(), Key: keyPEM}, nil
}

func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// decodeKey reads a private key that can sign. Its errors quote nothing of it.
func decodeKey(inPEM string) (crypto.Signer, error) {
	block, _ := pem.Decode([]byte(inPEM))
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("it is no PKCS #8 private key in PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("it is no PKCS #8 private key")
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%T is no key to sign with", parsed)
	}
	return key, nil
}
