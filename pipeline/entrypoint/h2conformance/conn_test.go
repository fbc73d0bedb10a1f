package h2conformance

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/tricot-proxy/tricot/pipeline/entrypoint/servertest"
)

// conn is a client's connection that sends any frame, in any order.
type conn struct {
	t        *testing.T
	name     string // no other connection has it; an address may be used again
	tls      *tls.Conn
	out      *bufio.Writer
	framer   *http2.Framer
	settings map[http2.SettingID]uint32 // the server's
}

// dial opens a connection and exchanges the prefaces and the acknowledgements of the settings.
func (s *server) dial(t *testing.T, settings ...http2.Setting) *conn {
	t.Helper()
	c := s.dialSilent(t)
	c.sendText(http2.ClientPreface)
	c.send(settingsOf(settings...))
	c.await(serverPreface)
	c.send(frame{kind: http2.FrameSettings, flags: http2.FlagSettingsAck})
	c.await(settingsAck)
	return c
}

// dialSilent opens a connection for HTTP/2 on which the client has said nothing yet.
func (s *server) dialSilent(t *testing.T) *conn {
	t.Helper()
	config := servertest.ClientTLS("h2")
	config.ServerName = fmt.Sprintf("%d.example.com", s.dialled.Add(1))
	c := &conn{
		t:        t,
		name:     config.ServerName,
		tls:      servertest.Handshake(t, servertest.Dial(t, s.Addr()), config),
		settings: make(map[http2.SettingID]uint32),
	}
	c.out = bufio.NewWriter(c.tls)
	c.framer = http2.NewFramer(c.out, c.tls)
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	return c
}

// send sends frames and says whether the connection took them. Most cases need not know: it may have been closed for what
// was sent before, and whether it was is in what is read.
func (c *conn) send(frames ...frame) bool {
	_ = c.tls.SetWriteDeadline(time.Now().Add(patience))
	for _, f := range frames {
		_ = c.framer.WriteRawFrame(f.kind, f.flags, f.stream, []byte(f.payload))
	}
	return c.out.Flush() == nil
}

// sendText sends what need not be frames.
func (c *conn) sendText(text string) bool {
	_ = c.tls.SetWriteDeadline(time.Now().Add(patience))
	_, _ = c.out.WriteString(text)
	return c.out.Flush() == nil
}

// next gives the server's next frame; nil where the connection is closed. The frame holds until the one after it.
func (c *conn) next() http2.Frame {
	c.t.Helper()
	_ = c.tls.SetReadDeadline(time.Now().Add(patience))
	f, err := c.framer.ReadFrame()
	if err == nil {
		return f
	}
	var (
		timeout    net.Error
		stream     http2.StreamError
		connection http2.ConnectionError
	)
	if errors.As(err, &timeout) && timeout.Timeout() {
		require.FailNow(c.t, "the server sent nothing more")
	}
	if errors.As(err, &stream) || errors.As(err, &connection) {
		require.FailNow(c.t, "the server sent a wrong frame", err.Error())
	}
	return nil
}

// await reads until there is a verdict.
func (c *conn) await(want expectation) {
	c.t.Helper()
	judge := want.judge()
	var got []string
	for {
		f := c.next()
		got = append(got, describe(f))
		verdict := judge(f)
		if f, ok := f.(*http2.SettingsFrame); ok && !f.IsAck() {
			_ = f.ForeachSetting(func(s http2.Setting) error {
				c.settings[s.ID] = s.Val
				return nil
			})
		}
		if verdict == right {
			return
		}
		if verdict == wrong || f == nil {
			require.FailNow(c.t, "wanted: "+want.what, "got: "+strings.Join(got, ", "))
		}
	}
}

func describe(f http2.Frame) string {
	switch f := f.(type) {
	case nil:
		return "connection closed"
	case *http2.GoAwayFrame:
		return "GOAWAY " + f.ErrCode.String()
	case *http2.RSTStreamFrame:
		return fmt.Sprintf("RST_STREAM %s on %d", f.ErrCode, f.StreamID)
	case *http2.MetaHeadersFrame:
		return fmt.Sprintf("HEADERS %s on %d", f.PseudoValue("status"), f.StreamID)
	default:
		return f.Header().String()
	}
}

// sendHead sends a block in frames of the size that any server takes.
func (c *conn) sendHead(stream uint32, fragment string) {
	const size = 1 << 14
	first := fragment[:min(size, len(fragment))]
	c.send(headers(stream, endStream, first))
	for rest := fragment[len(first):]; rest != ""; {
		next := rest[:min(size, len(rest))]
		rest = rest[len(next):]
		c.send(continuation(stream, 0, next))
	}
	c.send(continuation(stream, endHeaders, ""))
}
