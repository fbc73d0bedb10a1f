package cmd

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/store"
	"github.com/tricot-proxy/tricot/certs/store/dir"
	"github.com/tricot-proxy/tricot/certs/store/sealed"
)

// certificate gives the record of a certificate that is valid from a number of hours after some time.
func certificate(t *testing.T, hours int) string {
	t.Helper()
	from := time.Date(2026, 1, 1, hours, 0, 0, 0, time.UTC)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(int64(hours)), NotBefore: from, NotAfter: from.AddDate(0, 3, 0)}
	leaf, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	inDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	value, err := json.Marshal(map[string]string{
		"key_pem":       string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: inDER})),
		"fullchain_pem": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf})),
	})
	require.NoError(t, err)
	return string(value)
}

// failure gives the record of one whose next try is a number of hours after some time.
func failure(hours int) string {
	return `{"attempts":1,"next_try":"` + time.Date(2026, 1, 1, hours, 0, 0, 0, time.UTC).Format(time.RFC3339) + `"}`
}

func sealingKey(t *testing.T, b byte) sealed.Key {
	t.Helper()
	key, err := sealed.ParseKey(strings.Repeat(string(b), 64))
	require.NoError(t, err)
	return key
}

func placeOf(t *testing.T, in store.Store, keys ...sealed.Key) *place {
	t.Helper()
	p, err := newPlace("dir", "somewhere", in, keys)
	require.NoError(t, err)
	return p
}

func emptyStore(t *testing.T) store.Store {
	t.Helper()
	in, err := dir.Open(dir.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	return in
}

// put writes a value under a key whatever is there.
func put(t *testing.T, in store.Store, key, value string) {
	t.Helper()
	there, _ := in.Load(t.Context(), key)
	_, err := in.Save(t.Context(), store.Record{Key: key, Value: []byte(value), Version: there.Version})
	require.NoError(t, err)
}

func value(t *testing.T, in store.Store, key string) string {
	t.Helper()
	record, err := in.Load(t.Context(), key)
	if errors.Is(err, store.ErrNotFound) {
		return ""
	}
	require.NoError(t, err)
	return string(record.Value)
}

func outcomesOf(all []moved) map[string]string {
	by := map[string]string{}
	for _, is := range all {
		by[is.Record] = is.Outcome
	}
	return by
}

func TestTransfer_ReplacesWhatIsOlderThereAndLeavesTheRest(t *testing.T) {
	older, younger := certificate(t, 1), certificate(t, 2)
	for name, tc := range map[string]struct {
		key, here, there string
		overwrite        bool
		outcome          string
	}{
		"nothing there":                     {key: "certs/a", here: older, outcome: copied},
		"the same":                          {key: "certs/a", here: older, there: older, outcome: same},
		"an older certificate":              {key: "certs/a", here: younger, there: older, outcome: replaced},
		"a newer certificate":               {key: "certs/a", here: older, there: younger, outcome: left},
		"a newer certificate, by force":     {key: "certs/a", here: older, there: younger, overwrite: true, outcome: replaced},
		"another certificate of that time":  {key: "certs/a", here: older, there: certificate(t, 1), outcome: left},
		"a certificate that cannot be read": {key: "certs/a", here: older, there: "{", outcome: replaced},
		"ours cannot be read":               {key: "certs/a", here: "{", outcome: failed},
		"ours cannot be read, theirs can":   {key: "certs/a", here: `{"key_pem":"k"}`, there: older, overwrite: true, outcome: failed},
		"neither can be read":               {key: "certs/a", here: "{", there: "{}", outcome: failed},
		"an account":                        {key: "account/ca", here: "ours", there: "theirs", outcome: left},
		"an account, by force":              {key: "account/ca", here: "ours", there: "theirs", overwrite: true, outcome: replaced},
		"no account":                        {key: "account/ca", here: "ours", outcome: copied},
		"an authority":                      {key: "local/authority", here: "ours", there: "theirs", outcome: left},
		"an older failure":                  {key: "failures/a", here: failure(2), there: failure(1), outcome: replaced},
		"a newer failure":                   {key: "failures/a", here: failure(1), there: failure(2), outcome: left},
		"a failure that cannot be read":     {key: "failures/a", here: failure(1), there: "{", outcome: replaced},
		"a challenge":                       {key: "challenge/t", here: "answer"},
	} {
		t.Run(name, func(t *testing.T) {
			from, to := emptyStore(t), emptyStore(t)
			put(t, from, tc.key, tc.here)
			if tc.there != "" {
				put(t, to, tc.key, tc.there)
			}
			all, err := (&transfer{from: placeOf(t, from), to: placeOf(t, to), overwrite: tc.overwrite}).run(t.Context())
			require.NoError(t, err)
			assert.Equal(t, tc.outcome, outcomesOf(all)[tc.key])
			want := tc.there
			if tc.outcome == copied || tc.outcome == replaced {
				want = tc.here
			}
			assert.Equal(t, want, value(t, to, tc.key))
			assert.Equal(t, tc.here, value(t, from, tc.key), "what is copied stays")
			for _, is := range all {
				if is.Outcome == left || is.Outcome == failed {
					assert.NotEmpty(t, is.Reason)
				}
			}
		})
	}
}

func TestTransfer_SealsAsTheKeysSayAndWritesNothingTwice(t *testing.T) {
	a, b := sealingKey(t, 'a'), sealingKey(t, 'b')
	const key, secret = "account/ca", "secret"
	for name, tc := range map[string]struct {
		before, given []sealed.Key // those that sealed the records, and those of the transfer
		unseal        bool
		first         string // outcome, in place and where the other store has the same
		seal          string // of the result
	}{
		"sealed for the first time":        {nil, []sealed.Key{a}, false, resealed, a.ID()},
		"with another key":                 {[]sealed.Key{a}, []sealed.Key{b, a}, false, resealed, b.ID()},
		"with the same key":                {[]sealed.Key{a}, []sealed.Key{a, b}, false, same, a.ID()},
		"unsealed":                         {[]sealed.Key{a}, []sealed.Key{b, a}, true, unsealed, ""},
		"unsealed where nothing is sealed": {nil, []sealed.Key{a}, true, same, ""},
		"without any key":                  {nil, nil, false, same, ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, elsewhere := range []bool{false, true} {
				here, there := emptyStore(t), emptyStore(t)
				put(t, placeOf(t, here, tc.before...).open, key, secret)
				put(t, placeOf(t, there, tc.before...).open, key, secret)
				from, to := placeOf(t, here, tc.given...), placeOf(t, there, tc.given...)
				if !elsewhere {
					from = to
				}
				for _, want := range []string{tc.first, same} {
					all, err := (&transfer{from: from, to: to, unseal: tc.unseal}).run(t.Context())
					require.NoError(t, err)
					assert.Equal(t, map[string]string{key: want}, outcomesOf(all))
				}
				assert.Equal(t, secret, value(t, to.open, key))
				if tc.seal == "" {
					assert.Equal(t, secret, value(t, there, key))
				} else {
					assert.Contains(t, value(t, there, key), tc.seal)
					assert.NotContains(t, value(t, there, key), secret)
				}
			}
		})
	}
}

