package hpack

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	reference "golang.org/x/net/http2/hpack"
)

func fromHex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	require.NoError(t, err)
	return b
}

func TestDecoder_ReadsTheRequestsOfAppendixC4(t *testing.T) {
	d := NewDecoder(4096)
	for _, c := range []struct {
		block string
		want  []Field
	}{
		{"8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", []Field{
			wantField(":method", "GET", false), wantField(":scheme", "http", false), wantField(":path", "/", false),
			wantField(":authority", "www.example.com", false),
		}},
		{"8286 84be 5886 a8eb 1064 9cbf", []Field{
			wantField(":method", "GET", false), wantField(":scheme", "http", false), wantField(":path", "/", false),
			wantField(":authority", "www.example.com", false), wantField("cache-control", "no-cache", false),
		}},
		{"8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf", []Field{
			wantField(":method", "GET", false), wantField(":scheme", "https", false),
			wantField(":path", "/index.html", false), wantField(":authority", "www.example.com", false),
			wantField("custom-key", "custom-value", false),
		}},
	} {
		fields, err := decodeAll(d, fromHex(t, c.block))
		require.NoError(t, err)
		assert.Equal(t, c.want, fields)
	}
	assert.Equal(t, 164, d.table.size)
}

func TestDecoder_TellsWhatMayStandInHTTP2(t *testing.T) {
	for _, c := range []struct {
		name, value string
		canonical   string
		valid       bool
	}{
		{"content-type", "text/html", "Content-Type", true},
		{"x-made-up-name", "1", "X-Made-Up-Name", true},
		{"x-made-up-name", "", "X-Made-Up-Name", true},
		{"x--y-", "tab\tand space", "X--Y-", true},
		{"x", "caf\xc3\xa9 \xff", "X", true},
		{":path", "/a", "", true},
		{":made-up", "1", "", true},
		{"te", "trailers", "Te", true},
		{"Content-Type", "text/html", "", false},
		{"X-Made-Up-Name", "1", "", false},
		{":Path", "/a", "", false},
		{":", "", "", false},
		{"::path", "", "", false},
		{"", "1", "", false},
		{"a b", "1", "", false},
		{"a:b", "1", "", false},
		{"caf\xc3\xa9", "1", "", false},
		{"x\x00", "1", "", false},
		{"x", " leading", "X", false},
		{"x", "trailing\t", "X", false},
		{"x", " ", "X", false},
		{"x", "line\r\nbreak: 1", "X", false},
		{"x", "a value that is long enough\n", "X", false},
		{"x", "12345678\x00", "X", false},
		{"x", "1234567\x7f12345678", "X", false},
		{":path", "/\x00", "", false},
	} {
		t.Run(c.name+" "+c.value, func(t *testing.T) {
			want := Field{Name: c.name, Value: c.value, Canonical: c.canonical, Valid: c.valid}
			block := appendString(appendString([]byte{patternIncremental}, c.name), c.value)
			block = appendInteger(block, patternIndexed, prefixIndexed, lastStatic+1) // the entry that this has made
			block = appendLiteral(block, patternPlain, prefixLiteral, lastStatic+1, "", "a")
			fields, err := decodeAll(NewDecoder(4096), block)
			require.NoError(t, err)
			require.Len(t, fields, 3)
			assert.Equal(t, want, fields[0])
			assert.Equal(t, want, fields[1])
			assert.Equal(t, wantField(c.name, "a", false), fields[2])
			assert.Equal(t, wantField(c.name, c.value, false), fields[0])
		})
	}
}

// isValue looks at eight characters at a time: every control character counts, at every place.
func TestIsValue_FindsEachCharacterAtEachPlace(t *testing.T) {
	for c := range 256 {
		for place := range 20 {
			value := bytes.Repeat([]byte("a"), 20)
			value[place] = byte(c)
			require.Equal(t, wantField("x", string(value), false).Valid, isValue(value), "%q", value)
		}
	}
}

func TestDecoder_MarksWhatIsNeverIndexed(t *testing.T) {
	block := "\x10\x01a\x01b" + "\x00\x01a\x01b" + "\x40\x01a\x01b" + "\xbe" + "\x1f\x2f\x01b"
	fields, err := decodeAll(NewDecoder(4096), []byte(block))
	require.NoError(t, err)
	assert.Equal(t, []Field{
		wantField("a", "b", true), wantField("a", "b", false), wantField("a", "b", false), wantField("a", "b", false),
		wantField("a", "b", true),
	}, fields)
}

