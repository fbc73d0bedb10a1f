package sealed

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/tricot-proxy/tricot/certs/store"
)

// What a sealed record consists of.
const (
	magic = "tricot-sealed " // no JSON begins so
	form  = magic + "v1 "    // then the key's ID and the end of the line

	headerSize = len(form) + idSize + len("\n")
	nonceSize  = 12
	tagSize    = 16
)

// Overhead is the number of bytes by which a sealed record is longer than its value. It is less than [store.Sealing].
const Overhead = headerSize + nonceSize + tagSize

const _ = uint(store.Sealing - Overhead) // does not compile where that is not so

// Why a record does not open. They come in an *[Error]: compare with [errors.Is].
var (
	// ErrSealed is [store.ErrSealed]: the key which a record is sealed with is not given, or the way in which it is sealed
	// not known.
	ErrSealed = store.ErrSealed

	// ErrDamaged is [store.ErrDamaged]: the key is given, and does not open the record, which was changed since it was
	// written, or is that of another name.
	ErrDamaged = store.ErrDamaged
)

// An Error says which record does not open, and why.
type Error struct {
	// Record is the record's key in the store, such as certs/app.example.com.
	Record string
	// KeyID is the [Key.ID] of the key that it is sealed with; empty where that cannot be told.
	KeyID string
	// Given are the IDs of the keys that there are.
	Given []string
	// Err is ErrSealed or ErrDamaged.
	Err error
}

func (e *Error) Error() string {
	switch {
	case e.Err == ErrDamaged:
		return "the sealed record " + e.Record + " is damaged, or was moved there from another name"
	case e.KeyID == "":
		return "the record " + e.Record + " is sealed in a way that this version does not know"
	case len(e.Given) == 0:
		return fmt.Sprintf("the record %s is sealed with the encryption key %s, and no key is given", e.Record, e.KeyID)
	}
	return fmt.Sprintf("the record %s is sealed with the encryption key %s, which is not given (given: %s)",
		e.Record, e.KeyID, strings.Join(e.Given, ", "))
}

// Unwrap gives ErrSealed or ErrDamaged.
func (e *Error) Unwrap() error { return e.Err }

// seal gives what the store has under a record's key instead of a value.
func (k Key) seal(record string, value []byte) []byte {
	header := form + k.ID() + "\n"
	sealed := append(make([]byte, 0, len(value)+Overhead), header...)
	return k.secret.aead.Seal(sealed, nil, value, []byte(header+record))
}

// A ring is the keys that are given, that which seals first.
type ring []Key

// open gives the value of a record as the store has it, or an *Error. One that is not sealed is its own value.
func (r ring) open(record store.Record) ([]byte, error) {
	if !bytes.HasPrefix(record.Value, []byte(magic)) {
		return record.Value, nil
	}
	if !bytes.HasPrefix(record.Value, []byte(form)) {
		return nil, r.fail(record.Key, "", ErrSealed)
	}
	if len(record.Value) < Overhead || record.Value[headerSize-1] != '\n' {
		return nil, r.fail(record.Key, "", ErrDamaged)
	}
	header := string(record.Value[:headerSize])
	id := header[len(form) : headerSize-1]
	if !isID(id) { // nobody's key: no other instance can have sealed it
		return nil, r.fail(record.Key, "", ErrDamaged)
	}
	why := ErrSealed
	for _, key := range r {
		if key.ID() != id {
			continue
		}
		value, err := key.secret.aead.Open(nil, nil, record.Value[headerSize:], []byte(header+record.Key))
		if err == nil {
			return value, nil
		}
		why = ErrDamaged
	}
	return nil, r.fail(record.Key, id, why)
}

func (r ring) fail(record, id string, why error) error {
	return &Error{Record: record, KeyID: id, Given: r.ids(), Err: why}
}

func (r ring) ids() (ids []string) {
	for _, key := range r {
		ids = append(ids, key.ID())
	}
	return ids
}
