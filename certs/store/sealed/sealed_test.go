package sealed_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs"
	"github.com/tricot-proxy/tricot/certs/store"
	"github.com/tricot-proxy/tricot/certs/store/sealed"
)

func TestWrap_RefusesAnEmptyKeyAndNoStore(t *testing.T) {
	_, err := sealed.Wrap(openDir(t, t.TempDir()), nil, key(t, 'a'), sealed.Key{})
	assert.ErrorContains(t, err, "key 2 of 2 is empty")
	_, err = sealed.Wrap(nil, nil, key(t, 'a'))
	assert.ErrorContains(t, err, "no store")
}

func TestKeyIDs_NamesTheKeyThatSealsFirst(t *testing.T) {
	a, b := key(t, 'a'), key(t, 'b')
	inner := openDir(t, t.TempDir())
	assert.Equal(t, []string{b.ID(), a.ID()}, wrap(t, inner, b, a).KeyIDs())
	assert.Empty(t, wrap(t, inner).KeyIDs())
}

func TestSave_SealsAllButChallenges(t *testing.T) {
	path := t.TempDir()
	inner := openDir(t, path)
	s := wrap(t, inner, key(t, 'a'))
	for _, record := range []string{"certs/app.example.com", "account/ca", "local/authority", "later/x",
		"certs/challenge/x", "challenges/x"} {
		save(t, s, record, "-----BEGIN PRIVATE KEY-----")
		assert.Equal(t, "-----BEGIN PRIVATE KEY-----", load(t, s, record))
		file, err := os.ReadFile(filepath.Join(path, record))
		require.NoError(t, err)
		assert.NotContains(t, string(file), "PRIVATE", record)
		assert.True(t, strings.HasPrefix(string(file), "tricot-sealed v1 "+key(t, 'a').ID()+"\n"), record)
	}
	save(t, s, certs.ChallengePrefix+"token", "authorization")
	assert.Equal(t, "authorization", load(t, inner, certs.ChallengePrefix+"token"))
}

func TestSave_LeavesChallengesAloneWhateverTheyLookLike(t *testing.T) {
	inner := openDir(t, t.TempDir())
	looks := "tricot-sealed v1 0123456789abcdef\n" + strings.Repeat("x", 40)
	save(t, inner, "challenge/token", looks)
	for _, s := range []*sealed.Store{wrap(t, inner), wrap(t, inner, key(t, 'a'))} {
		assert.Equal(t, looks, load(t, s, "challenge/token"))
		assert.Equal(t, looks, string(next(t, follow(t, s, "challenge/"))[0].Value))
		save(t, s, "challenge/token", looks)
		require.NoError(t, s.Delete(t.Context(), "challenge/token"))
		save(t, s, "challenge/token", looks)
	}
}

func TestSave_SealsUnderLockToo(t *testing.T) {
	inner := openDir(t, t.TempDir())
	s := wrap(t, inner, key(t, 'a'))
	held, err := s.Lock(t.Context(), "app")
	require.NoError(t, err)
	saved, err := held.Save(t.Context(), store.Record{Key: "certs/app", Value: []byte("secret")})
	require.NoError(t, err)
	require.NoError(t, held.Unlock(t.Context()))
	assert.Equal(t, "secret", string(saved.Value))
	assert.NotContains(t, load(t, inner, "certs/app"), "secret")
	assert.Equal(t, "secret", load(t, s, "certs/app"))
}

func TestSave_MakesAnotherSealEachTime(t *testing.T) {
	inner := openDir(t, t.TempDir())
	s := wrap(t, inner, key(t, 'a'))
	first := save(t, s, "certs/app", "same")
	sealedFirst := load(t, inner, "certs/app")
	second := save(t, s, "certs/app", "same")
	assert.NotEqual(t, first.Version, second.Version)
	assert.NotEqual(t, sealedFirst, load(t, inner, "certs/app"))
}

func TestSave_GivesTheVersionOfTheInnerStore(t *testing.T) {
	inner := openDir(t, t.TempDir())
	saved := save(t, wrap(t, inner, key(t, 'a')), "certs/app", "value")
	there, err := inner.Load(t.Context(), "certs/app")
	require.NoError(t, err)
	assert.Equal(t, there.Version, saved.Version)
}

func TestStore_ReadsUnsealedRecordsAndSealsThemAtTheirNextWrite(t *testing.T) {
	inner := openDir(t, t.TempDir())
	unsealed := save(t, inner, "certs/app", "old")
	s := wrap(t, inner, key(t, 'a'))
	assert.Equal(t, "old", load(t, s, "certs/app"))
	assert.Equal(t, []store.Record{unsealed}, next(t, follow(t, s, "certs/")))
	assert.Equal(t, "old", load(t, inner, "certs/app"), "reading writes nothing")
	_, err := s.Save(t.Context(), store.Record{Key: "certs/app", Value: []byte("new"), Version: unsealed.Version})
	require.NoError(t, err)
	assert.Contains(t, load(t, inner, "certs/app"), "tricot-sealed v1 ")
	assert.Equal(t, "new", load(t, s, "certs/app"))
}

