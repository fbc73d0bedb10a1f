package h2

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/tricot-proxy/tricot/pipeline/entrypoint/servertest"
)

// wire is a client that speaks in frames. It is for one goroutine.
type wire struct {
	*http2.Framer
	t       testing.TB
	conn    *tls.Conn
	out     *bufio.Writer
	encoder *hpack.Encoder
	block   bytes.Buffer

	replies  map[uint32]*reply
	credit   map[uint32]int64 // the windows that the server has given, beyond those of the settings
	goAways  []uint32         // the last stream that each named
	code     http2.ErrCode    // of the last GOAWAY
	pongs    []string         // answers to PING
	pings    []string         // PINGs that were not answered
	settled  int              // acknowledgements of settings
	widening bool             // what is read is given back to the windows
}

// reply is what came on a stream.
type reply struct {
	informational []int
	status        int
	header        http.Header
	content       bytes.Buffer
	trailer       http.Header
	frames        int // of content
	ended         bool
	reset         bool
	code          http2.ErrCode
	afterEnd      bool // the reset came after the end
}

func (r *reply) over() bool { return r.ended || r.reset }

// dial opens a connection on which nothing has been said.
func (f *front) dial(t testing.TB) *tls.Conn {
	t.Helper()
	c := servertest.Handshake(t, servertest.Dial(t, f.listener.Addr()), servertest.ClientTLS("h2"))
	require.NoError(t, c.SetDeadline(time.Now().Add(longest)))
	return c
}

// wire opens a connection and exchanges prefaces.
func (f *front) wire(t testing.TB, settings ...http2.Setting) *wire {
	t.Helper()
	w := newWire(t, f.dial(t))
	_, _ = w.out.WriteString(http2.ClientPreface)
	require.NoError(t, w.WriteSettings(settings...))
	require.NoError(t, w.WriteSettingsAck())
	w.send()
	w.until(func() bool { return w.settled == 1 })
	return w
}

func newWire(t testing.TB, c *tls.Conn) *wire {
	w := &wire{t: t, conn: c, out: bufio.NewWriter(c), replies: make(map[uint32]*reply), credit: make(map[uint32]int64)}
	w.Framer = http2.NewFramer(w.out, bufio.NewReader(c))
	w.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	w.MaxHeaderListSize = 16 << 20
	w.SetReuseFrames()
	w.SetMaxReadFrameSize(maxFrame)
	w.encoder = hpack.NewEncoder(&w.block)
	return w
}

// initialWindow is a client's setting.
func initialWindow(size uint32) http2.Setting {
	return http2.Setting{ID: http2.SettingInitialWindowSize, Val: size}
}

// send sends what was written. The connection may have been closed; what is read then shows it.
func (w *wire) send() {
	_ = w.conn.SetWriteDeadline(time.Now().Add(longest))
	_ = w.out.Flush()
}

// head writes the head of a request, with fields as names and values.
func (w *wire) head(stream uint32, end bool, method, path string, fields ...string) {
	w.t.Helper()
	require.NoError(w.t, w.WriteHeaders(http2.HeadersFrameParam{
		StreamID: stream, EndStream: end, EndHeaders: true, BlockFragment: w.fragment(append([]string{
			":method", method, ":scheme", "https", ":authority", "app.example.com", ":path", path,
		}, fields...)...),
	}))
}

