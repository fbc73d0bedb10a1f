package settings

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
)

// readFile reads a regular file. Others are refused before they are opened, because that could wait for ever.
func readFile(path string) ([]byte, error) {
	if err := regular(path); err != nil {
		return nil, err
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, unreadable(err)
	}
	return content, nil
}

func regular(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return unreadable(err)
	case info.IsDir():
		return errors.New("it is a directory, not a file")
	case !info.Mode().IsRegular():
		return errors.New("it is not a regular file")
	}
	return nil
}

// unreadable says why a file cannot be read without its path, which stands beside it as the value.
func unreadable(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return fmt.Errorf("the file cannot be read: %w", err)
}

// certificateFile checks a PEM file of one or more certificates (RFC 7468, section 5).
func certificateFile(path string) error {
	content, err := readFile(path)
	if err != nil {
		return err
	}
	found := false
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return errors.New("a certificate in the file cannot be parsed")
		}
		found = true
	}
	if !found {
		return errors.New("there is no certificate in PEM in the file")
	}
	return nil
}

// keyFile checks a PEM file with a private key (RFC 7468, sections 10 and 11). No error tells any of its content.
func keyFile(path string) error {
	content, err := readFile(path)
	if err != nil {
		return err
	}
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
			return errors.New("the private key is encrypted, and nobody is there to type its password")
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			return nil
		}
	}
	return errors.New("there is no private key in PEM in the file")
}

// keyPair checks that a certificate and a private key belong together.
func keyPair(certificate, key string) error {
	if _, err := tls.LoadX509KeyPair(certificate, key); err != nil {
		return errors.New("the private key cannot be used, or is not that of the certificate")
	}
	return nil
}
