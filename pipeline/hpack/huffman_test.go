package hpack

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	reference "golang.org/x/net/http2/hpack"
)

// The lengths of appendix B make the codes, since the code is canonical: in the order of length and then of character,
// each code is the one before it plus one, widened to its own length.
func TestHuffmanTables_AreWhatTheLengthsOfAppendixBMake(t *testing.T) {
	var short [256]uint16
	var groups []codeGroup
	var characters []byte
	next, before := uint32(0), uint8(0)
	for length := uint8(1); length <= 30; length++ {
		first, offset := next<<(length-before), len(characters)
		for c := range 256 {
			if huffmanLengths[c] != length {
				continue
			}
			next <<= length - before
			before = length
			assert.Equal(t, next, huffmanCodes[c], "the code of %#x", c)
			if length <= 8 {
				for rest := range 1 << (8 - length) {
					short[int(next)<<(8-length)|rest] = uint16(length)<<8 | uint16(c)
				}
			} else {
				characters = append(characters, byte(c))
			}
			next++
		}
		if len(characters) > offset {
			groups = append(groups, codeGroup{
				length: length, offset: uint8(offset), first: first, end: next << (32 - length),
			})
		}
	}
	assert.Equal(t, uint32(1<<30-1), next, "EOS is the one code that is left")
	assert.Equal(t, short, shortCodes)
	assert.Equal(t, groups, longCodes[:])
	assert.Equal(t, characters, longCharacters[:])
}

func TestHuffman_CodesEachCharacterAsTheReferenceDoes(t *testing.T) {
	for c := range 256 {
		for _, s := range []string{
			string([]byte{byte(c)}), string(bytes.Repeat([]byte{byte(c)}, 8)), "a" + string([]byte{byte(c)}) + "z",
		} {
			want := reference.AppendHuffmanString(nil, s)
			require.Equal(t, len(want), huffmanSize(s), "%q", s)
			got := appendHuffman([]byte("kept"), s, huffmanSize(s))
			require.Equal(t, append([]byte("kept"), want...), got, "%q", s)
			back, ok := appendDecoded([]byte("kept"), want)
			require.True(t, ok, "%q", s)
			require.Equal(t, "kept"+s, string(back))
		}
	}
}

func TestHuffman_GivesBackWhatItWasGiven(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		s := string(randomBytes(random, random.IntN(100), random.IntN(3)))
		coded := appendHuffman(nil, s, huffmanSize(s))
		require.Equal(t, string(reference.AppendHuffmanString(nil, s)), string(coded))
		back, ok := appendDecoded(nil, coded)
		require.True(t, ok, "%q", s)
		require.Equal(t, s, string(back))
	}
}

// randomBytes are of a kind: 0, what headers have most; 1, all of ASCII; 2, everything.
func randomBytes(random *rand.Rand, size, kind int) []byte {
	s := make([]byte, size)
	for i := range s {
		switch kind {
		case 0:
			const common = "abcdefghijklmnopqrstuvwxyz0123456789-/=.;, "
			s[i] = common[random.IntN(len(common))]
		case 1:
			s[i] = byte(random.IntN(128))
		default:
			s[i] = byte(random.IntN(256))
		}
	}
	return s
}

func TestHuffman_RefusesWhatIsNotInTheCode(t *testing.T) {
	for _, c := range []struct {
		name  string
		coded string
		ok    bool
		want  string
	}{
		{"nothing", "", true, ""},
		{"a character with three bits of padding", "\x1f", true, "a"},
		{"a code of ten bits with six of padding", "\xfe\x3f", true, "!"},
		{"a zero in the padding", "\x1e", false, ""},
		{"padding of zeros", "\x18", false, ""},
		{"padding of a whole byte", "\x1f\xff", false, ""},
		{"padding of a whole byte behind whole bytes", strings.Repeat("\x18\xc6\x31\x8c\x63", 8) + "\xff", false, ""},
		{"nothing but a byte of padding", "\xff", false, ""},
		{"nothing but three bytes of padding", "\xff\xff\xff", false, ""},
		{"EOS", "\xff\xff\xff\xff", false, ""},
		{"EOS before characters", "\xff\xff\xff\xfc\x18\xc6\x31\x8c\x63\x18\xc6\x31\x8c\x63", false, ""},
		{"EOS behind characters", strings.Repeat("\x18\xc6\x31\x8c\x63", 8) + "\xff\xff\xff\xff", false, ""},
		{"a code that ends too early", "\xfe", false, ""},
		{"a long code that ends too early", "\xff\xff\xf6", false, ""},
		{"a long code with zeros in its padding", "\xff\xff\xff\xf0", false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := appendDecoded(nil, []byte(c.coded))
			assert.Equal(t, c.ok, ok)
			assert.Equal(t, c.want, string(got))
			_, err := reference.HuffmanDecodeToString([]byte(c.coded))
			assert.Equal(t, c.ok, err == nil, "the reference says %v", err)
		})
	}
}

func TestHuffman_AgreesWithTheReferenceOnRandomBytes(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 2))
	refused := 0
	for range 20000 {
		coded := randomBytes(random, random.IntN(24), 2)
		if random.IntN(2) == 0 && len(coded) > 0 {
			coded[len(coded)-1] |= 0x7f
		}
		got, ok := appendDecoded(nil, coded)
		want, err := reference.HuffmanDecodeToString(coded)
		require.Equal(t, err == nil, ok, "%x", coded)
		if ok {
			require.Equal(t, want, string(got), "%x", coded)
		} else {
			refused++
		}
	}
	assert.NotZero(t, refused)
}
