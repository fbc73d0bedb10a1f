package tickets

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// maxKeys bounds the keys of a record: a ticket that none of them opens is tried with all.
const maxKeys = 16

// A record is the keys as the store has them, the latest first.
type record struct {
	Keys []recordKey `json:"keys"`
}

type recordKey struct {
	// From is when it begins to encrypt.
	From time.Time `json:"from"`
	// Key is the secret, in base64.
	Key []byte `json:"key"`
}

func (ks keys) encode() ([]byte, error) {
	var r record
	for _, k := range ks {
		r.Keys = append(r.Keys, recordKey{From: k.from, Key: k.secret[:]})
	}
	return json.Marshal(r)
}

// decode reads the keys of a record. Its errors quote nothing of the value.
func decode(value []byte) (keys, error) {
	var r record
	if json.Unmarshal(value, &r) != nil {
		return nil, errors.New("it is not JSON as it should be")
	}
	if len(r.Keys) == 0 || len(r.Keys) > maxKeys {
		return nil, fmt.Errorf("it has %d keys, not 1 to %d", len(r.Keys), maxKeys)
	}
	ks := make(keys, len(r.Keys))
	for i, k := range r.Keys {
		switch {
		case len(k.Key) != len(ks[i].secret):
			return nil, fmt.Errorf("key %d has %d bytes, not %d", i+1, len(k.Key), len(ks[i].secret))
		case k.From.IsZero():
			return nil, fmt.Errorf("key %d does not say from when it is", i+1)
		}
		ks[i] = key{from: k.From.UTC(), secret: [32]byte(k.Key)}
	}
	ks.sort()
	return ks, nil
}