// fragment is a block of HPACK.
func (w *wire) fragment(fields ...string) []byte {
	w.block.Reset()
	for i := 0; i < len(fields); i += 2 {
		_ = w.encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return w.block.Bytes()
}

func (w *wire) get(stream uint32, path string, fields ...string) {
	w.t.Helper()
	w.head(stream, true, "GET", path, fields...)
}

func (w *wire) post(stream uint32, path string, fields ...string) {
	w.t.Helper()
	w.head(stream, false, "POST", path, fields...)
}

// data writes content in frames.
func (w *wire) data(stream uint32, end bool, content string) {
	for len(content) > maxFrame {
		_ = w.WriteData(stream, false, []byte(content[:maxFrame]))
		content = content[maxFrame:]
	}
	_ = w.WriteData(stream, end, []byte(content))
}

func (w *wire) trailers(stream uint32, fields ...string) {
	w.t.Helper()
	require.NoError(w.t, w.WriteHeaders(http2.HeadersFrameParam{
		StreamID: stream, EndStream: true, EndHeaders: true, BlockFragment: w.fragment(fields...),
	}))
}

// reply is what came on a stream so far.
func (w *wire) reply(stream uint32) *reply {
	r := w.replies[stream]
	if r == nil {
		r = new(reply)
		w.replies[stream] = r
	}
	return r
}

// next reads a frame, and is false at the end of the connection.
func (w *wire) next() bool {
	w.t.Helper()
	_ = w.conn.SetReadDeadline(time.Now().Add(longest))
	frame, err := w.ReadFrame()
	if err != nil {
		if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
			require.FailNow(w.t, "the server sent nothing more")
		}
		var stream http2.StreamError
		var connection http2.ConnectionError
		require.False(w.t, errors.As(err, &stream) || errors.As(err, &connection), "a wrong frame: %v", err)
		return false
	}
	switch frame := frame.(type) {
	case *http2.MetaHeadersFrame:
		w.takeHead(frame)
	case *http2.DataFrame:
		r := w.reply(frame.StreamID)
		require.False(w.t, r.ended, "content after the end of stream %d", frame.StreamID)
		r.content.Write(frame.Data())
		r.frames++
		r.ended = frame.StreamEnded()
		if w.widening && frame.Length > 0 {
			_ = w.WriteWindowUpdate(0, frame.Length)
			if !r.ended {
				_ = w.WriteWindowUpdate(frame.StreamID, frame.Length)
			}
			w.send()
		}
	case *http2.RSTStreamFrame:
		r := w.reply(frame.StreamID)
		r.reset, r.code, r.afterEnd = true, frame.ErrCode, r.ended
	case *http2.WindowUpdateFrame:
		w.credit[frame.StreamID] += int64(frame.Increment)
	case *http2.GoAwayFrame:
		w.goAways, w.code = append(w.goAways, frame.LastStreamID), frame.ErrCode
	case *http2.PingFrame:
		if frame.IsAck() {
			w.pongs = append(w.pongs, string(frame.Data[:]))
		} else {
			w.pings = append(w.pings, string(frame.Data[:]))
		}
	case *http2.SettingsFrame:
		if frame.IsAck() {
			w.settled++
		}
	}
	return true
}

func (w *wire) takeHead(frame *http2.MetaHeadersFrame) {
	w.t.Helper()
	require.False(w.t, frame.Truncated)
	r := w.reply(frame.StreamID)
	require.False(w.t, r.ended, "a head after the end of stream %d", frame.StreamID)
	header := make(http.Header)
	for _, field := range frame.RegularFields() {
		require.Equal(w.t, strings.ToLower(field.Name), field.Name)
		header.Add(field.Name, field.Value)
	}
	r.ended = frame.StreamEnded()
	if r.status != 0 {
		r.trailer = header
		return
	}
	status, err := strconv.Atoi(frame.PseudoValue("status"))
	require.NoError(w.t, err)
	if status < 200 {
		r.informational = append(r.informational, status)
		return
	}
	r.status, r.header = status, header
}

// until reads until something is there.
func (w *wire) until(there func() bool) {
	w.t.Helper()
	for !there() {
		require.True(w.t, w.next(), "the server closed the connection")
	}
}

// answer reads until a stream is over.
func (w *wire) answer(stream uint32) *reply {
	w.t.Helper()
	w.until(func() bool { return w.reply(stream).over() })
	return w.reply(stream)
}

// content is that of an answer which is whole.
func (w *wire) content(stream uint32) string {
	w.t.Helper()
	r := w.answer(stream)
	require.False(w.t, r.reset, "stream %d was reset: %v", stream, r.code)
	return r.content.String()
}

// ping makes sure that all that was sent before has been read, and that what the server had to say to it is there.
func (w *wire) ping() {
	w.t.Helper()
	n := len(w.pongs) + 1
	_ = w.WritePing(false, [8]byte{'w', 'i', 'r', 'e', byte(n), byte(n >> 8)})
	w.send()
	w.until(func() bool { return len(w.pongs) == n })
}

// end reads until the connection is closed.
func (w *wire) end() {
	w.t.Helper()
	for w.next() {
	}
}
