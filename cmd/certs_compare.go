package cmd

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// An unfitError says that a record is not worth being copied.
type unfitError struct{ error }

func (e *unfitError) Unwrap() error { return e.error }

// compare says whether what is under a key elsewhere is older than what is here, or cannot be read, and why the younger
// one is that. Nothing there is older too. The error says that what is here cannot be used.
func compare(key string, here, there []byte) (older bool, reason string, err error) {
	kind, _, _ := strings.Cut(key, "/")
	switch kind {
	case "certs":
		return compareTimes("certificate", here, there, validFrom)
	case "failures":
		return compareTimes("failure", here, there, nextTry)
	}
	if there == nil {
		return true, "the record there cannot be read", nil
	}
	// Neither accounts nor authorities have a date, and what is there may have signed what is there.
	return false, "another one is there already", nil
}

func compareTimes(what string, here, there []byte, timeOf func([]byte) (time.Time, error)) (bool, string, error) {
	ours, err := timeOf(here)
	if err != nil {
		return false, "", &unfitError{fmt.Errorf("it is not copied: %w", err)}
	}
	theirs, err := timeOf(there)
	switch {
	case err != nil:
		return true, "the " + what + " there cannot be read", nil
	case theirs.Before(ours):
		return true, fmt.Sprintf("the %s there is older: %s, and not %s", what, date(theirs), date(ours)), nil
	}
	return false, fmt.Sprintf("the %s there is not older: %s, and not %s", what, date(theirs), date(ours)), nil
}

// validFrom is when the certificate of a record becomes valid.
func validFrom(value []byte) (time.Time, error) {
	var record struct {
		KeyPEM       string `json:"key_pem"`
		FullchainPEM string `json:"fullchain_pem"`
	}
	if json.Unmarshal(value, &record) != nil { // whose error may quote the key
		return time.Time{}, errors.New("the record is not JSON as it should be")
	}
	pair, err := tls.X509KeyPair([]byte(record.FullchainPEM), []byte(record.KeyPEM))
	if err != nil {
		return time.Time{}, err
	}
	return pair.Leaf.NotBefore, nil
}

// nextTry is when a name that has no certificate may be tried again.
func nextTry(value []byte) (time.Time, error) {
	var record struct {
		NextTry time.Time `json:"next_try"`
	}
	if json.Unmarshal(value, &record) != nil {
		return time.Time{}, errors.New("the record is not JSON as it should be")
	}
	return record.NextTry, nil
}
