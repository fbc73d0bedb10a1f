package acme

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/mail"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/tricot-proxy/tricot/certs/store"
)

// CheckDirectory says why a string is not the URL of a directory; nil: it is one. It is an https URL, or an http one on
// loopback, as a server for tests may have it. The path may be long only as far as the account has a place in the store.
func CheckDirectory(directory string) error {
	u, err := url.Parse(directory)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && !onLoopback(u) {
		return fmt.Errorf("directory %q is not an https URL, nor an http one on loopback", directory)
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return fmt.Errorf("directory %q: the port is no number from 1 to 65535", directory)
		}
	}
	key := accountKey(directory)
	if err := errors.Join(store.CheckKey(key), store.CheckName(lockOf(key))); err != nil {
		return fmt.Errorf("directory %q has no place in the store: %w", directory, err)
	}
	return nil
}

// CheckEmail says why a string is not an email address alone, which a mailto URL (RFC 6068) can have as it is; nil: it is
// one.
func CheckEmail(address string) error {
	parsed, err := mail.ParseAddress(address)
	if err != nil || parsed.Address != address {
		return fmt.Errorf("%q is not an email address", address)
	}
	for _, c := range address {
		if c <= ' ' || c > '~' || strings.ContainsRune(`?&%#",<>\`, c) {
			return fmt.Errorf("%q is not an email address that a CA takes: it has a %q", address, c)
		}
	}
	return nil
}

// Check says what is wrong with a binding, and does not quote the key; nil: nothing is.
func (e EAB) Check() error {
	_, err := e.normal()
	return err
}

// normal gives the binding as the library wants it. Errors do not quote the key.
func (e EAB) normal() (*EAB, error) {
	if e.KeyID == "" || e.HMACKey == "" {
		return nil, errors.New("external account binding needs a key ID and an HMAC key")
	}
	for _, c := range e.KeyID {
		if c < ' ' || c > '~' { // RFC 8555, section 7.3.4: an ASCII string
			return nil, fmt.Errorf("the key ID %q of the external account binding is not ASCII", e.KeyID)
		}
	}
	key := strings.TrimRight(e.HMACKey, "=")
	if _, err := base64.RawURLEncoding.DecodeString(key); err != nil {
		return nil, errors.New("the HMAC key of the external account binding is not base64url")
	}
	return &EAB{KeyID: e.KeyID, HMACKey: key}, nil
}

// onLoopback says whether a URL is plain http to this machine.
func onLoopback(u *url.URL) bool {
	addr, err := netip.ParseAddr(u.Hostname())
	return u.Scheme == "http" && (u.Hostname() == "localhost" || err == nil && addr.Unmap().IsLoopback())
}
