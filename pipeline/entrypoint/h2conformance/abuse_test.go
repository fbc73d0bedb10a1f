package h2conformance

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tricot-proxy/tricot/pipeline/entrypoint"
	"golang.org/x/net/http2"
)

// In each of these a client makes work that costs it little. The server has to bound it or to end the connection, and
// other connections must get their answers meanwhile.

// CVE-2023-44487: a stream that was reset counts no longer, and its handler still runs.
func TestHTTP2_EndsTheConnectionOfAClientThatResetsWhatItAskedFor(t *testing.T) {
	t.Parallel()
	s := serve(t)
	defer close(s.released)
	c := s.dial(t)
	limit := c.settings[http2.SettingMaxConcurrentStreams]
	require.NotZero(t, limit, "handlers of a connection are bounded by its streams")
	for i := range 6 * limit {
		c.send(getOf(2*i+1, request("GET", stubborn)...), reset(2*i+1, http2.ErrCodeCancel))
	}
	s.requireServesOthers(t)
	c.await(connectionError(http2.ErrCodeEnhanceYourCalm))
	assert.LessOrEqual(t, len(s.callsOn(c)), int(limit))
}

// CVE-2025-8671: it is the server that resets the stream, for a frame that is wrong.
func TestHTTP2_BoundsTheHandlersOfAClientThatMakesItResetStreams(t *testing.T) {
	t.Parallel()
	for name, wrong := range map[string]func(stream uint32) []frame{
		"WINDOW_UPDATE of 0": func(stream uint32) []frame { return []frame{windowUpdate(stream, 0)} },
		"a window beyond 2^31-1": func(stream uint32) []frame {
			return []frame{windowUpdate(stream, 1<<31-1)}
		},
		"DATA on a half-closed stream": func(stream uint32) []frame { return []frame{data(stream, endStream, "x")} },
		"PRIORITY of itself":           func(stream uint32) []frame { return []frame{priorityOf(stream, stream, 0)} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			defer close(s.released)
			c := s.dial(t)
			limit := c.settings[http2.SettingMaxConcurrentStreams]
			for i := range 4 * limit {
				stream := 2*i + 1
				c.send(append([]frame{getOf(stream, request("GET", stubborn)...)}, wrong(stream)...)...)
			}
			c.send(ping("still up"))
			s.requireServesOthers(t)
			c.await(either(pong("still up"), connectionError(http2.ErrCodeEnhanceYourCalm)))
			assert.LessOrEqual(t, len(s.callsOn(c)), int(limit))
		})
	}
}

// CVE-2024-27316: a field section without end.
func TestHTTP2_EndsTheConnectionOfAClientWhoseHeadHasNoEnd(t *testing.T) {
	t.Parallel()
	const limit = 64 << 10
	table := "\x40" + text("x-large") + text(strings.Repeat("x", 4000)) // an entry of HPACK's table, and its index
	for _, c := range []struct{ name, first, further string }{
		{"large fields", basic(), block(field{"x-large", strings.Repeat("x", 8<<10)})},
		{"small fields", basic(), strings.Repeat(block(field{"x", ""}), 100)},
		{"the same field by its index", basic() + table, strings.Repeat("\xbe", 100)},
		{"a string without end", basic() + "\x00" + integer(0, 7, 1<<30), strings.Repeat("x", 8<<10)},
		{"fields that are invalid", basic(), block(field{"X-LARGE", strings.Repeat("x", 8<<10)})},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(o *entrypoint.Options) { o.MaxHeaderBytes = limit })
			connection := s.dial(t)
			connection.send(headers(1, endStream, c.first))
			for sent := 0; sent < 16*limit && connection.send(continuation(1, 0, c.further)); sent += len(c.further) {
			}
			s.requireServesOthers(t)
			connection.await(connectionError(http2.ErrCodeProtocol, http2.ErrCodeEnhanceYourCalm, http2.ErrCodeCompression))
			assert.Empty(t, s.callsOn(connection))
		})
	}
}

// Frames without a byte in them need no memory; they must not keep others waiting, and the head that they are in must
// not be given up half-read.
func TestHTTP2_OutlastsEmptyFrames(t *testing.T) {
	t.Parallel()
	const many = 5_000
	for _, c := range []struct {
		name  string
		first frame
		empty frame
		last  frame
	}{
		{"CONTINUATION", headers(1, endStream, basic()), continuation(1, 0, ""), continuation(1, endHeaders, "")},
		{"DATA", post(1), data(1, 0, ""), data(1, endStream, "")},
		{"DATA with padding", post(1), data(1, padded, "\x00"), data(1, endStream, "")},
		{"SETTINGS", post(1), settingsOf(), data(1, endStream, "")},
		{"PRIORITY", post(1), priorityOf(7, 5, 0), data(1, endStream, "")},
		{"WINDOW_UPDATE of a closed stream", reset(1, http2.ErrCodeCancel), windowUpdate(1, 1), get(3)},
		{"an unknown frame", post(1), frame{0x16, 0, 1, ""}, data(1, endStream, "")},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			connection := s.dial(t)
			if c.first.kind == http2.FrameRSTStream {
				connection.send(postWaiting(1))
			}
			connection.send(c.first)
			connection.sendText(c.empty.times(many))
			s.requireServesOthers(t)
			connection.send(c.last)
			stream := max(c.last.stream, 1)
			connection.await(either(answered(stream), connectionError(http2.ErrCodeProtocol, http2.ErrCodeEnhanceYourCalm)))
		})
	}
}

