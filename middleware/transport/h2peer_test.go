package transport

import (
	"bytes"
	"io"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/tricot-proxy/tricot/pipeline"
)

// h2Peer is a backend's end of a connection of HTTP/2 on which frames matter. One goroutine uses it.
type h2Peer struct {
	*http2.Framer
	conn   *wire
	fields *hpack.Encoder
	block  bytes.Buffer
	told   bool // the other side has confirmed our settings
}

// newH2Peer is a backend that runs speak on each connection, without TLS.
func newH2Peer(t *testing.T, speak func(p *h2Peer), settings ...http2.Setting) *pipeline.Backend {
	t.Helper()
	return newQuietH2Peer(t, func(p *h2Peer) {
		if p.WriteSettings(settings...) == nil {
			speak(p)
		}
	})
}

// newQuietH2Peer is one that has not sent its settings, which have to come first.
func newQuietH2Peer(t *testing.T, speak func(p *h2Peer)) *pipeline.Backend {
	t.Helper()
	backend := newRawBackend(t, func(c *wire) {
		if c.exactly(len(http2.ClientPreface)) != http2.ClientPreface {
			return
		}
		p := &h2Peer{Framer: http2.NewFramer(c.Conn, c), conn: c}
		p.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		p.MaxHeaderListSize = 1 << 20
		p.fields = hpack.NewEncoder(&p.block)
		speak(p)
	})
	backend.Scheme = pipeline.H2C
	return backend
}

// frame reads what is not for the connection; nil where the other side goes before.
func (p *h2Peer) frame() http2.Frame {
	for {
		frame, own := p.next()
		if !own {
			return frame
		}
	}
}

// next reads a frame, and says whether it is for the connection, where it is answered.
func (p *h2Peer) next() (frame http2.Frame, own bool) {
	frame, err := p.ReadFrame()
	if err != nil {
		return nil, false
	}
	switch frame := frame.(type) {
	case *http2.SettingsFrame:
		if frame.IsAck() {
			p.told = true
		} else {
			_ = p.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !frame.IsAck() {
			_ = p.WritePing(true, frame.Data)
		}
	case *http2.WindowUpdateFrame:
	default:
		return frame, false
	}
	return frame, true
}

// request reads up to the head of the next one; false where the other side goes before.
func (p *h2Peer) request() (stream uint32, path string, ok bool) {
	for {
		switch frame := p.frame().(type) {
		case nil:
			return 0, "", false
		case *http2.MetaHeadersFrame:
			return frame.StreamID, frame.PseudoValue("path"), true
		}
	}
}

// body reads what follows a head, to its end.
func (p *h2Peer) body() string {
	var all bytes.Buffer
	for {
		data, ok := p.frame().(*http2.DataFrame)
		if !ok {
			return all.String()
		}
		all.Write(data.Data())
		if data.StreamEnded() {
			return all.String()
		}
	}
}

// head sends fields, names and values in turn.
func (p *h2Peer) head(stream uint32, end bool, fields ...string) {
	p.block.Reset()
	for i := 0; i < len(fields); i += 2 {
		_ = p.fields.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	const most = 16 << 10
	block := p.block.Bytes()
	first := block[:min(len(block), most)]
	block = block[len(first):]
	_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: first, EndHeaders: len(block) == 0, EndStream: end})
	for len(block) > 0 {
		next := block[:min(len(block), most)]
		block = block[len(next):]
		_ = p.WriteContinuation(stream, len(block) == 0, next)
	}
}

// answer sends a whole answer.
func (p *h2Peer) answer(stream uint32, body string) {
	p.head(stream, false, ":status", "200")
	_ = p.WriteData(stream, true, []byte(body))
}

// rest waits for the other side's end.
func (p *h2Peer) rest() { _, _ = io.Copy(io.Discard, p.conn) }
