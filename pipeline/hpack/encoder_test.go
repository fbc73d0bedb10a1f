package hpack

import (
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A peer has what decodes an encoder's blocks: the reference and ours, whose tables have to stay the encoder's.
type peer struct {
	*Encoder
	theirs *referenceDecoder
	ours   *Decoder
}

func newPeer() *peer {
	return &peer{NewEncoder(), newReferenceDecoder(defaultTableSize), NewDecoder(defaultTableSize)}
}

// requireFields decodes a block.
func (p *peer) requireFields(t *testing.T, block []byte, want []Field) {
	got, err := decodeAll(p.ours, block)
	require.NoError(t, err)
	require.Equal(t, want, got)
	requireSameTables(t, p.Encoder, p.ours)
	got, err = p.theirs.decodeAll(block)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestEncoder_WritesEachFieldLineAsItsNameAsksFor(t *testing.T) {
	for _, c := range []struct {
		name, value string
		first       string // how the first block begins, and the second
		second      string
	}{
		{"Content-Encoding", "gzip", "\x5a", "\xbe"},
		{"content-encoding", "gzip", "\x5a", "\xbe"},
		{"CONTENT-ENCODING", "gzip", "\x5a", "\xbe"},
		{"Date", "Mon, 23 Nov 2026 01:22:54 GMT", "\x61", "\xbe"},
		{"Accept-Encoding", "gzip, deflate", "\x90", "\x90"},
		{"Accept-Encoding", "br", "\x50", "\xbe"},
		{"Vary", "", "\xbb", "\xbb"},
		{":path", "/index.html", "\x85", "\x85"},
		{":path", "/other", "\x44", "\xbe"},
		{"X-Content-Type-Options", "nosniff", "\x40", "\xbe"},
		{"X-Made-Up", "1", "\x40", "\xbe"},
		{"x-MADE-up", "", "\x40", "\xbe"},
		{"Content-Length", "1024", "\x0f\x0d", "\x0f\x0d"},
		{"Content-Length", "", "\x9c", "\x9c"},
		{"Etag", `"abc"`, "\x0f\x13", "\x0f\x13"},
		{"ETag", `"abc"`, "\x0f\x13", "\x0f\x13"},
		{"Last-Modified", "Mon, 23 Nov 2026 01:22:54 GMT", "\x0f\x1d", "\x0f\x1d"},
		{"Location", "/there", "\x0f\x1f", "\x0f\x1f"},
		{"Content-Range", "bytes 0-1/2", "\x0f\x0f", "\x0f\x0f"},
		{"Age", "1", "\x0f\x06", "\x0f\x06"},
		{"Expires", "0", "\x0f\x15", "\x0f\x15"},
		{"X-Request-Id", "1", "\x00", "\x00"},
		{"Traceparent", "1", "\x00", "\x00"},
		{"Tracestate", "1", "\x00", "\x00"},
		{"Set-Cookie", "a=b", "\x1f\x28", "\x1f\x28"},
		{"set-cookie", "", "\x1f\x28", "\x1f\x28"},
		{"Authorization", "Basic YTpi", "\x1f\x08", "\x1f\x08"},
		{"Proxy-Authenticate", "Basic", "\x1f\x21", "\x1f\x21"},
		{"Proxy-Authorization", "Basic YTpi", "\x1f\x22", "\x1f\x22"},
		{"Cache-Control", strings.Repeat("v", 1024-32-13), "\x58", "\xbe"},
		{"Cache-Control", strings.Repeat("v", 1025-32-13), "\x0f\x09", "\x0f\x09"},
		{"X-Made-Up", strings.Repeat("v", 1025-32-9), "\x00", "\x00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPeer()
			lower := strings.ToLower(c.name)
			want := []Field{wantField(lower, c.value, c.first[0]&0xf0 == patternNever)}
			for _, begins := range []string{c.first, c.second, c.second} {
				block := p.AppendField(p.Begin([]byte("kept")), c.name, c.value)
				require.Equal(t, "kept"+begins, string(block[:4+len(begins)]))
				if begins[0] >= 0x80 {
					assert.Len(t, block, 5)
				}
				p.requireFields(t, block[4:], want)
			}
		})
	}
}

func TestEncoder_TakesANameFromTheTableWhereTheStaticOneHasNone(t *testing.T) {
	p := newPeer()
	block := p.AppendField(p.Begin(nil), "X-Made-Up", "1")
	at := len(block)
	block = p.AppendField(block, "X-Made-UP", "2")
	assert.Equal(t, byte(patternIncremental|lastStatic+1), block[at])
	at = len(block)
	block = p.AppendField(block, "x-made-up", strings.Repeat("v", 2000))
	assert.Equal(t, "\x0f\x2f", string(block[at:at+2]), "even for what does not enter it")
	p.requireFields(t, block, []Field{
		wantField("x-made-up", "1", false), wantField("x-made-up", "2", false),
		wantField("x-made-up", strings.Repeat("v", 2000), false),
	})
	first, second := p.table.at(0), p.table.at(1)
	assert.Same(t, unsafe.StringData(first.name), unsafe.StringData(second.name), "the entries share the name")
}

func TestEncoder_WritesTheStatusInAByteWhereItCan(t *testing.T) {
	p := newPeer()
	for code := 100; code < 600; code++ {
		block := p.AppendStatus(p.Begin(nil), code)
		switch code {
		case 200, 204, 206, 304, 400, 404, 500:
			assert.Len(t, block, 1)
		}
		want := []Field{wantField(":status", strconv.Itoa(code), false)}
		p.requireFields(t, block, want)
		block = p.AppendStatus(p.Begin(nil), code)
		assert.Len(t, block, 1)
		p.requireFields(t, block, want)
	}
}

func TestEncoder_TellsTheTablesSizeAtTheNextBlocksStart(t *testing.T) {
	for _, c := range []struct {
		name  string
		sizes []uint32
		want  string
		keeps bool // the entry that was there
	}{
		{"none", nil, "", true},
		{"the same", []uint32{4096}, "", true},
		{"more than ours", []uint32{1 << 20}, "", true},
		{"the most there is", []uint32{math.MaxUint32}, "", true},
		{"less", []uint32{100}, "\x3f\x45", true},
		{"nothing", []uint32{0}, "\x20", false},
		{"less and less", []uint32{100, 60, 40}, "\x3f\x09", true},
		{"less and more", []uint32{0, 100}, "\x20", false},
		{"less and as before", []uint32{10, 4096}, "\x2a", false},
		{"less, much less, and more than ours", []uint32{1000, 10, 20, 1 << 20}, "\x2a", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPeer()
			p.requireFields(t, p.AppendField(p.Begin(nil), "x", "1"), []Field{wantField("x", "1", false)})
			for _, size := range c.sizes {
				p.SetMaxTableSize(size)
			}
			block := p.Begin([]byte("kept"))
			assert.Equal(t, "kept"+c.want, string(block))
			block = p.AppendStatus(block[4:], 200)
			got, err := decodeAll(p.ours, block)
			require.NoError(t, err)
			require.Equal(t, []Field{staticTable[8]}, got)
			requireSameTables(t, p.Encoder, p.ours)
			assert.Equal(t, c.keeps, p.table.count == 1)
			assert.Empty(t, p.Begin(nil), "it is told once")
		})
	}
}

