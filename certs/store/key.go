package store

import (
	"fmt"
	"strings"
)

// The bounds of what a store takes.
const (
	// MaxName is the number of bytes in the longest name of a key.
	MaxName = 255
	// MaxKey is the number of bytes in the longest key, its slashes included.
	MaxKey = 400
	// MaxValue is the number of bytes in the largest value. Consul's limit for a transaction, 512 KiB with the value in
	// base64, leaves room for this much, Sealing and its key.
	MaxValue = 256 << 10
	// Sealing is the number of bytes that a value may have above that, for a store that seals what it writes to another.
	Sealing = 128
)

// Locks is the name below which a store keeps its locks. No key of a record starts with it.
const Locks = "locks"

// CheckRecord says why no store would save a record: its key is none, or its value is too large.
func CheckRecord(record Record) error {
	if err := CheckKey(record.Key); err != nil {
		return err
	}
	if len(record.Value) > MaxValue+Sealing {
		return fmt.Errorf("the value under %q has %d bytes, more than %d", record.Key, len(record.Value), MaxValue)
	}
	return nil
}

// CheckKey says why a string is not the key of a record; nil: it is one.
func CheckKey(key string) error {
	if len(key) > MaxKey {
		return fmt.Errorf("key of %d bytes: no more than %d are allowed", len(key), MaxKey)
	}
	rest, more := key, true
	for more {
		var name string
		name, rest, more = strings.Cut(rest, "/")
		if err := CheckName(name); err != nil {
			return fmt.Errorf("key %q: %w", key, err)
		}
	}
	if first, _, _ := strings.Cut(key, "/"); first == Locks {
		return fmt.Errorf("key %q: %q is kept for locks", key, Locks)
	}
	return nil
}

// CheckPrefix says why a string is not a prefix that can be followed; nil: it is one.
func CheckPrefix(prefix string) error {
	key, whole := strings.CutSuffix(prefix, "/")
	if !whole {
		return fmt.Errorf(`prefix %q does not end with "/"`, prefix)
	}
	return CheckKey(key)
}

// CheckName says why a string is not a name; nil: it is one.
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("a name is empty")
	case name == "." || name == "..":
		return fmt.Errorf("%q is not a name", name)
	case len(name) > MaxName:
		return fmt.Errorf("a name of %d bytes: no more than %d are allowed", len(name), MaxName)
	}
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte(".-_~*", c) >= 0:
		default:
			return fmt.Errorf("%q is not allowed in a name", c)
		}
	}
	return nil
}
