package h2conformance

import (
	"math"
	"strings"
	"testing"

	"golang.org/x/net/http2"
)

func TestHTTP2_KeepsToTheRulesOfConnectionsAndStreams(t *testing.T) { runEach(t, connection()) }

// connection has RFC 9113, sections 3 to 5.
func connection() []section {
	unknownFrame := frame{0x16, 0, 0, "whatever"}
	return []section{
		{"3.4 Preface", []example{
			{name: "the client's preface", silent: true, do: preface, want: serverPreface},
			{
				name: "another preface", silent: true,
				do:   func(c *conn) { c.sendText("GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n") },
				want: connectionError(http2.ErrCodeProtocol),
			},
			{
				name: "no SETTINGS", silent: true,
				do:   func(c *conn) { c.sendText(http2.ClientPreface) },
				send: []frame{ping("no first")}, want: connectionError(http2.ErrCodeProtocol),
			},
		}},
		{"4.1 Frame format", []example{
			{name: "an unknown type", send: []frame{unknownFrame, ping("go on ok")}, want: pong("go on ok")},
			{name: "an undefined flag", send: []frame{{http2.FramePing, 0x16, 0, "flagging"}}, want: pong("flagging")},
			{name: "the reserved bit", send: []frame{{http2.FramePing, 0x16, 1 << 31, "reserved"}}, want: pong("reserved")},
		}},
		{"4.2 Frame size", []example{
			{
				name: "DATA of 2^14 bytes",
				send: []frame{post(1), data(1, endStream, strings.Repeat("x", 1<<14))}, want: answered(1), calls: 1,
			},
			{
				name: "DATA beyond SETTINGS_MAX_FRAME_SIZE",
				do:   func(c *conn) { c.send(post(1), data(1, endStream, tooLong(c))) },
				want: streamError(1, http2.ErrCodeFrameSize), calls: 1,
			},
			{
				name: "HEADERS beyond SETTINGS_MAX_FRAME_SIZE",
				do: func(c *conn) {
					c.send(get(1, field{"x-long", tooLong(c)}))
				},
				want: connectionError(http2.ErrCodeFrameSize),
			},
		}},
		{"4.3 Field sections", []example{
			{
				name: "a block that cannot be decoded",
				send: []frame{headers(1, endStream|endHeaders, "\x40")}, want: connectionError(http2.ErrCodeCompression),
			},
			{
				name: "PRIORITY within a block",
				send: []frame{headers(1, 0, basic()), priorityOf(1, 0, 255), continuation(1, endHeaders, "")},
				want: connectionError(http2.ErrCodeProtocol),
			},
			{
				name: "HEADERS of another stream within a block",
				send: []frame{headers(1, 0, basic()), get(3), continuation(1, endHeaders, "")},
				want: connectionError(http2.ErrCodeProtocol),
			},
		}},
		{"5.1 Stream states, idle", []example{
			{
				// Section 6.1 has STREAM_CLOSED for DATA on a stream that is not open.
				name: "DATA", send: []frame{data(1, endStream, "test")},
				want: streamError(1, http2.ErrCodeProtocol, http2.ErrCodeStreamClosed),
			},
			{name: "RST_STREAM", send: []frame{reset(1, http2.ErrCodeCancel)}, want: connectionError(http2.ErrCodeProtocol)},
			{name: "WINDOW_UPDATE", send: []frame{windowUpdate(1, 100)}, want: connectionError(http2.ErrCodeProtocol)},
			{
				name: "CONTINUATION", send: []frame{continuation(1, endHeaders, basic())},
				want: connectionError(http2.ErrCodeProtocol),
			},
		}},
		{"5.1 Stream states, half-closed (remote)", []example{
			{
				name: "DATA", send: []frame{getWaiting(1), data(1, endStream, "test")},
				want: streamError(1, http2.ErrCodeStreamClosed), calls: 1,
			},
			{
				name: "HEADERS", send: []frame{getWaiting(1), get(1)},
				want: streamError(1, http2.ErrCodeStreamClosed), calls: 1,
			},
			{
				// What a CONTINUATION must follow is in section 6.10, with PROTOCOL_ERROR.
				name: "CONTINUATION", send: []frame{getWaiting(1), continuation(1, endHeaders, basic())},
				want: streamError(1, http2.ErrCodeStreamClosed, http2.ErrCodeProtocol), calls: 1,
			},
		}},
		// RFC 7540 wanted STREAM_CLOSED. RFC 9113 leaves that to the server (MAY), and the identifier of a HEADERS frame
		// that opens no new stream is one that was not to come: a connection error PROTOCOL_ERROR (section 5.1.1).
		{"5.1 Stream states, closed by RST_STREAM", []example{
			{
				name: "DATA", send: []frame{postWaiting(1), reset(1, http2.ErrCodeCancel), data(1, endStream, "test")},
				want: streamError(1, http2.ErrCodeStreamClosed), calls: 1,
			},
			{
				name: "HEADERS", send: []frame{postWaiting(1), reset(1, http2.ErrCodeCancel), get(1)},
				want: streamError(1, http2.ErrCodeStreamClosed, http2.ErrCodeProtocol), calls: 1,
			},
			{
				name: "CONTINUATION",
				send: []frame{postWaiting(1), reset(1, http2.ErrCodeCancel), continuation(1, endHeaders, basic())},
				want: streamError(1, http2.ErrCodeStreamClosed, http2.ErrCodeProtocol), calls: 1,
			},
		}},
		{"5.1 Stream states, closed", []example{
			{
				name: "DATA", do: getAnswered, send: []frame{data(1, endStream, "test")},
				want: streamError(1, http2.ErrCodeStreamClosed), calls: 1,
			},
			{
				name: "HEADERS", do: getAnswered, send: []frame{get(1)},
				want: connectionError(http2.ErrCodeStreamClosed, http2.ErrCodeProtocol), calls: 1,
			},
			{
				name: "CONTINUATION", do: getAnswered, send: []frame{continuation(1, endHeaders, basic())},
				want: connectionError(http2.ErrCodeStreamClosed, http2.ErrCodeProtocol), calls: 1,
			},
		}},
		{"5.1.1 Stream identifiers", []example{
			{name: "an even one", send: []frame{get(2)}, want: connectionError(http2.ErrCodeProtocol)},
			{
				name: "one below the last",
				send: []frame{getWaiting(5), get(3)}, want: connectionError(http2.ErrCodeProtocol), calls: 1,
			},
		}},
		{"5.1.2 Stream concurrency", []example{
			{
				name: "more than SETTINGS_MAX_CONCURRENT_STREAMS",
				do: func(c *conn) {
					limit := c.settings[http2.SettingMaxConcurrentStreams]
					for i := range limit + 1 {
						c.send(getWaiting(2*i + 1))
					}
					c.await(streamError(2*limit+1, http2.ErrCodeProtocol, http2.ErrCodeRefusedStream))
				},
				send: []frame{ping("go on ok")}, want: pong("go on ok"), calls: math.MaxInt,
			},
		}},
		// RFC 7540 made a stream error PROTOCOL_ERROR of it, section 5.3.1. RFC 9113 has no such rule any more.
		{"5.3.2 Priority signalling", []example{
			{
				name: "HEADERS of a stream that depends on itself",
				send: []frame{headers(1, endStream|endHeaders|priority, dependency(1, 255)+basic())},
				want: either(answered(1), streamError(1, http2.ErrCodeProtocol)), calls: 1,
			},
			{
				name: "PRIORITY of a stream that depends on itself",
				send: []frame{priorityOf(1, 1, 255), ping("priority")},
				want: either(pong("priority"), streamError(1, http2.ErrCodeProtocol)),
			},
		}},
		{"5.4.1 Connection errors", []example{
			{
				name: "the connection is closed",
				send: []frame{{http2.FramePing, 0, 3, "misplace"}}, want: closed,
			},
			{
				name: "GOAWAY comes before",
				send: []frame{{http2.FramePing, 0, 3, "misplace"}}, want: goAway(http2.ErrCodeProtocol),
			},
		}},
		{"5.5 Extensions", []example{
			{name: "an unknown frame", send: []frame{unknownFrame, ping("go on ok")}, want: pong("go on ok")},
			{
				name: "an unknown frame on a stream",
				send: []frame{post(1), {0x16, 0xff, 1, "whatever"}, data(1, endStream, "test")}, want: answered(1), calls: 1,
			},
			{
				name: "an unknown frame within a block",
				send: []frame{headers(1, endStream, basic()), unknownFrame}, want: connectionError(http2.ErrCodeProtocol),
			},
		}},
	}
}

// tooLong is one byte longer than a frame may be.
func tooLong(c *conn) string {
	limit, given := c.settings[http2.SettingMaxFrameSize]
	if !given {
		limit = 1 << 14
	}
	return strings.Repeat("x", int(limit)+1)
}