func TestEncoder_WritesForAPeerWithoutATable(t *testing.T) {
	p := newPeer()
	p.SetMaxTableSize(0)
	for range 2 {
		p.requireFields(t, p.AppendField(p.Begin(nil), "x", "1"), []Field{wantField("x", "1", false)})
	}
	assert.Nil(t, p.table.entries)
}

// A digest looks at the ends and the middle only.
func TestEncoder_TellsApartWhatHasOneDigest(t *testing.T) {
	long := strings.Repeat("-made-up", 6)
	first, second := "x"+long[:11]+"1"+long, "x"+long[:11]+"2"+long
	require.Equal(t, keyOf(0, first, first), keyOf(0, second, second))
	p := newPeer()
	for _, field := range [][2]string{
		{first, first}, {first, second}, {second, first}, {second, second}, {first, "1"}, {second, "1"},
	} {
		for range 2 {
			want := []Field{wantField(field[0], field[1], false)}
			p.requireFields(t, p.AppendField(p.Begin(nil), field[0], field[1]), want)
		}
		requireFound(t, p.Encoder)
	}
	assert.Equal(t, uint32(6), p.table.count)
}

// What a field line is a part of, such as a backend's whole head, must not stay for the sake of an entry.
func TestEncoder_KeepsNoneOfItsArguments(t *testing.T) {
	e := NewEncoder()
	head := strings.Clone("x-made-up: some value")
	e.AppendField(nil, head[:9], head[11:])
	entry := e.table.at(0)
	require.Equal(t, head, entry.name+": "+entry.value)
	from := uintptr(unsafe.Pointer(unsafe.StringData(head)))
	for _, s := range []string{entry.name, entry.value} {
		at := uintptr(unsafe.Pointer(unsafe.StringData(s)))
		assert.False(t, at >= from && at < from+uintptr(len(head)), "%q", s)
	}
}

