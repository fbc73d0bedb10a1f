package certs

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/tricot-proxy/tricot/certs/store"
)

// A record is a certificate as the store has it.
type record struct {
	Hostname string `json:"hostname"`
	// Date is the day of issue, UTC.
	Date         string `json:"date"`
	ValidDays    int    `json:"valid_days"`
	KeyPEM       string `json:"key_pem"`
	FullchainPEM string `json:"fullchain_pem"`
}

// encode gives what the store keeps of a certificate that was issued for a name now, or says why it is not one for it.
func encode(name string, pair Pair, now time.Time) ([]byte, error) {
	cert, err := parse(name, pair, now)
	if err != nil {
		return nil, err
	}
	lifetime := cert.Leaf.NotAfter.Sub(cert.Leaf.NotBefore)
	return json.Marshal(record{
		Hostname:     name,
		Date:         now.UTC().Format(time.DateOnly),
		ValidDays:    int(math.Round(lifetime.Hours() / 24)),
		KeyPEM:       string(pair.Key),
		FullchainPEM: string(pair.Chain),
	})
}

// decode gives the certificate that the store keeps for a name, or says why it may not be served.
func decode(name string, there store.Record, now time.Time) (*tls.Certificate, error) {
	if there.Err != nil {
		return nil, there.Err
	}
	var r record
	if err := json.Unmarshal(there.Value, &r); err != nil {
		return nil, errors.New("the record is not JSON as it should be") // the decoder's error may quote the key
	}
	if canonical(r.Hostname) != name {
		return nil, fmt.Errorf("the record is for %q", r.Hostname)
	}
	return parse(name, Pair{Chain: []byte(r.FullchainPEM), Key: []byte(r.KeyPEM)}, now)
}

// parse makes a certificate ready for handshakes, or says why it may not be served: it is not readable, its key is not
// that of its leaf, its leaf does not cover the name, or it has expired ([*expiredError]).
func parse(name string, pair Pair, now time.Time) (*tls.Certificate, error) {
	cert, err := tls.X509KeyPair(pair.Chain, pair.Key)
	if err != nil {
		return nil, err
	}
	if err := cert.Leaf.VerifyHostname(name); err != nil {
		return nil, err
	}
	if !now.Before(cert.Leaf.NotAfter) {
		return nil, &expiredError{cert.Leaf.NotAfter}
	}
	return &cert, nil
}

// An expiredError says that all is well with a certificate but for its age.
type expiredError struct{ at time.Time }

func (e *expiredError) Error() string {
	return "the certificate expired at " + e.at.UTC().Format(time.RFC3339)
}
