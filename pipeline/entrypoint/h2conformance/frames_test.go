package h2conformance

import (
	"testing"

	"golang.org/x/net/http2"
)

func TestHTTP2_KeepsToTheDefinitionOfEachFrame(t *testing.T) { runEach(t, frames()) }

// frames has RFC 9113, sections 6 and 7.
func frames() []section {
	const most = 1<<31 - 1 // of a window
	more := block(field{"x-more", "ok"})
	return []section{
		{"6.1 DATA", []example{
			{name: "stream 0", send: []frame{data(0, endStream, "test")}, want: connectionError(http2.ErrCodeProtocol)},
			{
				name: "a stream that is not open",
				send: []frame{getWaiting(1), data(1, endStream, "test")},
				want: streamError(1, http2.ErrCodeStreamClosed), calls: 1,
			},
			{
				name: "padding as long as the payload",
				send: []frame{post(1, field{"content-length", "4"}), data(1, endStream|padded, "\x06test")},
				want: connectionError(http2.ErrCodeProtocol), calls: 1,
			},
		}},
		{"6.2 HEADERS", []example{
			{
				name: "PRIORITY before END_HEADERS",
				send: []frame{headers(1, 0, basic()), priorityOf(1, 0, 255), continuation(1, endHeaders, more)},
				want: connectionError(http2.ErrCodeProtocol),
			},
			{
				name: "HEADERS of another stream before END_HEADERS",
				send: []frame{headers(1, 0, basic()), get(3), continuation(1, endHeaders, more)},
				want: connectionError(http2.ErrCodeProtocol),
			},
			{name: "stream 0", send: []frame{get(0)}, want: connectionError(http2.ErrCodeProtocol)},
			{
				// For HEADERS the RFC does not say which kind of error it is.
				name: "padding longer than the block",
				send: []frame{headers(1, endStream|endHeaders|padded, "\xff"+basic())},
				want: streamError(1, http2.ErrCodeProtocol),
			},
		}},
		{"6.3 PRIORITY", []example{
			{name: "stream 0", send: []frame{priorityOf(0, 0, 255)}, want: connectionError(http2.ErrCodeProtocol)},
			{
				name: "4 bytes",
				send: []frame{getWaiting(1), {http2.FramePriority, 0, 1, "\x80\x00\x00\x01"}},
				want: streamError(1, http2.ErrCodeFrameSize), calls: 1,
			},
		}},
		{"6.4 RST_STREAM", []example{
			{name: "stream 0", send: []frame{reset(0, http2.ErrCodeCancel)}, want: connectionError(http2.ErrCodeProtocol)},
			{name: "an idle stream", send: []frame{reset(1, http2.ErrCodeCancel)}, want: connectionError(http2.ErrCodeProtocol)},
			{
				name: "3 bytes",
				send: []frame{getWaiting(1), {http2.FrameRSTStream, 0, 1, "\x00\x00\x00"}},
				want: connectionError(http2.ErrCodeFrameSize), calls: 1,
			},
		}},
		{"6.5 SETTINGS", []example{
			{
				name: "ACK with a payload",
				send: []frame{{http2.FrameSettings, http2.FlagSettingsAck, 0, "\x00"}},
				want: connectionError(http2.ErrCodeFrameSize),
			},
			{
				name: "a stream",
				send: []frame{{http2.FrameSettings, 0, 1, "\x00\x03" + number(100)}},
				want: connectionError(http2.ErrCodeProtocol),
			},
			{
				// h2spec takes PROTOCOL_ERROR too, the RFC does not.
				name: "3 bytes",
				send: []frame{{http2.FrameSettings, 0, 0, "\x00\x03\x00"}}, want: connectionError(http2.ErrCodeFrameSize),
			},
		}},
		{"6.5.2 Defined settings", []example{
			{
				name: "ENABLE_PUSH of 2",
				send: []frame{setting(http2.SettingEnablePush, 2)}, want: connectionError(http2.ErrCodeProtocol),
			},
			{
				name: "INITIAL_WINDOW_SIZE of 2^31",
				send: []frame{setting(http2.SettingInitialWindowSize, most+1)}, want: connectionError(http2.ErrCodeFlowControl),
			},
			{
				name: "MAX_FRAME_SIZE of 2^14-1",
				send: []frame{setting(http2.SettingMaxFrameSize, 1<<14-1)}, want: connectionError(http2.ErrCodeProtocol),
			},
			{
				name: "MAX_FRAME_SIZE of 2^24",
				send: []frame{setting(http2.SettingMaxFrameSize, 1<<24)}, want: connectionError(http2.ErrCodeProtocol),
			},
			{name: "an unknown one", send: []frame{setting(0xff, 1), ping("go on ok")}, want: pong("go on ok")},
		}},
		{"6.5.3 Settings synchronization", []example{
			{name: "SETTINGS without ACK", send: []frame{setting(http2.SettingEnablePush, 0)}, want: settingsAck},
			{
				name: "INITIAL_WINDOW_SIZE twice in a frame",
				send: []frame{settingsOf(
					http2.Setting{ID: http2.SettingInitialWindowSize, Val: 100},
					http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1},
				), get(1)},
				want: dataOf(1, 1), calls: 1,
			},
		}},
		{"6.7 PING", []example{
			{name: "without ACK", send: []frame{ping("\x00ping\x00\xff\x01")}, want: pong("\x00ping\x00\xff\x01")},
			{
				name: "with ACK",
				send: []frame{{http2.FramePing, http2.FlagPingAck, 0, "answered"}, ping("question")}, want: pong("question"),
			},
			{name: "a stream", send: []frame{{http2.FramePing, 0, 1, "misplace"}}, want: connectionError(http2.ErrCodeProtocol)},
			{name: "6 bytes", send: []frame{ping("short6")}, want: connectionError(http2.ErrCodeFrameSize)},
		}},
		{"6.8 GOAWAY", []example{
			{
				name: "a stream",
				send: []frame{{http2.FrameGoAway, 0, 1, number(0) + number(0)}}, want: connectionError(http2.ErrCodeProtocol),
			},
		}},
		{"6.9 WINDOW_UPDATE", []example{
			{name: "0 for the connection", send: []frame{windowUpdate(0, 0)}, want: connectionError(http2.ErrCodeProtocol)},
			{
				name: "0 for a stream",
				send: []frame{postWaiting(1), windowUpdate(1, 0)}, want: streamError(1, http2.ErrCodeProtocol), calls: 1,
			},
			{
				name: "3 bytes",
				send: []frame{{http2.FrameWindowUpdate, 0, 0, "\x00\x00\x01"}}, want: connectionError(http2.ErrCodeFrameSize),
			},
		}},
		{"6.9.1 Flow-control window", []example{
			{
				name: "1 byte", do: window(1), send: []frame{get(1)}, want: dataOf(1, 1), calls: 1,
			},
			{
				name: "the connection's beyond 2^31-1",
				send: []frame{windowUpdate(0, most), windowUpdate(0, most)}, want: connectionError(http2.ErrCodeFlowControl),
			},
			{
				name: "a stream's beyond 2^31-1",
				send: []frame{postWaiting(1), windowUpdate(1, most), windowUpdate(1, most)},
				want: streamError(1, http2.ErrCodeFlowControl), calls: 1,
			},
		}},
		{"6.9.2 Initial window", []example{
			{
				name: "changed after HEADERS", do: window(0),
				send: []frame{get(1), setting(http2.SettingInitialWindowSize, 1)}, want: dataOf(1, 1), calls: 1,
			},
			{
				name: "changed so that a stream's is negative",
				do: func(c *conn) {
					window(3)(c)
					c.send(get(1))
					c.await(dataOf(1, 3))
					window(2)(c)
				},
				send: []frame{windowUpdate(1, 2)}, want: dataOf(1, 1), calls: 1,
			},
			{
				name: "beyond the largest, with others that are not",
				send: []frame{settingsOf(
					http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1 << 14},
					http2.Setting{ID: http2.SettingInitialWindowSize, Val: most + 1},
				)},
				want: connectionError(http2.ErrCodeFlowControl),
			},
			{
				name: "so large that a stream's is beyond 2^31-1",
				send: []frame{
					postWaiting(1), windowUpdate(1, 1<<16), setting(http2.SettingInitialWindowSize, most),
				},
				want: connectionError(http2.ErrCodeFlowControl), calls: 1,
			},
		}},
		{"6.10 CONTINUATION", []example{
			{
				name: "several frames",
				send: []frame{
					headers(1, endStream, basic()), continuation(1, 0, more), continuation(1, endHeaders, more),
				},
				want: answered(1), calls: 1,
			},
			{
				name: "DATA after it and before END_HEADERS",
				send: []frame{headers(1, 0, basic()), continuation(1, 0, more), data(1, endStream, "test")},
				want: connectionError(http2.ErrCodeProtocol),
			},
			{
				name: "stream 0",
				send: []frame{headers(1, endStream, basic()), continuation(0, endHeaders, more)},
				want: connectionError(http2.ErrCodeProtocol),
			},
			{
				name: "after HEADERS with END_HEADERS",
				send: []frame{getWaiting(1), continuation(1, endHeaders, more)},
				want: connectionError(http2.ErrCodeProtocol), calls: 1,
			},
			{
				name: "after CONTINUATION with END_HEADERS",
				send: []frame{
					headers(1, endStream, basic()), continuation(1, endHeaders, more), continuation(1, endHeaders, more),
				},
				want: connectionError(http2.ErrCodeProtocol), calls: 1,
			},
			{
				name: "after DATA",
				send: []frame{
					headers(1, 0, basic()), data(1, endStream, "test"), continuation(1, 0, more), continuation(0, endHeaders, more),
				},
				want: connectionError(http2.ErrCodeProtocol),
			},
		}},
		{"7 Error codes", []example{
			{
				name: "an unknown one in GOAWAY",
				send: []frame{goAwayOf(0xff, ""), ping("not gone")}, want: either(pong("not gone"), closed),
			},
			{
				name: "an unknown one in RST_STREAM",
				send: []frame{postWaiting(1), reset(1, 0xff), ping("is reset")}, want: pong("is reset"), calls: 1,
			},
		}},
	}
}

// window sets the initial window of streams.
func window(size uint32) func(*conn) {
	return func(c *conn) {
		c.send(setting(http2.SettingInitialWindowSize, size))
		c.await(settingsAck)
	}
}