func TestDecoder_RefusesWhatIsNoBlock(t *testing.T) {
	for _, c := range []struct {
		name   string
		block  string
		reason string
	}{
		{"index 0", "\x80", reasonIndex},
		{"an index above the static table", "\xbe", reasonIndex},
		{"an index above the dynamic table", "\x40\x01a\x01b\xbf", reasonIndex},
		{"the greatest index", "\xff\x80\xff\xff\xff\x0f", reasonIndex},
		{"an index for a name above all", "\x0f\x7f\x01a", reasonIndex},
		{"an index above 32 bits", "\xff\x81\xff\xff\xff\x0f", reasonOverflow},
		{"an integer without end", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", reasonOverflow},
		{"an integer of many zeros", "\xff\x80\x80\x80\x80\x80\x00", reasonOverflow},
		{"an integer that is cut off", "\xff", reasonTruncated},
		{"an integer that is cut off later", "\xff\x80", reasonTruncated},
		{"no name", "\x40", reasonTruncated},
		{"a name that is cut off", "\x40\x02a", reasonTruncated},
		{"a name whose length is cut off", "\x40\x7f", reasonTruncated},
		{"no value", "\x40\x01a", reasonTruncated},
		{"no value for an indexed name", "\x44", reasonTruncated},
		{"a value longer than the block", "\x44\x05abcd", reasonTruncated},
		{"a value that is as long as 32 bits can say", "\x44\x7f\x80\xff\xff\xff\x0f", reasonTruncated},
		{"a value longer than 32 bits can say", "\x44\x7f\x81\xff\xff\xff\x0f", reasonOverflow},
		{"a name with EOS", "\x40\x84\xff\xff\xff\xff\x01b", reasonHuffman},
		{"a value with EOS", "\x44\x84\xff\xff\xff\xff", reasonHuffman},
		{"a value with eight bits of padding", "\x44\x82\x1f\xff", reasonHuffman},
		{"a value with a zero in its padding", "\x44\x81\x1e", reasonHuffman},
		{"a table above the limit", "\x3f\xe2\x1f", reasonLargeTable},
		{"a table far above the limit", "\x3f\xe1\xff\xff\xff\x0f", reasonOverflow},
		{"a table as large as 32 bits can say", "\x3f\xe0\xff\xff\xff\x0f", reasonLargeTable},
		{"a table's size that is cut off", "\x3f", reasonTruncated},
		{"a table's size behind an indexed field line", "\x82\x20", reasonLateUpdate},
		{"a table's size behind a literal", "\x00\x01a\x01b\x20", reasonLateUpdate},
		{"a table's size behind a literal that is indexed", "\x40\x01a\x01b\x20", reasonLateUpdate},
		{"an entry that the table's size has evicted", "\x40\x01a\x01b|\x20\xbe", reasonIndex},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := NewDecoder(4096)
			var err error
			for _, block := range strings.Split(c.block, "|") {
				require.NoError(t, err)
				_, err = decodeAll(d, []byte(block))
			}
			var decoding *DecodingError
			require.ErrorAs(t, err, &decoding)
			assert.Equal(t, c.reason, decoding.Reason)
			assert.Equal(t, "decode field block: "+c.reason, err.Error())

			fields, again := decodeAll(d, []byte("\x82"))
			assert.Empty(t, fields, "the tables may differ: there is no next block")
			assert.Equal(t, err, again)

			var blocks [][]byte
			for _, block := range strings.Split(c.block, "|") {
				blocks = append(blocks, []byte(block))
			}
			requireSame(t, 4096, blocks...)
		})
	}
}

func TestDecoder_GivesTheFieldLinesAheadOfAnError(t *testing.T) {
	fields, err := decodeAll(NewDecoder(4096), []byte("\x82\x84\x80\x86"))
	assert.Error(t, err)
	assert.Equal(t, []Field{staticTable[2], staticTable[4]}, fields)
}

func TestDecoder_TakesAnyNumberOfSizesAtABlocksStart(t *testing.T) {
	d := NewDecoder(100)
	for _, block := range []string{"\x40\x01a\x01b", "\x20\x3f\x45\x3e\x3f\x45\x40\x01c\x01d\xbe"} {
		_, err := decodeAll(d, []byte(block))
		require.NoError(t, err)
	}
	assert.Equal(t, 100, d.table.max)
	assert.Equal(t, uint32(1), d.table.count, "the table was emptied on the way")
}

