package h2conformance

import (
	"bytes"
	"encoding/binary"
	"strings"

	"golang.org/x/net/http2"
)

const authority = "app.example.com"

// frame is any frame: its length is the payload's, the rest is as it stands here.
type frame struct {
	kind    http2.FrameType
	flags   http2.Flags
	stream  uint32
	payload string
}

// times gives a frame so many times as it goes over the wire, for floods.
func (f frame) times(n int) string {
	var wire bytes.Buffer
	_ = http2.NewFramer(&wire, nil).WriteRawFrame(f.kind, f.flags, f.stream, []byte(f.payload))
	return strings.Repeat(wire.String(), n)
}

// Flags of HEADERS, CONTINUATION and DATA.
const (
	endStream  = http2.FlagHeadersEndStream
	endHeaders = http2.FlagHeadersEndHeaders
	padded     = http2.FlagHeadersPadded
	priority   = http2.FlagHeadersPriority
)

// get is a whole request.
func get(stream uint32, more ...field) frame {
	return headers(stream, endStream|endHeaders, block(request("GET", "/", more...)...))
}

// post is a request whose body is to come.
func post(stream uint32, more ...field) frame {
	return headers(stream, endHeaders, block(request("POST", "/", more...)...))
}

// getWaiting is a whole request whose answer does not come: its stream stays half-closed (remote).
func getWaiting(stream uint32) frame {
	return headers(stream, endStream|endHeaders, block(request("GET", waits)...))
}

// postWaiting is a request whose body is to come and whose answer does not: its stream stays open.
func postWaiting(stream uint32) frame {
	return headers(stream, endHeaders, block(request("POST", waits)...))
}

// getOf is a whole request with these fields and no others.
func getOf(stream uint32, fields ...field) frame {
	return headers(stream, endStream|endHeaders, block(fields...))
}

func headers(stream uint32, flags http2.Flags, fragment string) frame {
	return frame{http2.FrameHeaders, flags, stream, fragment}
}

func continuation(stream uint32, flags http2.Flags, fragment string) frame {
	return frame{http2.FrameContinuation, flags, stream, fragment}
}

func data(stream uint32, flags http2.Flags, payload string) frame {
	return frame{http2.FrameData, flags, stream, payload}
}

func priorityOf(stream, dependsOn uint32, weight byte) frame {
	return frame{http2.FramePriority, 0, stream, dependency(dependsOn, weight)}
}

// dependency is the payload of PRIORITY. The weight is one less than it counts.
func dependency(on uint32, weight byte) string { return number(on) + string([]byte{weight}) }

const exclusive = 1 << 31 // with a dependency

func reset(stream uint32, code http2.ErrCode) frame {
	return frame{http2.FrameRSTStream, 0, stream, number(uint32(code))}
}

func settingsOf(settings ...http2.Setting) frame {
	var payload []byte
	for _, s := range settings {
		payload = binary.BigEndian.AppendUint16(payload, uint16(s.ID))
		payload = binary.BigEndian.AppendUint32(payload, s.Val)
	}
	return frame{http2.FrameSettings, 0, 0, string(payload)}
}

func setting(id http2.SettingID, value uint32) frame {
	return settingsOf(http2.Setting{ID: id, Val: value})
}

func ping(payload string) frame { return frame{http2.FramePing, 0, 0, payload} }

func goAwayOf(code uint32, debug string) frame {
	return frame{http2.FrameGoAway, 0, 0, number(0) + number(code) + debug}
}

func windowUpdate(stream, increment uint32) frame {
	return frame{http2.FrameWindowUpdate, 0, stream, number(increment)}
}

func number(n uint32) string { return string(binary.BigEndian.AppendUint32(nil, n)) }

// field is one line of a header list.
type field struct{ name, value string }

// request is a header list with all that it needs.
func request(method, path string, more ...field) []field {
	return append([]field{
		{":method", method}, {":scheme", "https"}, {":authority", authority}, {":path", path},
	}, more...)
}

// block encodes fields as literals that are not indexed, RFC 7541, section 6.2.2, and so needs no table.
func block(fields ...field) string {
	var b strings.Builder
	for _, f := range fields {
		b.WriteString("\x00" + text(f.name) + text(f.value))
	}
	return b.String()
}

// basic is the block of a whole request.
func basic() string { return block(request("GET", "/")...) }

// text is a string without Huffman coding, RFC 7541, section 5.2.
func text(s string) string { return integer(0, 7, len(s)) + s }

// integer has the bits of a prefix behind a pattern, RFC 7541, section 5.1.
func integer(pattern byte, bits, n int) string {
	limit := 1<<bits - 1
	if n < limit {
		return string([]byte{pattern | byte(n)})
	}
	encoded := []byte{pattern | byte(limit)}
	for n -= limit; n >= 128; n >>= 7 {
		encoded = append(encoded, byte(n)|0x80)
	}
	return string(append(encoded, byte(n)))
}

// tableSize is a dynamic table size update, RFC 7541, section 6.3.
func tableSize(n int) string { return integer(0x20, 5, n) }