func TestTransfer_WhatIsSealedWithAKeyThatIsNotGivenStaysAndTheRestGoesOn(t *testing.T) {
	a, b := sealingKey(t, 'a'), sealingKey(t, 'b')
	from, to := emptyStore(t), emptyStore(t)
	put(t, placeOf(t, from, a).open, "account/locked-here", "theirs")
	put(t, from, "account/locked-there", "ours")
	put(t, placeOf(t, to, a).open, "account/locked-there", "theirs")
	put(t, from, "account/open", "ours")
	locked := value(t, to, "account/locked-there")
	all, err := (&transfer{from: placeOf(t, from, b), to: placeOf(t, to, b), overwrite: true}).run(t.Context())
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"account/locked-here": failed, "account/locked-there": failed, "account/open": copied}, outcomesOf(all))
	for _, is := range all[:2] {
		assert.Contains(t, is.Reason, "is sealed with the encryption key "+a.ID())
	}
	assert.Equal(t, locked, value(t, to, "account/locked-there"))
	assert.Empty(t, value(t, to, "account/locked-here"))
}

func TestTransfer_ADamagedRecordIsReplacedThereAndNotCopiedFromHere(t *testing.T) {
	a := sealingKey(t, 'a')
	from, to := emptyStore(t), emptyStore(t)
	put(t, placeOf(t, from, a).open, "account/well", "ours")
	put(t, placeOf(t, from, a).open, "account/damaged", "ours")
	for in, key := range map[store.Store]string{from: "account/damaged", to: "account/well"} {
		put(t, placeOf(t, in, a).open, "account/other", "x")
		put(t, in, key, value(t, in, "account/other")) // which was sealed under another name
		require.NoError(t, in.Delete(t.Context(), "account/other"))
	}
	all, err := (&transfer{from: placeOf(t, from, a), to: placeOf(t, to, a)}).run(t.Context())
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"account/well": replaced, "account/damaged": failed}, outcomesOf(all))
	assert.Equal(t, "ours", value(t, placeOf(t, to, a).open, "account/well"))
}

// full is a store that takes no more than a number of records.
type full struct {
	store.Store
	room int
}

func (f *full) Save(ctx context.Context, record store.Record) (store.Record, error) {
	if f.room--; f.room < 0 {
		return store.Record{}, errors.New("disk full")
	}
	return f.Store.Save(ctx, record)
}

