package sealed

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/store"
)

func testKey(t testing.TB, fill byte) Key {
	t.Helper()
	k, err := newKey(bytes.Repeat([]byte{fill}, keySize))
	require.NoError(t, err)
	return k
}

// The record is made here as its documentation says, with nothing of the package.
func TestOpen_ReadsTheFormThatIsDocumented(t *testing.T) {
	secret := bytes.Repeat([]byte{7}, 32)
	sum := sha256.Sum256(secret)
	line := "tricot-sealed v1 " + hex.EncodeToString(sum[:8]) + "\n"
	block, err := aes.NewCipher(secret)
	require.NoError(t, err)
	gcm, err := cipher.NewGCM(block)
	require.NoError(t, err)
	nonce := []byte("twelve bytes")
	there := append([]byte(line), nonce...)
	there = gcm.Seal(there, nonce, []byte("value"), []byte(line+"certs/app.example.com"))

	value, err := ring{testKey(t, 7)}.open(store.Record{Key: "certs/app.example.com", Value: there})
	require.NoError(t, err)
	assert.Equal(t, "value", string(value))

	ours := testKey(t, 7).seal("certs/app.example.com", []byte("value"))
	assert.Len(t, ours, len("value")+Overhead)
	value, err = gcm.Open(nil, ours[len(line):len(line)+12], ours[len(line)+12:], []byte(line+"certs/app.example.com"))
	require.NoError(t, err)
	assert.Equal(t, "value", string(value))
}

func TestOpen_NoticesEveryChangeOfABit(t *testing.T) {
	keys := ring{testKey(t, 1), testKey(t, 2)}
	there := keys[0].seal("certs/a", []byte("value"))
	for at := range there {
		for bit := range 8 {
			changed := bytes.Clone(there)
			changed[at] ^= 1 << bit
			value, err := keys.open(store.Record{Key: "certs/a", Value: changed})
			// Without the first word it cannot be told from an unsealed record, which is no JSON.
			if at >= len(magic) {
				assert.Error(t, err, "byte %d", at)
				changed = nil
			}
			assert.Equal(t, changed, value, "never anything of what was sealed")
			if at >= headerSize {
				assert.ErrorIs(t, err, ErrDamaged, "byte %d", at)
			}
		}
	}
	for length := len(magic); length < len(there); length++ {
		_, err := keys.open(store.Record{Key: "certs/a", Value: there[:length]})
		assert.Error(t, err, "the first %d bytes", length)
	}
	_, err := keys.open(store.Record{Key: "certs/a", Value: append(bytes.Clone(there), 0)})
	assert.ErrorIs(t, err, ErrDamaged)
}

func TestOpen_SaysWhyARecordDoesNotOpen(t *testing.T) {
	a, b := testKey(t, 'a'), testKey(t, 'b')
	there := a.seal("certs/a", []byte("value"))
	for name, test := range map[string]struct {
		keys   ring
		record string
		value  []byte
		is     error
		says   string
	}{
		"no key": {nil, "certs/a", there, ErrSealed,
			"certs/a is sealed with the encryption key " + a.ID() + ", and no key is given"},
		"another key":  {ring{b}, "certs/a", there, ErrSealed, a.ID() + ", which is not given (given: " + b.ID() + ")"},
		"another name": {ring{a, b}, "certs/b", there, ErrDamaged, "certs/b is damaged, or was moved there"},
		"later form": {ring{a}, "certs/a", []byte("tricot-sealed v2 whatever"), ErrSealed,
			"certs/a is sealed in a way that this version does not know"},
		"cut off": {ring{a}, "certs/a", there[:Overhead-1], ErrDamaged, "certs/a is damaged"},
		"no ID": {ring{a}, "certs/a", bytes.Replace(there, []byte(a.ID()), []byte("0123456789ABCDEF"), 1), ErrDamaged,
			"certs/a is damaged"},
	} {
		_, err := test.keys.open(store.Record{Key: test.record, Value: test.value})
		assert.ErrorIs(t, err, test.is, name)
		assert.ErrorContains(t, err, test.says, name)
	}
}

func FuzzSeal_IsUndoneByOpenAndByNothingElse(f *testing.F) {
	f.Add("certs/app.example.com", []byte(`{"key_pem":"-----BEGIN"}`), uint(40), byte(1))
	f.Add("a", []byte{}, uint(0), byte(0x80))
	f.Add("certs/a", []byte("tricot-sealed v1 0123456789abcdef\n"), uint(17), byte(0xff))
	keys, others := ring{testKey(f, 1), testKey(f, 2)}, ring{testKey(f, 3)}
	f.Fuzz(func(t *testing.T, record string, value []byte, at uint, change byte) {
		for _, sealing := range keys {
			there := sealing.seal(record, value)
			got, err := keys.open(store.Record{Key: record, Value: there})
			require.NoError(t, err)
			require.True(t, bytes.Equal(value, got))

			_, err = others.open(store.Record{Key: record, Value: there})
			require.ErrorIs(t, err, ErrSealed)
			_, err = keys.open(store.Record{Key: record + "x", Value: there})
			require.ErrorIs(t, err, ErrDamaged)
			// The end of the line and the beginning of the name do not run into each other.
			_, err = keys.open(store.Record{Key: "\n" + record, Value: there})
			require.ErrorIs(t, err, ErrDamaged)
			if place := int(at % uint(len(there))); change != 0 && place >= len(magic) {
				there[place] ^= change
				_, err = keys.open(store.Record{Key: record, Value: there})
				require.Error(t, err)
			}
		}
	})
}

func FuzzOpen_NeverPanicsAndTakesNothingForSealedThatIsNot(f *testing.F) {
	key := testKey(f, 1)
	f.Add([]byte(""))
	f.Add([]byte(magic))
	f.Add([]byte(form + key.ID() + "\n"))
	f.Add(append([]byte(form+key.ID()+"\n"), make([]byte, 28)...))
	f.Add([]byte(`{"hostname":"app.example.com"}`))
	f.Fuzz(func(t *testing.T, there []byte) {
		value, err := ring{key}.open(store.Record{Key: "certs/a", Value: there})
		require.Equal(t, bytes.HasPrefix(there, []byte(magic)), err != nil)
		if err == nil {
			require.Equal(t, there, value)
		} else {
			require.Nil(t, value)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	keys := ring{testKey(b, 1)}
	record := store.Record{Key: "certs/app.example.com", Value: keys[0].seal("certs/app.example.com", make([]byte, 6000))}
	b.SetBytes(6000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := keys.open(record); err != nil {
			b.Fatal(err)
		}
	}
}
