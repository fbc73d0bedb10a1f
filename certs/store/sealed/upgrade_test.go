package sealed_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/store"
	"github.com/tricot-proxy/tricot/certs/store/sealed"
)

var lasting = []string{"certs/", "account/", "local/"}

// plain is what is put into a store and has to come out of every other.
var plain = map[string]string{
	"certs/app.example.com": "certificate", "certs/other.example.com": "another", "account/ca": "account",
	"local/authority": "authority",
}

func fill(t *testing.T, s store.Store) {
	t.Helper()
	for key, value := range plain {
		save(t, s, key, value)
	}
}

func holds(t *testing.T, s store.Store) {
	t.Helper()
	for key, value := range plain {
		assert.Equal(t, value, load(t, s, key), key)
	}
}

// sealedWith counts what in a store, with no wrapping, is sealed with a key.
func sealedWith(t *testing.T, inner store.Store, by sealed.Key) (count int) {
	t.Helper()
	for key := range plain {
		if strings.HasPrefix(load(t, inner, key), "tricot-sealed v1 "+by.ID()+"\n") {
			count++
		}
	}
	return count
}

func TestStore_GoesToAnotherPlaceAndBackSealedAndNot(t *testing.T) {
	a, b := key(t, 'a'), key(t, 'b')
	for name, keys := range map[string][2][]sealed.Key{
		"neither":       {nil, nil},
		"to sealed":     {nil, {b}},
		"from sealed":   {{a}, nil},
		"both":          {{a}, {b}},
		"with one key":  {{a}, {a}},
		"changing keys": {{b, a}, {a, b}},
	} {
		t.Run(name, func(t *testing.T) {
			hereInner, thereInner := openDir(t, t.TempDir()), openDir(t, t.TempDir())
			here, there := wrap(t, hereInner, keys[0]...), wrap(t, thereInner, keys[1]...)
			fill(t, here)
			written, err := rewrite(t, here, there, lasting...)
			require.NoError(t, err)
			assert.Equal(t, len(plain), written)
			holds(t, there)
			for inner, keys := range map[store.Store][]sealed.Key{hereInner: keys[0], thereInner: keys[1]} {
				if len(keys) == 0 {
					holds(t, inner)
				} else {
					assert.Equal(t, len(plain), sealedWith(t, inner, keys[0]))
				}
			}

			// What has changed there in the meantime comes back.
			save(t, there, "certs/app.example.com", "renewed")
			_, err = rewrite(t, there, here, lasting...)
			require.NoError(t, err)
			assert.Equal(t, "renewed", load(t, here, "certs/app.example.com"))
			assert.Equal(t, "account", load(t, here, "account/ca"))
		})
	}
}

func TestStore_WrittenAnewIsSealedWithTheFirstKeyAsAWhole(t *testing.T) {
	a, b := key(t, 'a'), key(t, 'b')
	inner := openDir(t, t.TempDir())
	fill(t, inner)
	for _, keys := range [][]sealed.Key{{a}, {b, a}, {a, b}} {
		s := wrap(t, inner, keys...)
		written, err := rewrite(t, s, s, lasting...)
		require.NoError(t, err)
		assert.Equal(t, len(plain), written)
		assert.Equal(t, len(plain), sealedWith(t, inner, keys[0]))
		holds(t, wrap(t, inner, keys[0]))
	}
}

func TestStore_WrittenToWhatItIsAroundIsUnsealed(t *testing.T) {
	inner := openDir(t, t.TempDir())
	s := wrap(t, inner, key(t, 'a'))
	fill(t, s)
	_, err := rewrite(t, s, inner, lasting...)
	require.NoError(t, err)
	holds(t, inner)
	holds(t, wrap(t, inner))
}

func TestStore_WithoutTheRightKeyOnEitherSideReplacesNothing(t *testing.T) {
	inner, elsewhere := openDir(t, t.TempDir()), openDir(t, t.TempDir())
	fill(t, wrap(t, inner, key(t, 'a')))
	for _, keys := range [][]sealed.Key{nil, {key(t, 'b')}} {
		wrong := wrap(t, inner, keys...)
		written, err := rewrite(t, wrong, elsewhere, "certs/")
		require.ErrorIs(t, err, sealed.ErrSealed)
		assert.ErrorContains(t, err, "certs/app.example.com")
		assert.Zero(t, written)
		_, err = elsewhere.Load(t.Context(), "certs/app.example.com")
		assert.ErrorIs(t, err, store.ErrNotFound)

		full := openDir(t, t.TempDir())
		save(t, full, "certs/app.example.com", "theirs")
		_, err = rewrite(t, full, wrong, "certs/")
		require.ErrorIs(t, err, sealed.ErrSealed)
		assert.Equal(t, len(plain), sealedWith(t, inner, key(t, 'a')))
	}
}