// CVE-2019-9512 and others: what a client does not read is kept for it, up to a bound.
func TestHTTP2_ClosesTheConnectionOfAClientThatReadsNoAnswers(t *testing.T) {
	t.Parallel()
	const many, most = 1000, 10_000_000
	for _, c := range []struct {
		name string
		wire func(sent int) string // of many frames
	}{
		{"PING", func(int) string { return ping("any news").times(many) }},
		{"SETTINGS", func(int) string { return settingsOf().times(many) }},
		{"streams that it is made to reset", func(sent int) string {
			var wire strings.Builder
			for i := range uint32(many) {
				wire.WriteString(headers(2*(uint32(sent)+i)+3, endStream|endHeaders, "\x82").times(1))
			}
			return wire.String()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			connection := s.dial(t, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
			// One long answer fills what the two systems keep, so that the rest is the server's.
			connection.send(windowUpdate(0, 1<<30), getOf(1, request("GET", endless)...))
			sent := 0
			for sent < most && connection.sendText(c.wire(sent)) {
				sent += many
			}
			assert.Less(t, sent, most, "the server takes any number of frames")
			require.Eventually(t, func() bool { return s.running.Load() == 0 }, patience, waitStep, "handlers end with it")
			s.requireServesOthers(t)
		})
	}
}

func TestHTTP2_BoundsWhatAFieldListUnfoldsTo(t *testing.T) {
	t.Parallel()
	const limit = 64 << 10
	s := serve(t, func(o *entrypoint.Options) { o.MaxHeaderBytes = limit })
	large := field{"x-large", strings.Repeat("x", 4000)}
	table := "\x40" + text(large.name) + text(large.value)
	for _, c := range []struct {
		name     string
		fragment string
	}{
		{"large fields", basic() + strings.Repeat(block(field{"x-large", strings.Repeat("x", limit/4)}), 5)},
		{"many fields", basic() + block(manyFields(limit/30)...)},
		{"an entry of the table again and again", basic() + table + strings.Repeat("\xbe", 10_000)},
		{"an entry of the static table again and again", basic() + strings.Repeat("\x93", limit/32)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			connection := s.dial(t)
			connection.sendHead(1, c.fragment)
			connection.await(either(ended(1, "431"), connectionError(http2.ErrCodeProtocol, http2.ErrCodeEnhanceYourCalm)))
			assert.Empty(t, s.callsOn(connection))
			s.requireServesOthers(t)
		})
	}
}

// An answer that the client gives no room for must not be gathered in memory.
func TestHTTP2_HoldsLittleOfAnAnswerThatTheClientDoesNotTake(t *testing.T) {
	t.Parallel()
	const perStream = 256 << 10 // bytes that a handler may get rid of
	for name, open := range map[string]func(*testing.T, *server) *conn{
		"streams' windows of 0": func(t *testing.T, s *server) *conn {
			return s.dial(t, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		},
		"streams' windows of 1": func(t *testing.T, s *server) *conn {
			return s.dial(t, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1})
		},
		"the connection's window": func(t *testing.T, s *server) *conn {
			return s.dial(t, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const streams = 100
			s := serve(t)
			c := open(t, s)
			for i := range uint32(streams) {
				c.send(getOf(2*i+1, request("GET", endless)...))
			}
			require.Eventually(t, func() bool { return s.running.Load() == streams }, patience, waitStep)
			s.requireServesOthers(t)
			c.send(ping("and then"))
			c.await(pong("and then"))
			assert.LessOrEqual(t, s.written.Load(), int64(streams*perStream))
			require.NoError(t, c.tls.NetConn().Close())
			require.Eventually(t, func() bool { return s.running.Load() == 0 }, patience, waitStep, "handlers end with it")
		})
	}
}

// An upload that the handler does not read stops at the window.
func TestHTTP2_TakesNoMoreOfAnUploadThanItsWindow(t *testing.T) {
	t.Parallel()
	s := serve(t)
	c := s.dial(t)
	c.send(postWaiting(1))
	size := int(c.settings[http2.SettingInitialWindowSize])
	require.NotZero(t, size)
	chunk := strings.Repeat("x", 1<<14)
	for sent := 0; sent <= size; sent += len(chunk) {
		c.send(data(1, 0, chunk))
	}
	c.await(streamError(1, http2.ErrCodeFlowControl))
	s.requireServesOthers(t)
}

// A head that has begun and does not go on is no request: the connection is as idle as before.
func TestHTTP2_ClosesTheConnectionOfAClientThatStopsWithinAHead(t *testing.T) {
	t.Parallel()
	s := serve(t, func(o *entrypoint.Options) { o.IdleTimeout = 100 * time.Millisecond })
	c := s.dialSilent(t)
	c.sendText(http2.ClientPreface)
	c.send(settingsOf(), headers(1, endStream, basic()))
	c.await(closed)
	assert.Empty(t, s.callsOn(c))
}

func manyFields(n int) []field {
	fields := make([]field, n)
	for i := range fields {
		fields[i] = field{"x", "y"}
	}
	return fields
}