func TestStore_OpensWithEveryKeyAndSealsWithTheFirst(t *testing.T) {
	inner := openDir(t, t.TempDir())
	old, changing := wrap(t, inner, key(t, 'a')), wrap(t, inner, key(t, 'b'), key(t, 'a'))
	save(t, old, "certs/app", "one")
	assert.Equal(t, "one", load(t, changing, "certs/app"))
	save(t, changing, "certs/app", "two")
	assert.Equal(t, "two", load(t, wrap(t, inner, key(t, 'b')), "certs/app"))
	_, err := old.Load(t.Context(), "certs/app")
	assert.ErrorIs(t, err, sealed.ErrSealed)
}

func TestStore_TouchesNothingThatIsSealedWithAnotherKey(t *testing.T) {
	for name, keys := range map[string][]sealed.Key{
		"no key": nil, "another": {key(t, 'b')}, "others": {key(t, 'b'), key(t, 'c')},
	} {
		t.Run(name, func(t *testing.T) {
			inner := openDir(t, t.TempDir())
			mine := save(t, wrap(t, inner, key(t, 'a')), "certs/app", "mine")
			before, err := inner.Load(t.Context(), "certs/app")
			require.NoError(t, err)
			s := wrap(t, inner, keys...)

			got, err := s.Load(t.Context(), "certs/app")
			require.ErrorIs(t, err, sealed.ErrSealed)
			assert.Zero(t, got)
			var details *sealed.Error
			require.ErrorAs(t, err, &details)
			assert.Equal(t, "certs/app", details.Record)
			assert.Equal(t, key(t, 'a').ID(), details.KeyID)
			assert.ErrorContains(t, err, "certs/app")
			assert.ErrorContains(t, err, key(t, 'a').ID())
			for _, k := range keys {
				assert.ErrorContains(t, err, k.ID(), "what is given is said")
			}

			held, err := s.Lock(t.Context(), "app")
			require.NoError(t, err)
			theirs := store.Record{Key: "certs/app", Value: []byte("theirs"), Version: mine.Version}
			for _, save := range []func() (store.Record, error){
				func() (store.Record, error) { return s.Save(t.Context(), theirs) },
				func() (store.Record, error) { return held.Save(t.Context(), theirs) },
			} {
				got, err := save()
				assert.ErrorIs(t, err, sealed.ErrSealed)
				assert.Zero(t, got)
			}
			theirs.Version = ""
			_, err = s.Save(t.Context(), theirs)
			assert.ErrorIs(t, err, store.ErrConflict)
			_, err = held.Save(t.Context(), theirs)
			assert.ErrorIs(t, err, store.ErrConflict)
			require.NoError(t, held.Unlock(t.Context()))
			assert.ErrorIs(t, s.Delete(t.Context(), "certs/app"), sealed.ErrSealed)

			after, err := inner.Load(t.Context(), "certs/app")
			require.NoError(t, err)
			assert.Equal(t, before, after)
		})
	}
}

func TestStore_SaysThatADamagedRecordIsOneAndLetsItBeReplaced(t *testing.T) {
	inner := openDir(t, t.TempDir())
	s := wrap(t, inner, key(t, 'a'))
	save(t, s, "certs/app", "value")
	text := []byte(load(t, inner, "certs/app"))
	text[len(text)-1] ^= 1
	damaged := save(t, inner, "certs/app", string(text))

	got, err := s.Load(t.Context(), "certs/app")
	assert.ErrorIs(t, err, sealed.ErrDamaged)
	assert.NotErrorIs(t, err, sealed.ErrSealed)
	assert.ErrorContains(t, err, "certs/app")
	assert.Equal(t, store.Record{Key: "certs/app", Version: damaged.Version}, got)
	got.Value = []byte("new")
	_, err = s.Save(t.Context(), got)
	require.NoError(t, err)
	assert.Equal(t, "new", load(t, s, "certs/app"))

	save(t, inner, "certs/app", string(text))
	assert.NoError(t, s.Delete(t.Context(), "certs/app"))
}

func TestStore_RefusesARecordThatWasMovedUnderAnotherName(t *testing.T) {
	inner := openDir(t, t.TempDir())
	s := wrap(t, inner, key(t, 'a'))
	save(t, s, "certs/app", "value")
	save(t, inner, "certs/other", load(t, inner, "certs/app"))
	_, err := s.Load(t.Context(), "certs/other")
	assert.ErrorIs(t, err, sealed.ErrDamaged)

	elsewhere := openDir(t, t.TempDir())
	save(t, elsewhere, "certs/app", load(t, inner, "certs/app"))
	assert.Equal(t, "value", load(t, wrap(t, elsewhere, key(t, 'a')), "certs/app"), "in another store it is at home")
}

func TestSave_WithoutAKeyWritesNothingThatWouldBeTakenForSealed(t *testing.T) {
	inner := openDir(t, t.TempDir())
	_, err := wrap(t, inner).Save(t.Context(), store.Record{Key: "certs/app", Value: []byte("tricot-sealed v1 x")})
	assert.ErrorContains(t, err, "certs/app")
	_, err = inner.Load(t.Context(), "certs/app")
	assert.ErrorIs(t, err, store.ErrNotFound)

	s := wrap(t, inner, key(t, 'a'))
	save(t, s, "certs/app", "tricot-sealed v1 x")
	assert.Equal(t, "tricot-sealed v1 x", load(t, s, "certs/app"), "with one, it is a value as any other")
}
