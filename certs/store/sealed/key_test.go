package sealed_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/store/sealed"
)

// secret has bytes for which the alphabets of base64 differ.
var secret = bytes.Repeat([]byte{0xfb, 0xff, 0x3e, 0x01}, 8)

func TestParseKey_TakesHexadecimalAndBase64(t *testing.T) {
	sum := sha256.Sum256(secret)
	for _, text := range []string{
		hex.EncodeToString(secret), strings.ToUpper(hex.EncodeToString(secret)),
		base64.StdEncoding.EncodeToString(secret), base64.RawStdEncoding.EncodeToString(secret),
		base64.URLEncoding.EncodeToString(secret), base64.RawURLEncoding.EncodeToString(secret),
		" \t" + base64.StdEncoding.EncodeToString(secret) + "\r\n",
	} {
		k, err := sealed.ParseKey(text)
		require.NoError(t, err, text)
		assert.Equal(t, hex.EncodeToString(sum[:8]), k.ID())
	}
}

func TestParseKey_SaysWhatItExpectsAndNeverWhatItGot(t *testing.T) {
	text := base64.StdEncoding.EncodeToString(secret)
	for bad, says := range map[string]string{
		"":                               "is empty",
		" \n":                            "is empty",
		"hunter2hunter2":                 "has 14 characters",
		text[:42]:                        "has 42 characters",
		text + "=":                       "has 45 characters",
		text[:10] + "\n" + text[10:42]:   "has 43 characters",
		text[:43] + "A":                  "has 44 characters",
		"?" + text[1:]:                   "has the length of base64, but is none",
		text[:42] + "B=":                 "has the length of base64, but is none", // bits that stand for nothing
		strings.Repeat("z", 64):          "not all of them are hexadecimal",
		hex.EncodeToString(secret) + "0": "has 65 characters",
		hex.EncodeToString(secret[:16]):  "has 32 characters",
	} {
		k, err := sealed.ParseKey(bad)
		require.Error(t, err, bad)
		assert.Zero(t, k)
		assert.ErrorContains(t, err, "32 random bytes")
		assert.ErrorContains(t, err, says)
		if len(bad) > 4 {
			assert.NotContains(t, err.Error(), bad[:5])
		}
	}
}

func TestKey_ShowsItsIDAndNothingElse(t *testing.T) {
	k, err := sealed.ParseKey(hex.EncodeToString(secret))
	require.NoError(t, err)
	want := "key " + k.ID()
	assert.Equal(t, want, k.String())
	type holder struct {
		Shown  sealed.Key
		hidden sealed.Key
		Listed []sealed.Key
	}
	held := holder{k, k, []sealed.Key{k}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%c", "%U", "%e"} {
		assert.Equal(t, want, fmt.Sprintf(verb, k), verb)
		assert.Equal(t, want, fmt.Sprintf(verb, &k), verb)
		hidesSecret(t, fmt.Sprintf(verb, held))
		hidesSecret(t, fmt.Sprintf(verb, &held))
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", k, "held", held)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", k, "held", held)
	hidesSecret(t, log.String())
	assert.Contains(t, log.String(), want)
	encoded, err := json.Marshal(held)
	require.NoError(t, err)
	hidesSecret(t, string(encoded))
	assert.Equal(t, "key ", sealed.Key{}.String())
	_ = held.hidden
}

func hidesSecret(t *testing.T, text string) {
	t.Helper()
	for _, form := range []string{
		string(secret[:4]), hex.EncodeToString(secret[:4]), base64.StdEncoding.EncodeToString(secret[:6]), "251 255 62",
		"0xfb, 0xff",
		// the first word of the key as the cipher has it
		"20905979", "4227808769", "fbff3e01", "FBFF3E01",
	} {
		assert.NotContains(t, text, form)
	}
}

func TestReadKeyFile_GivesTheKeysInTheirOrder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	text := "# of this year\r\n" + hex.EncodeToString(raw('b')) + "\r\n\n  " + base64.StdEncoding.EncodeToString(raw('a'))
	for _, mode := range []os.FileMode{0o400, 0o600, 0o640, 0o440} {
		_ = os.Remove(path)
		require.NoError(t, os.WriteFile(path, []byte(text), mode))
		require.NoError(t, os.Chmod(path, mode))
		keys, err := sealed.ReadKeyFile(path)
		require.NoError(t, err, mode)
		require.Len(t, keys, 2)
		assert.Equal(t, key(t, 'b').ID(), keys[0].ID())
		assert.Equal(t, key(t, 'a').ID(), keys[1].ID())
	}
}

func TestReadKeyFile_RefusesAFileThatIsOpenToOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	require.NoError(t, os.WriteFile(path, []byte(hex.EncodeToString(raw('a'))), 0o600))
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(path, link))
	for _, mode := range []os.FileMode{0o644, 0o604, 0o620, 0o660, 0o602, 0o601} {
		require.NoError(t, os.Chmod(path, mode))
		for _, named := range []string{path, link} {
			_, err := sealed.ReadKeyFile(named)
			assert.ErrorContains(t, err, named)
			assert.ErrorContains(t, err, fmt.Sprintf("open to other users (mode %04o): close it with chmod 600", mode))
		}
	}
}

func TestReadKeyFile_SaysWhatIsWrongAndWhere(t *testing.T) {
	here := t.TempDir()
	for says, text := range map[string]string{
		"there is no key in it":                        "# none\n\n",
		"line 3: an encryption key is 32 random bytes": hex.EncodeToString(raw('a')) + "\n\nhunter2hunter2\n",
		"more than 65536 bytes":                        strings.Repeat("#", 64<<10+1),
		"line 1: an encryption key is 32":              strings.Repeat("x", 64<<10),
	} {
		path := filepath.Join(here, "keys")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := sealed.ReadKeyFile(path)
		assert.ErrorContains(t, err, "read encryption keys from "+path+": ")
		assert.ErrorContains(t, err, says)
		assert.NotContains(t, err.Error(), "hunter2")
	}
	for path, says := range map[string]string{filepath.Join(here, "none"): "no such file", here: "is a directory"} {
		_, err := sealed.ReadKeyFile(path)
		assert.ErrorContains(t, err, says)
		assert.Equal(t, 1, strings.Count(err.Error(), path), err)
	}
}

func FuzzParseKey_TakesKeysOnlyAndQuotesNothing(f *testing.F) {
	f.Add(hex.EncodeToString(secret))
	f.Add(base64.StdEncoding.EncodeToString(secret))
	f.Add(strings.Repeat("=", 44))
	f.Fuzz(func(t *testing.T, text string) {
		k, err := sealed.ParseKey(text)
		if err != nil {
			require.Zero(t, k)
			if trimmed := strings.TrimSpace(text); len(trimmed) > 12 {
				require.NotContains(t, err.Error(), trimmed)
			}
			return
		}
		require.Len(t, k.ID(), 16)
	})
}
