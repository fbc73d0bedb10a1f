package h2conformance

import (
	"testing"

	"golang.org/x/net/http2"
)

func TestHTTP2_AcceptsWhatAClientMaySend(t *testing.T) { runEach(t, generic()) }

// generic has what a server must accept; the sections are those of RFC 9113 that allow it.
func generic() []section {
	fragment := basic()
	return []section{
		{"3.4 Preface", []example{
			{name: "the client's preface", silent: true, do: preface, want: serverPreface},
		}},
		{"5 Streams", []example{
			{
				name: "PRIORITY on an idle stream",
				send: []frame{priorityOf(1, 0, 255), ping("priority")}, want: pong("priority"),
			},
			{
				name: "WINDOW_UPDATE on a half-closed (remote) stream", do: window(0),
				send: []frame{get(1), windowUpdate(1, 1)}, want: dataOf(1, 1), calls: 1,
			},
			{
				name: "PRIORITY on a half-closed (remote) stream", do: window(0),
				send: []frame{get(1), priorityOf(1, 0, 255), windowUpdate(1, 1)}, want: dataOf(1, 1), calls: 1,
			},
			{
				name: "RST_STREAM on a half-closed (remote) stream",
				send: []frame{getWaiting(1), reset(1, http2.ErrCodeCancel), ping("is reset")}, want: pong("is reset"), calls: 1,
			},
			{
				name: "PRIORITY on a closed stream", do: getAnswered,
				send: []frame{priorityOf(1, 0, 255), ping("priority")}, want: pong("priority"), calls: 1,
			},
		}},
		{"6.1 DATA", []example{
			{
				name: "one frame",
				send: []frame{post(1), data(1, endStream, "test")}, want: answered(1), calls: 1,
			},
			{
				name: "several frames",
				send: []frame{post(1), data(1, 0, "test"), data(1, endStream, "test")}, want: answered(1), calls: 1,
			},
			{
				name: "padding",
				send: []frame{post(1), data(1, endStream|padded, "\x05test\x00\x00\x00\x00\x00")}, want: answered(1), calls: 1,
			},
		}},
		{"6.2 HEADERS", []example{
			{name: "one frame", send: []frame{get(1)}, want: answered(1), calls: 1},
			{
				name: "padding",
				send: []frame{headers(1, endStream|endHeaders|padded, "\x08"+fragment+"\x00\x00\x00\x00\x00\x00\x00\x00")},
				want: answered(1), calls: 1,
			},
			{
				name: "priority",
				send: []frame{headers(1, endStream|endHeaders|priority, dependency(0, 255)+fragment)},
				want: answered(1), calls: 1,
			},
		}},
		// RFC 9113 has given up the scheme of priorities; the frame may still come, and says nothing.
		{"6.3 PRIORITY", []example{
			{name: "weight 1", send: []frame{priorityOf(1, 0, 0), get(1)}, want: answered(1), calls: 1},
			{name: "weight 256", send: []frame{priorityOf(1, 0, 255), get(1)}, want: answered(1), calls: 1},
			{name: "a dependency", send: []frame{priorityOf(3, 1, 0), get(1)}, want: answered(1), calls: 1},
			{name: "an exclusive dependency", send: []frame{priorityOf(1, exclusive, 0), get(1)}, want: answered(1), calls: 1},
			{
				name: "an idle stream above that of the next request",
				send: []frame{priorityOf(3, 0, 255), get(1)}, want: answered(1), calls: 1,
			},
		}},
		{"6.4 RST_STREAM", []example{
			{
				name: "an open stream",
				send: []frame{postWaiting(1), reset(1, http2.ErrCodeCancel), ping("is reset")}, want: pong("is reset"), calls: 1,
			},
		}},
		{"6.5 SETTINGS", []example{
			{
				name: "all parameters",
				send: []frame{settingsOf(
					http2.Setting{ID: http2.SettingHeaderTableSize, Val: 4096},
					http2.Setting{ID: http2.SettingEnablePush, Val: 1},
					http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 100},
					http2.Setting{ID: http2.SettingInitialWindowSize, Val: 65535},
					http2.Setting{ID: http2.SettingMaxFrameSize, Val: 16384},
					http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: 100},
				)},
				want: settingsAck,
			},
		}},
		{"6.7 PING", []example{
			{name: "without ACK", send: []frame{ping("\x00ping\x00\xff\x01")}, want: pong("\x00ping\x00\xff\x01")},
		}},
		{"6.8 GOAWAY", []example{
			{
				name: "NO_ERROR",
				send: []frame{goAwayOf(0, "good bye"), ping("not gone")}, want: either(pong("not gone"), closed),
			},
		}},
		{"6.9 WINDOW_UPDATE", []example{
			{name: "the connection's", send: []frame{windowUpdate(0, 1), ping("windowed")}, want: pong("windowed")},
			{name: "a stream's", send: []frame{get(1), windowUpdate(1, 1)}, want: answered(1), calls: 1},
		}},
		{"6.10 CONTINUATION", []example{
			{
				name: "one frame",
				send: []frame{headers(1, endStream, fragment[:5]), continuation(1, endHeaders, fragment[5:])},
				want: answered(1), calls: 1,
			},
			{
				name: "several frames",
				send: []frame{
					headers(1, endStream, fragment[:5]), continuation(1, 0, fragment[5:10]),
					continuation(1, endHeaders, fragment[10:]),
				},
				want: answered(1), calls: 1,
			},
		}},
		{"8 Messages", []example{
			{name: "GET", send: []frame{get(1)}, want: answered(1), calls: 1},
			{name: "HEAD", send: []frame{getOf(1, request("HEAD", "/")...)}, want: answered(1), calls: 1},
			{name: "POST", send: []frame{post(1), data(1, endStream, "test")}, want: answered(1), calls: 1},
			{
				name: "POST with trailers",
				send: []frame{
					post(1, field{"trailer", "x-test"}), data(1, 0, "test"),
					headers(1, endStream|endHeaders, block(field{"x-test", "ok"})),
				},
				want: answered(1), calls: 1,
			},
		}},
		{"HPACK", representations()},
	}
}