// A peer that has not yet read our settings writes for a table of 4096 bytes.
func TestDecoder_HasATableOf4096BytesUntilTheBlockThatChangesIt(t *testing.T) {
	for _, announced := range []int{0, 100, 4096, 1 << 20} {
		d := NewDecoder(announced)
		block := appendLiteral(nil, patternIncremental, prefixIncremental, 0, "x", strings.Repeat("v", 4096-32-1))
		fields, err := decodeAll(d, append(block, 0xbe))
		require.NoError(t, err)
		assert.Len(t, fields, 2)
		_, err = decodeAll(d, appendInteger(nil, patternUpdate, prefixUpdate, uint32(announced)))
		require.NoError(t, err)
		assert.Equal(t, announced, d.table.max)
		_, err = decodeAll(d, appendInteger(nil, patternUpdate, prefixUpdate, uint32(announced)+1))
		assert.Error(t, err)
	}
}

func TestDecoder_EvictsTheOldestAndLetsItGo(t *testing.T) {
	d := NewDecoder(4096)
	entry := func(c string, size int) string {
		value := strings.Repeat(c, size-entryOverhead-1)
		return string(appendLiteral(nil, patternIncremental, prefixIncremental, 0, c, value))
	}
	read := func(block string) {
		_, err := decodeAll(d, []byte(block))
		require.NoError(t, err)
	}
	read(entry("a", 2000) + entry("b", 2000) + entry("c", 96))
	assert.Equal(t, 4096, d.table.size, "an entry that fits exactly evicts nothing")
	read(entry("d", 33))
	assert.Equal(t, 2000+96+33, d.table.size)
	fields, err := decodeAll(d, []byte("\xbe\xbf\xc0"))
	require.NoError(t, err)
	assert.Equal(t, []string{"d", "c", "b"}, []string{fields[0].Name, fields[1].Name, fields[2].Name})
	_, err = decodeAll(d, []byte("\xc1"))
	assert.Error(t, err)
	held := 0
	for _, entry := range d.table.entries {
		held += len(entry.Name) + len(entry.Value)
	}
	assert.Equal(t, d.table.size-3*entryOverhead, held)

	d = NewDecoder(4096)
	read(entry("a", 100) + entry("b", 4097))
	assert.Zero(t, d.table.size, "an entry larger than the table empties it")
	assert.Zero(t, d.table.count)
	// A name may be that of the entry which the new one evicts.
	read(entry("a", 4096) + "\x7e\x01x" + "\xbe")
	assert.Equal(t, Field{Name: "a", Value: "x", Canonical: "A", Valid: true}, *d.table.at(0))
}

func TestDecoder_AgreesWithTheReferenceOnWhatTheReferenceWrites(t *testing.T) {
	for seed := range uint64(100) {
		random := rand.New(rand.NewPCG(seed, 4))
		limit := uint32(random.IntN(3) * random.IntN(5000))
		if limit < 4096 {
			limit = 4096
		}
		var written bytes.Buffer
		encoder := reference.NewEncoder(&written)
		encoder.SetMaxDynamicTableSizeLimit(limit)
		var blocks [][]byte
		for range 30 {
			written.Reset()
			for range random.IntN(3) / 2 * 2 {
				encoder.SetMaxDynamicTableSize(uint32(random.IntN(int(limit) + 1)))
			}
			for range random.IntN(20) {
				name, value := randomField(random)
				require.NoError(t, encoder.WriteField(reference.HeaderField{
					Name: strings.ToLower(name), Value: value, Sensitive: random.IntN(8) == 0,
				}))
			}
			blocks = append(blocks, bytes.Clone(written.Bytes()))
		}
		ours := NewDecoder(int(limit))
		theirs := newReferenceDecoder(limit)
		for _, block := range blocks {
			got, err := decodeAll(ours, block)
			require.NoError(t, err)
			want, err := theirs.decodeAll(block)
			if err != nil && strings.Contains(err.Error(), "MUST occur at the beginning") {
				break // its own two changes of the size, with entries in the table: see requireSame
			}
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
	}
}

func TestDecoder_AgreesWithTheReferenceOnRandomBytes(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 5))
	for range 10000 {
		var blocks [][]byte
		for range 1 + random.IntN(3) {
			blocks = append(blocks, randomBlock(random))
		}
		requireSame(t, []int{0, 64, 4096, 8192}[random.IntN(4)], blocks...)
	}
}

