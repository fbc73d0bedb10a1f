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

func TestCopy_TakesAStoreToAnotherPlaceAndBackSealedAndNot(t *testing.T) {
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
			copied, err := store.Copy(t.Context(), here, there, lasting...)
			require.NoError(t, err)
			assert.Equal(t, len(plain), copied)
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
			_, err = store.Copy(t.Context(), there, here, lasting...)
			require.NoError(t, err)
			assert.Equal(t, "renewed", load(t, here, "certs/app.example.com"))
			assert.Equal(t, "account", load(t, here, "account/ca"))
		})
	}
}

func TestCopy_FromAStoreToItselfSealsEverythingWithTheFirstKey(t *testing.T) {
	a, b := key(t, 'a'), key(t, 'b')
	inner := openDir(t, t.TempDir())
	fill(t, inner)
	for _, keys := range [][]sealed.Key{{a}, {b, a}, {a, b}} {
		s := wrap(t, inner, keys...)
		copied, err := store.Copy(t.Context(), s, s, lasting...)
		require.NoError(t, err)
		assert.Equal(t, len(plain), copied)
		assert.Equal(t, len(plain), sealedWith(t, inner, keys[0]))
		holds(t, wrap(t, inner, keys[0]))
	}
}

func TestCopy_FromASealedStoreToWhatItIsAroundUnseals(t *testing.T) {
	inner := openDir(t, t.TempDir())
	s := wrap(t, inner, key(t, 'a'))
	fill(t, s)
	_, err := store.Copy(t.Context(), s, inner, lasting...)
	require.NoError(t, err)
	holds(t, inner)
	holds(t, wrap(t, inner))
}

func TestCopy_WithoutTheRightKeyOnEitherSideReplacesNothing(t *testing.T) {
	inner, elsewhere := openDir(t, t.TempDir()), openDir(t, t.TempDir())
	fill(t, wrap(t, inner, key(t, 'a')))
	for _, keys := range [][]sealed.Key{nil, {key(t, 'b')}} {
		wrong := wrap(t, inner, keys...)
		copied, err := store.Copy(t.Context(), wrong, elsewhere, "certs/")
		require.ErrorIs(t, err, sealed.ErrSealed)
		assert.ErrorContains(t, err, "certs/app.example.com")
		assert.Zero(t, copied)
		_, err = elsewhere.Load(t.Context(), "certs/app.example.com")
		assert.ErrorIs(t, err, store.ErrNotFound)

		full := openDir(t, t.TempDir())
		save(t, full, "certs/app.example.com", "theirs")
		_, err = store.Copy(t.Context(), full, wrong, "certs/")
		require.ErrorIs(t, err, sealed.ErrSealed)
		assert.Equal(t, len(plain), sealedWith(t, inner, key(t, 'a')))
	}
}
