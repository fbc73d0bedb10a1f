package hpack

import (
	"fmt"
	"math/rand/v2"
	"net/textproto"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	reference "golang.org/x/net/http2/hpack"
)

func TestStaticTable_IsThatOfTheReference(t *testing.T) {
	for index := 1; index <= lastStatic; index++ {
		fields, err := reference.NewDecoder(0, nil).DecodeFull([]byte{0x80 | byte(index)})
		require.NoError(t, err)
		want := Field{Name: fields[0].Name, Value: fields[0].Value, Valid: true}
		if !fields[0].IsPseudo() {
			want.Canonical = textproto.CanonicalMIMEHeaderKey(want.Name)
		}
		assert.Equal(t, want, staticTable[index], "entry %d", index)
	}
}

func TestKnownNames_HaveTheEntriesOfTheStaticTable(t *testing.T) {
	for index := 1; index <= lastStatic; index++ {
		name := staticTable[index].Name
		known := knownNames[lookUp(name)]
		assert.Equal(t, name, known.lower)
		assert.GreaterOrEqual(t, index, int(known.static), name)
		assert.Less(t, index, int(known.static)+int(known.statics), name)
	}
	for _, known := range knownNames {
		for i := range known.statics {
			assert.Equal(t, known.lower, staticTable[known.static+i].Name)
		}
	}
}

// A name that was added needs another table, which is printed here, and perhaps another factor for it.
func TestKnownNames_AreFoundInAnyCase(t *testing.T) {
	for number, known := range knownNames {
		if number == 0 {
			assert.Equal(t, knownName{}, known)
			continue
		}
		if known.canonical != "" || known.lower[0] != ':' {
			assert.Equal(t, textproto.CanonicalMIMEHeaderKey(known.lower), known.canonical)
		}
		for _, name := range []string{known.lower, known.canonical, strings.ToUpper(known.lower)} {
			if name != "" && int(lookUp(name)) != number {
				require.FailNow(t, name+" is not found; this is a hash that finds it", perfectHash())
			}
		}
		for _, name := range []string{known.lower + "x", known.lower[1:], strings.ReplaceAll(known.lower, "-", "\r")} {
			if got := lookUp(name); got != 0 {
				assert.Equal(t, name, knownNames[got].lower)
			}
		}
	}
	assert.Zero(t, lookUp(""))
}

// perfectHash returns knownFactor and knownSlots for the names that are there.
func perfectHash() string {
	random := rand.New(rand.NewPCG(1, 2))
	for range 50_000_000 {
		factor := random.Uint64() | 1
		var slots [1 << knownBits]uint8
		distinct := true
		for number := 1; number < len(knownNames) && distinct; number++ {
			slot := &slots[nameKey(knownNames[number].lower)*factor>>(64-knownBits)]
			distinct = *slot == 0
			*slot = uint8(number)
		}
		if distinct {
			return fmt.Sprintf("%#x\n%v", factor, slots)
		}
	}
	return "none was found: two names have one key, or the table is too small"
}

func TestCanonicalName_IsWhatHTTPHeadersHave(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 3))
	names := 0
	for range 20000 {
		s := randomBytes(random, 1+random.IntN(12), random.IntN(2))
		if random.IntN(2) == 0 {
			s = []byte(strings.ToLower(strings.Map(func(r rune) rune {
				if r <= ' ' || strings.ContainsRune("/=;,:", r) {
					return '-'
				}
				return r
			}, string(s))))
		}
		name, canonical := nameOf(s)
		assert.Equal(t, string(s), name)
		want := wantField(name, "", false)
		require.Equal(t, want.Canonical, canonical, "%q", s)
		if canonical != "" {
			names++
		}
	}
	assert.NotZero(t, names)
}