// randomBlock is made of pieces that are mostly right.
func randomBlock(random *rand.Rand) (block []byte) {
	for range random.IntN(3) / 2 {
		block = appendInteger(block, patternUpdate, prefixUpdate, random.Uint32N(200))
	}
	for range random.IntN(8) {
		switch random.IntN(8) {
		case 0:
			block = append(block, randomBytes(random, random.IntN(6), 2)...)
		case 1, 2, 3:
			block = appendInteger(block, patternIndexed, prefixIndexed, 1+random.Uint32N(66))
		case 4:
			block = appendInteger(block, patternUpdate, prefixUpdate, random.Uint32N(9000))
		default:
			name, value := randomField(random)
			pattern, prefix := byte(patternIncremental), uint(prefixIncremental)
			if random.IntN(3) == 0 {
				pattern, prefix = byte(random.IntN(2))*patternNever, prefixLiteral
			}
			block = appendLiteral(block, pattern, prefix, random.Uint32N(70)*random.Uint32N(2), name, value)
		}
	}
	if len(block) > 0 && random.IntN(4) == 0 {
		block[random.IntN(len(block))] ^= 1 << random.IntN(8)
	}
	return block
}

// randomField has a name and a value that come again sooner or later.
func randomField(random *rand.Rand) (name, value string) {
	switch random.IntN(4) {
	case 0:
		name = string(randomBytes(random, 1+random.IntN(3), 0))
	case 1:
		name = "X-Made-Up-" + string(rune('A'+random.IntN(20)))
	default:
		name = knownNames[1+random.IntN(len(knownNames)-1)].canonical
	}
	switch random.IntN(6) {
	case 0:
		value = string(randomBytes(random, random.IntN(60), random.IntN(3)))
	case 1:
		value = strings.Repeat("v", random.IntN(1400))
	default:
		value = "value " + string(rune('a'+random.IntN(8)))
	}
	return name, value
}

func TestDecoder_TakesNoMemoryForWhatATableHas(t *testing.T) {
	d := NewDecoder(4096)
	_, err := decodeAll(d, []byte("\x40\x01a\x01b\x58\x08no-cache"))
	require.NoError(t, err)
	block := []byte("\x82\x86\x84\xbe\xbf\x90")
	fields := 0
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		d.Reset(block)
		for _, more := d.Next(); more; _, more = d.Next() {
			fields++
		}
	}))
	assert.Equal(t, 101*6, fields)
}

func TestDecoder_TakesOneStringForALiteral(t *testing.T) {
	for _, c := range []struct {
		name    string
		block   []byte
		strings float64
	}{
		{"indexed name", appendLiteral(nil, patternPlain, prefixLiteral, 4, "", "/some/where?it=is"), 1},
		{"indexed name, not in Huffman's code", []byte("\x04\x04/abc"), 1},
		{"known name", appendLiteral(nil, patternPlain, prefixLiteral, 0, "x-forwarded-for", "192.0.2.1"), 1},
		{"unknown name", appendLiteral(nil, patternPlain, prefixLiteral, 0, "x-made-up-name", "192.0.2.1"), 2},
		{"empty value", appendLiteral(nil, patternPlain, prefixLiteral, 4, "", ""), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := NewDecoder(4096)
			var err error
			assert.Equal(t, c.strings, testing.AllocsPerRun(100, func() {
				d.Reset(c.block)
				for _, more := d.Next(); more; _, more = d.Next() {
				}
				err = d.Err()
			}))
			require.NoError(t, err)
		})
	}
}

func TestCodecs_HoldLittleWhileTheyAreIdle(t *testing.T) {
	d, e := NewDecoder(4096), NewEncoder()
	assert.Nil(t, d.table.entries)
	assert.Nil(t, e.table.entries)
	assert.Nil(t, e.table.slots)
	assert.LessOrEqual(t, unsafe.Sizeof(*d)+unsafe.Sizeof(*e), uintptr(384))

	_, err := decodeAll(d, appendLiteral(nil, patternPlain, prefixLiteral, 0, "x-cookie", strings.Repeat("a cookie", 1000)))
	require.NoError(t, err)
	assert.LessOrEqual(t, cap(d.scratch), keptScratch)
	assert.Nil(t, d.block)
	assert.Zero(t, d.field)
	assert.Nil(t, d.table.entries, "nothing was indexed")
}
