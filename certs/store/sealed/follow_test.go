package sealed_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/certstest"
	"github.com/tricot-proxy/tricot/certs/store"
)

func TestFollow_TellsOfARecordThatDoesNotOpenWhyThatIs(t *testing.T) {
	inner := openDir(t, t.TempDir())
	save(t, wrap(t, inner, key(t, 'a')), "certs/a", "one")
	save(t, wrap(t, inner, key(t, 'b')), "certs/b", "two")
	save(t, inner, "certs/c", "three")
	save(t, inner, "certs/d", load(t, inner, "certs/a"))
	theirs, err := inner.Load(t.Context(), "certs/b")
	require.NoError(t, err)

	told := next(t, follow(t, wrap(t, inner, key(t, 'a')), "certs/"))
	require.Len(t, told, 4)
	for at, value := range map[int]string{0: "one", 2: "three"} {
		assert.Equal(t, value, string(told[at].Value))
		assert.NoError(t, told[at].Err)
	}
	assert.ErrorIs(t, told[1].Err, store.ErrSealed)
	assert.ErrorContains(t, told[1].Err, key(t, 'b').ID())
	assert.Equal(t, store.Record{Key: "certs/b", Version: theirs.Version, Err: told[1].Err}, told[1])
	assert.ErrorIs(t, told[3].Err, store.ErrDamaged)
	assert.Empty(t, told[3].Value)
}

func TestFollow_LogsOnceThatARecordDoesNotOpenAndOnceThatItDoes(t *testing.T) {
	log := &certstest.Logbook{}
	inner := openDir(t, t.TempDir())
	mine, theirs := wrapLogged(t, inner, log, key(t, 'a')), wrap(t, inner, key(t, 'b'))
	both := wrap(t, inner, key(t, 'a'), key(t, 'b'))
	told := follow(t, mine, "certs/")
	next(t, told)
	change := func(s store.Store, key, value string) {
		t.Helper()
		save(t, s, key, value)
		next(t, told)
	}
	const began, ended = "record=certs/a err=", "is no longer one that cannot be opened"
	change(theirs, "certs/a", "secret")
	change(mine, "certs/b", "secret")
	change(theirs, "certs/a", "secret again")
	assert.Equal(t, 1, log.Count(began), log)
	assert.Equal(t, 1, log.Count("level=ERROR"), log)
	assert.Equal(t, 1, log.Count(key(t, 'b').ID()), log)
	change(both, "certs/a", "secret")
	assert.Equal(t, 1, log.Count(ended), log)
	change(mine, "certs/a", "secret")
	assert.Equal(t, 1, log.Count(ended), log)

	require.NoError(t, inner.Delete(t.Context(), "certs/a"))
	next(t, told)
	change(theirs, "certs/a", "secret")
	assert.Equal(t, 2, log.Count(began), log)
	require.NoError(t, theirs.Delete(t.Context(), "certs/a"))
	next(t, told)
	assert.Equal(t, 2, log.Count(ended), log)
	assert.NotContains(t, log.String(), "secret")
}

func TestFollow_TellsWithinASecondOfARecordThatIsSealedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := simulatedDir(t, t.TempDir())
		s := wrap(t, inner, key(t, 'b'))
		save(t, wrap(t, inner, key(t, 'a')), "certs/a", "one")
		told := follow(t, s, "certs/")
		assert.NotEqual(t, "one", string(next(t, told)[0].Value))
		changing := wrap(t, inner, key(t, 'b'), key(t, 'a'))
		begin := time.Now()
		written, err := rewrite(t, changing, changing, "certs/")
		require.NoError(t, err)
		assert.Equal(t, 1, written)
		assert.Equal(t, "one", string(next(t, told)[0].Value))
		assert.Less(t, time.Since(begin), time.Second)
	})
}
