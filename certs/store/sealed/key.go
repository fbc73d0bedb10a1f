package sealed

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
)

const (
	keySize = 32 // bytes: AES-256
	idSize  = 16 // hexadecimal digits
	// maxKeyFile is the number of bytes in the largest file of keys; who names another file by mistake is told soon.
	maxKeyFile = 64 << 10
)

// A Key seals and opens. The empty one does neither; [ParseKey] and [ReadKeyFile] make others. However it is printed or
// logged, its ID is all that is seen of it.
type Key struct {
	secret *secret // a pointer, of which package fmt shows no more than the address where it finds it in another struct
}

type secret struct {
	id   string
	aead cipher.AEAD // makes its nonces, and puts them before the ciphertext
}

// what is expected of a key, for who gave something else.
const expected = "an encryption key is 32 random bytes, written as 64 hexadecimal digits or as 44 characters of " +
	`base64 (as "openssl rand -base64 32" makes one)`

// ParseKey reads a key: 64 hexadecimal digits, or 32 bytes in base64, of either alphabet (RFC 4648, sections 4 and 5),
// with padding or without. Space around it means nothing. An error does not quote it.
func ParseKey(s string) (Key, error) {
	s = strings.TrimSpace(s)
	var raw []byte
	var err error
	switch {
	case s == "":
		return Key{}, errors.New(expected + "; this is empty")
	case len(s) == hex.EncodedLen(keySize):
		if raw, err = hex.DecodeString(s); err != nil {
			return Key{}, errors.New(expected + "; this has 64 characters, but not all of them are hexadecimal digits")
		}
	default:
		digits := strings.TrimSuffix(s, "=")
		encoding := base64.RawStdEncoding
		if strings.ContainsAny(digits, "-_") {
			encoding = base64.RawURLEncoding
		}
		// The decoder passes over ends of lines, wherever they are.
		if len(digits) != encoding.EncodedLen(keySize) || strings.ContainsAny(digits, "\r\n") {
			return Key{}, fmt.Errorf(expected+"; this has %d characters", len(s))
		}
		if raw, err = encoding.Strict().DecodeString(digits); err != nil {
			return Key{}, errors.New(expected + "; this has the length of base64, but is none")
		}
	}
	return newKey(raw)
}

func newKey(raw []byte) (Key, error) {
	block, err := aes.NewCipher(raw)
	if err != nil {
		return Key{}, fmt.Errorf("make a cipher of an encryption key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return Key{}, fmt.Errorf("make a cipher of an encryption key: %w", err)
	}
	sum := sha256.Sum256(raw)
	return Key{&secret{id: hex.EncodeToString(sum[:])[:idSize], aead: aead}}, nil
}

// ReadKeyFile reads a file of keys, one on each line, as [ParseKey] reads them. The first is the one that seals. Empty
// lines are passed over, and so are those that begin with "#". A file that all users of the machine may read, or that
// others than its owner may write, is refused; one that its group may read is not.
func ReadKeyFile(path string) ([]Key, error) {
	keys, err := readKeyFile(path)
	var at *fs.PathError
	if errors.As(err, &at) { // which would name the path again
		err = at.Err
	}
	if err != nil {
		return nil, fmt.Errorf("read encryption keys from %s: %w", path, err)
	}
	return keys, nil
}

func readKeyFile(path string) ([]Key, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); !info.IsDir() && mode&0o027 != 0 {
		return nil, fmt.Errorf("the file is open to other users (mode %04o): close it with chmod 600", mode)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxKeyFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxKeyFile {
		return nil, fmt.Errorf("the file has more than %d bytes, and so is none of keys", maxKeyFile)
	}
	return parseKeys(text)
}

func parseKeys(text []byte) (keys []Key, err error) {
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, maxKeyFile+1)
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, err := ParseKey(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		keys = append(keys, key)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, errors.New("there is no key in it: " + expected + ", one on each line")
	}
	return keys, nil
}

// ID names the key and gives nothing of it away: the first 8 bytes of its SHA-256, in hexadecimal. That of the empty
// Key is empty.
func (k Key) ID() string {
	if k.secret == nil {
		return ""
	}
	return k.secret.id
}

// String is "key ID".
func (k Key) String() string { return "key " + k.ID() }

// Format writes the same as String, whatever the verb.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue is the same as String.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText is the same as String, so that no encoder shows more.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

func isID(s string) bool {
	return len(s) == idSize && strings.Trim(s, "0123456789abcdef") == ""
}