func TestTransfer_AStoreThatFailsIsNotTriedForEachRecord(t *testing.T) {
	from, to := emptyStore(t), &full{emptyStore(t), 1}
	for _, key := range []string{"account/a", "account/b", "failures/c", "failures/d"} {
		put(t, from, key, failure(1))
	}
	all, err := (&transfer{from: placeOf(t, from), to: placeOf(t, to)}).run(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{copied, failed, failed, failed}, []string{all[0].Outcome, all[1].Outcome, all[2].Outcome, all[3].Outcome})
	assert.Equal(t, "disk full", all[1].Reason)
	assert.Equal(t, "not tried after the failure before", all[3].Reason)
	assert.Equal(t, -1, to.room)
}

// busy is a store in which somebody else writes between two calls.
type busy struct {
	store.Store
	before func() // each Save
}

func (b *busy) Save(ctx context.Context, record store.Record) (store.Record, error) {
	b.before()
	return b.Store.Save(ctx, record)
}

func TestTransfer_WhatIsWrittenThereInTheMeantimeIsLookedAtAgain(t *testing.T) {
	from, inner, younger := emptyStore(t), emptyStore(t), certificate(t, 2)
	put(t, from, "certs/a", certificate(t, 1))
	to := &busy{inner, func() { put(t, inner, "certs/a", younger) }}
	all, err := (&transfer{from: placeOf(t, from), to: placeOf(t, to)}).run(t.Context())
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"certs/a": left}, outcomesOf(all))
	assert.Equal(t, younger, value(t, inner, "certs/a"))
}

func TestCertsCopy_SaysWhatItCannotDo(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	for name, tc := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no place":          {[]string{"copy"}, exitSettings, `"to" not set`},
		"no known place":    {[]string{"copy", "--to", "disk"}, exitSettings, `flag --to: "disk": dir or consul is expected`},
		"no known source":   {[]string{"copy", "--from", "disk", "--to", "dir"}, exitSettings, `flag --from: "disk"`},
		"the same place":    {[]string{"copy", "--to", "dir"}, exitSettings, "tricot certs reseal"},
		"nothing to copy":   {[]string{"copy", "--to", "consul"}, exitFailed, "certs.dir: stat " + missing},
		"no key":            {[]string{"reseal"}, exitSettings, "there is no key to seal with: set certs.encryption_key"},
		"nothing to reseal": {[]string{"reseal", "--unseal"}, exitFailed, "certs.dir: stat " + missing},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := tricot(t, missing, append([]string{"certs"}, tc.args...)...)
			assert.Equal(t, tc.code, code)
			assert.Empty(t, stdout)
			assert.Contains(t, stderr, tc.says)
			_, err := os.Stat(missing)
			assert.ErrorIs(t, err, os.ErrNotExist, "nothing is made")
		})
	}
	code, _, stderr := tricot(t, t.TempDir(), "certs", "reseal", "--unseal")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, "there is nothing in the store dir")
}

func TestCertsReseal_ChangesTheKeyOfAStore(t *testing.T) {
	certsDir := filepath.Join(t.TempDir(), "certs")
	old, young := strings.Repeat("a", 64), strings.Repeat("b", 64)
	code, _, stderr := tricot(t, certsDir, "certs", "renew", "app.example.com", "--certs-encryption-key", old)
	require.Zero(t, code, stderr)
	code, stdout, stderr := tricot(t, certsDir, "certs", "reseal", "--certs-encryption-key", young+","+old)
	require.Zero(t, code, stderr)
	assert.Regexp(t, `(?m)^certs/app\.example\.com +resealed +-$`, stdout)
	assert.Contains(t, stdout, "dir "+certsDir+": 2 resealed\n")
	code, _, stderr = tricot(t, certsDir, "certs", "list", "--certs-encryption-key", young)
	require.Zero(t, code, stderr)

	code, stdout, stderr = tricot(t, certsDir, "certs", "list", "--certs-encryption-key", old)
	assert.Equal(t, exitFailed, code)
	assert.Regexp(t, `app\.example\.com .* is sealed with the encryption key`, stdout)
	assert.Contains(t, stderr, "1 of 1 certificates cannot be read: the encryption key is not given")
	code, stdout, stderr = tricot(t, certsDir, "certs", "reseal", "--json", "--certs-encryption-key", old)
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, "2 of 2 records could not be written")
	var said struct{ Records []moved }
	require.NoError(t, json.NewDecoder(bytes.NewReader([]byte(stdout))).Decode(&said))
	assert.Equal(t, map[string]string{"certs/app.example.com": failed, "local/authority": failed}, outcomesOf(said.Records))
	assert.NotContains(t, stdout+stderr, old)
}