// representations has each form that a field can have, RFC 7541, section 6.
func representations() []example {
	const (
		userAgent        = 58 // index of the static table, RFC 7541, appendix A
		userAgentHuffman = "\x87\xb5\x05\xb1\x61\xcc\x5a\x93"
		xTest            = "\x06x-test"
		xTestHuffman     = "\x85\xf2\xb2\x4a\x84\xff"
		value            = "\x04test"
		valueHuffman     = "\x83\x49\x50\x9f"
	)
	accepted := func(name, representation string) example {
		return example{
			name: name, send: []frame{headers(1, endStream|endHeaders, basic()+representation)},
			want: answered(1), calls: 1,
		}
	}
	cases := []example{accepted("indexed", integer(0x80, 7, userAgent))}
	for _, literal := range []struct {
		name    string
		pattern byte
		prefix  int
	}{
		{"incremental indexing", 0x40, 6},
		{"without indexing", 0, 4},
		{"never indexed", 0x10, 4},
	} {
		newName := string([]byte{literal.pattern})
		cases = append(cases,
			accepted(literal.name+", indexed name", integer(literal.pattern, literal.prefix, userAgent)+value),
			accepted(literal.name+", indexed name, Huffman", integer(literal.pattern, literal.prefix, userAgent)+valueHuffman),
			accepted(literal.name+", new name", newName+xTest+value),
			accepted(literal.name+", new name, Huffman", newName+xTestHuffman+valueHuffman),
			accepted(literal.name+", a name of the static table spelled out", newName+userAgentHuffman+value),
		)
	}
	return append(cases,
		example{
			name: "a dynamic table size update",
			send: []frame{headers(1, endStream|endHeaders, tableSize(128)+basic())}, want: answered(1), calls: 1,
		},
		example{
			name: "two dynamic table size updates",
			send: []frame{headers(1, endStream|endHeaders, tableSize(128)+tableSize(4096)+basic())},
			want: answered(1), calls: 1,
		},
	)
}

func preface(c *conn) {
	c.sendText(http2.ClientPreface)
	c.send(setting(http2.SettingInitialWindowSize, 65535))
}

// getAnswered leaves stream 1 closed.
func getAnswered(c *conn) {
	c.send(get(1))
	c.await(answered(1))
}