func TestEncoder_KeepsThePeersTable(t *testing.T) {
	for seed := range uint64(24) {
		random := rand.New(rand.NewPCG(seed, 6))
		p := newPeer()
		if seed%4 == 0 { // numbers that wrap on the way
			p.table.newest = math.MaxUint32 - random.Uint32N(200)
		}
		for range 60 {
			if random.IntN(10) == 0 {
				p.SetMaxTableSize(random.Uint32N(5000))
			}
			block := p.Begin(nil)
			var want []Field
			for range random.IntN(16) {
				if random.IntN(8) == 0 {
					code := 100 + random.IntN(500)
					block = p.AppendStatus(block, code)
					want = append(want, wantField(":status", strconv.Itoa(code), false))
					continue
				}
				name, value := randomField(random)
				block = p.AppendField(block, name, value)
				lower := strings.ToLower(name)
				want = append(want, wantField(lower, value, knownNames[lookUp(lower)].policy == neverIndexed))
			}
			p.requireFields(t, block, want)
		}
		requireFound(t, p.Encoder)
	}
}

// requireFound tells whether each entry of the table can be found, by itself and by its name.
func requireFound(t *testing.T, e *Encoder) {
	pairs, names := map[[2]string]uint32{}, map[string]uint32{}
	for age := e.table.count; age > 0; age-- {
		entry := e.table.at(age - 1)
		pairs[[2]string{entry.name, entry.value}], names[entry.name] = age-1, age-1
	}
	for pair, want := range pairs {
		name := upper(pair[0])
		key := keyOf(lookUp(name), name, pair[1])
		age, found := e.table.pair(key, name, pair[1])
		require.True(t, found, "%q", pair)
		require.Equal(t, want, age, "%q", pair)
		age, found = e.table.named(key, name)
		require.True(t, found, "%q", pair)
		require.Equal(t, names[pair[0]], age, "%q", pair)
	}
}

func TestEncoder_FindsEachEntryWhileItsTableGrows(t *testing.T) {
	p := newPeer()
	for i := range 150 {
		name, value := string(rune('a'+i%7)), strconv.Itoa(i)
		p.requireFields(t, p.AppendField(p.Begin(nil), name, value), []Field{wantField(name, value, false)})
		requireFound(t, p.Encoder)
	}
	assert.Len(t, p.table.entries, 128)
}

// upper leaves alone what is not ASCII, and what is not UTF-8.
func upper(name string) string {
	s := []byte(name)
	for i, c := range s {
		if 'a' <= c && c <= 'z' {
			s[i] = c - ('a' - 'A')
		}
	}
	return string(s)
}

// Numbers of long ago, left in slots that nothing has used since, say things about entries that are not theirs.
func TestEncoder_IsRightWhateverIsInItsSlots(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	p := newPeer()
	for range 300 {
		for i := range p.table.slots {
			near := func() uint32 { return p.table.newest - random.Uint32N(40) }
			p.table.slots[i] = slot{near(), near()}
		}
		for age := range p.table.count {
			p.table.at(age).older = slot{p.table.newest - random.Uint32N(40), p.table.newest - random.Uint32N(40)}
		}
		name, value := randomField(random)
		lower := strings.ToLower(name)
		p.requireFields(t, p.AppendField(p.Begin(nil), name, value),
			[]Field{wantField(lower, value, knownNames[lookUp(lower)].policy == neverIndexed)})
	}
}

// answer is a typical one.
var answer = [][2]string{
	{"Date", "Mon, 23 Nov 2026 01:22:54 GMT"}, {"Content-Type", "text/html; charset=utf-8"}, {"Content-Length", "1024"},
	{"Server", "backend/1.0"}, {"Cache-Control", "public, max-age=3600"}, {"Vary", "Accept-Encoding"},
}

func appendAnswer(e *Encoder, to []byte) []byte {
	to = e.AppendStatus(e.Begin(to), 200)
	for _, field := range answer {
		to = e.AppendField(to, field[0], field[1])
	}
	return to
}

func TestEncoder_TakesNoMemoryForWhatItHasWritten(t *testing.T) {
	e := NewEncoder()
	block := appendAnswer(e, make([]byte, 0, 512))
	assert.Zero(t, testing.AllocsPerRun(100, func() { block = appendAnswer(e, block[:0]) }))
	assert.Len(t, block, 1+5+2+1+3, "a byte each, but for the length")

	for _, name := range []string{"X-Request-Id", "X-Made-Up-And-Large", "set-cookie"} {
		value := strings.Repeat("v", 2000)
		room := make([]byte, 0, 4096)
		assert.Zero(t, testing.AllocsPerRun(100, func() { e.AppendField(room, name, value) }), name)
	}
	room := make([]byte, 0, 512)
	e.AppendStatus(room, 503)
	assert.Zero(t, testing.AllocsPerRun(100, func() { e.AppendStatus(room, 503) }))
}
