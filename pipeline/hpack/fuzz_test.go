package hpack

import (
	"strconv"
	"strings"
	"testing"
)

// FuzzDecode takes blocks, each behind its length in two bytes, that ours and the reference have to agree on.
func FuzzDecode(f *testing.F) {
	for _, block := range []string{
		"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff",
		"\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f", "\x20\x3f\xe1\x1f\x40\x01a\x01b\xbe", "\x10\x01a\x01b\x0f\x2f\x01c",
		"\xff\x80\x80\x80\x80\x00", "\x44\x84\xff\xff\xff\xff", "\x40\x00\x00\x7e\x84\xfe\x3f\xfe\x3f", "\x3f\xe2\x1f",
		"\x40\x01a\x01b\x00\x03\x20\xbe\xbf",
	} {
		f.Add(uint16(4096), []byte(block))
		f.Add(uint16(64), []byte("\x00\x09\x40\x01a\x01b\x40\x01c\x01d"+block))
	}
	f.Fuzz(func(t *testing.T, tableSize uint16, data []byte) {
		requireSame(t, int(tableSize), data)
		var blocks [][]byte
		for len(data) > 2 {
			size := min(int(data[0])<<8|int(data[1]), len(data)-2)
			blocks = append(blocks, data[2:2+size])
			data = data[2+size:]
		}
		requireSame(t, int(tableSize), blocks...)
	})
}

// FuzzRoundTrip takes what to do with an encoder: a byte says what, and those behind it with which strings.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("\x00\x03one\x05value\x00\x03ONE\x05value\x01\xc8\x02\x18\x03\x02\x7f\x00\x01x\x01y"))
	f.Add([]byte("\x04\x21\x05value\x04\x21\x05value\x05\x21\x05\x22\x03\x04\x50\x04name"))
	f.Add([]byte("\x02\x00\x02\x10\x03\x00\x01a\x00\x02\x04\x03\x00\x01a\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		next := func() (b byte) {
			if len(data) > 0 {
				b, data = data[0], data[1:]
			}
			return b
		}
		text := func() string {
			size := min(int(next()), len(data))
			s := string(data[:size])
			data = data[size:]
			return s
		}
		p := newPeer()
		block := p.Begin(nil)
		var want []Field
		field := func(name, value string) {
			block = p.AppendField(block, name, value)
			lower := string(appendLower(nil, name))
			want = append(want, wantField(lower, value, knownNames[lookUp(lower)].policy == neverIndexed))
		}
		finish := func() {
			p.requireFields(t, block, want)
			requireFound(t, p.Encoder)
		}
		for len(data) > 0 {
			switch next() % 6 {
			case 0:
				field(text(), text())
			case 1:
				code := 100 + int(next())
				block = p.AppendStatus(block, code)
				want = append(want, wantField(":status", strconv.Itoa(code), false))
			case 2:
				finish()
				p.SetMaxTableSize(uint32(next()) << 5)
				block, want = p.Begin(nil), nil
			case 3:
				finish()
				block, want = p.Begin(nil), nil
			case 4:
				field(knownNames[int(next())%len(knownNames)].canonical, text())
			case 5:
				field(knownNames[int(next())%len(knownNames)].lower, strings.Repeat("v", 5*int(next())))
			}
		}
		finish()
	})
}
