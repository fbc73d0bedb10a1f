package h2

import (
	"encoding/binary"
	"io"
	"log/slog"
)

// preface is what a client sends first (RFC 9113, section 3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// readFrames reads what the client sends until the connection ends, and says why it does: for a [*connectionError], errIdle
// and errDone the client is told, and for others it is gone.
func (c *conn) readFrames() error {
	c.in.timed = false
	if err := c.need(len(preface)); err != nil {
		return err
	}
	if string(c.in.next(len(preface))) != preface {
		return failure(protocolError, "no preface of HTTP/2")
	}
	c.in.skip(len(preface))
	for first := true; ; first = false {
		if c.in.length() == 0 {
			c.in.free(c)
		}
		if err := c.need(frameHeaderSize); err != nil {
			return err
		}
		h := parseFrameHeader(c.in.next(frameHeaderSize))
		switch {
		case first && (h.kind != settingsFrame || h.has(flagAck)):
			return failure(protocolError, "no SETTINGS in the beginning")
		case h.length > maxFrame:
			return failure(frameSizeError, "a frame that is too long")
		case c.block.stream != 0 && (h.kind != continuationFrame || h.stream != c.block.stream):
			return failure(protocolError, "a frame within a head")
		}
		if err := c.readFrame(h); err != nil {
			return err
		}
		c.greeted = true
		c.in.timed = c.in.timed && c.block.stream != 0
	}
}

// readFrame reads a frame whose header has been read.
func (c *conn) readFrame(h frameHeader) error {
	if h.kind == dataFrame {
		c.in.skip(frameHeaderSize)
		return c.readData(h)
	}
	if err := c.need(frameHeaderSize + h.length); err != nil {
		return err
	}
	payload := c.in.next(frameHeaderSize + h.length)[frameHeaderSize:]
	c.in.skip(frameHeaderSize + h.length) // it stays where it is until more is read
	switch h.kind {
	case headersFrame:
		return c.takeHeaders(h, payload)
	case continuationFrame:
		return c.takeContinuation(h, payload)
	case priorityFrame:
		return c.takePriority(h, payload)
	case resetFrame:
		return c.takeReset(h)
	case settingsFrame:
		return c.takeSettings(h, payload)
	case pushPromiseFrame:
		return failure(protocolError, "PUSH_PROMISE of a client")
	case pingFrame:
		return c.takePing(h, payload)
	case goAwayFrame:
		return c.takeGoAway(h, payload)
	case windowUpdateFrame:
		return c.takeWindowUpdate(h, payload)
	}
	return nil // an extension (section 5.5)
}

// unpad takes the padding off a payload (section 6.1).
func unpad(h frameHeader, payload []byte) ([]byte, error) {
	if !h.has(flagPadded) {
		return payload, nil
	}
	if len(payload) == 0 {
		return nil, failure(frameSizeError, "no room for the length of the padding")
	}
	padding := int(payload[0])
	if payload = payload[1:]; padding > len(payload) {
		return nil, failure(protocolError, "more padding than payload")
	}
	return payload[:len(payload)-padding], nil
}

// block is the fragments of a head or of trailers that has not come to its end (section 4.3).
type block struct {
	stream uint32 // 0: there is none
	end    bool   // the stream ends with it
	bytes  []byte
}

func (c *conn) takeHeaders(h frameHeader, payload []byte) error {
	if h.stream == 0 {
		return failure(protocolError, "HEADERS on stream 0")
	}
	fragment, err := unpad(h, payload)
	if err != nil {
		return err
	}
	if h.has(flagHasPriority) {
		switch {
		case len(fragment) < prioritySize:
			return failure(frameSizeError, "HEADERS without the priority that they announce")
		case dependsOn(fragment, h.stream):
			return failure(protocolError, "a stream that depends on itself")
		}
		fragment = fragment[prioritySize:]
	}
	if h.has(flagEndHeaders) {
		return c.takeHead(h.stream, h.has(flagEndStream), fragment)
	}
	c.block = block{stream: h.stream, end: h.has(flagEndStream), bytes: append(c.block.bytes, fragment...)}
	return nil
}

func (c *conn) takeContinuation(h frameHeader, fragment []byte) error {
	b := &c.block
	if b.stream == 0 {
		return failure(protocolError, "CONTINUATION without HEADERS")
	}
	if len(b.bytes)+len(fragment) > 2*max(c.server.options.MaxHeaderBytes, maxFrame) {
		return failure(enhanceYourCalm, "a head that is longer than it may be")
	}
	b.bytes = append(b.bytes, fragment...)
	if !h.has(flagEndHeaders) {
		return nil
	}
	whole := *b
	*b = block{}
	return c.takeHead(whole.stream, whole.end, whole.bytes)
}

// prioritySize is that of what PRIORITY says, and HEADERS may (section 6.3).
const prioritySize = 5 // bytes

// takePriority looks at nothing but the form: RFC 9113 has given up what it says (section 5.3.2).
func (c *conn) takePriority(h frameHeader, payload []byte) error {
	switch {
	case h.stream == 0:
		return failure(protocolError, "PRIORITY on stream 0")
	case h.length != prioritySize:
		return c.refuseFrame(h, frameSizeError, "PRIORITY of another length than 5")
	case dependsOn(payload, h.stream):
		return c.refuseFrame(h, protocolError, "a stream that depends on itself")
	}
	return nil
}

// dependsOn says whether a priority names this stream, which RFC 7540, section 5.3.1 refused for the stream itself.
func dependsOn(priority []byte, stream uint32) bool {
	return binary.BigEndian.Uint32(priority)&^(1<<31) == stream
}

func (c *conn) takeReset(h frameHeader) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case h.length != 4:
		return failure(frameSizeError, "RST_STREAM of another length than 4")
	case h.stream == 0, c.isIdle(h.stream):
		return failure(protocolError, "RST_STREAM on a stream that has not begun")
	}
	s := c.streams[h.stream]
	if s == nil {
		return nil
	}
	s.fail(errReset)
	c.remove(s)
	if s.localClosed {
		return nil
	}
	return c.charge()
}

func (c *conn) takePing(h frameHeader, payload []byte) error {
	switch {
	case h.length != 8:
		return failure(frameSizeError, "PING of another length than 8")
	case h.stream != 0:
		return failure(protocolError, "PING on a stream")
	case h.has(flagAck):
		if string(payload) == string(drainPing[:]) {
			c.drainFinally()
		}
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.outbox.frames()
	*out = appendPing(*out, flagAck, payload)
	return c.outbox.reply()
}

// takeGoAway has nothing to do: what is on its way is answered, and the client closes the connection.
func (c *conn) takeGoAway(h frameHeader, payload []byte) error {
	if h.stream != 0 {
		return failure(protocolError, "GOAWAY on a stream")
	}
	if len(payload) < 8 {
		return failure(frameSizeError, "GOAWAY of less than 8 bytes")
	}
	if code := binary.BigEndian.Uint32(payload[4:]); code != uint32(noError) {
		c.debug("client closes the connection", slog.Uint64("code", uint64(code)))
	}
	return nil
}

func (c *conn) takeWindowUpdate(h frameHeader, payload []byte) error {
	if h.length != 4 {
		return failure(frameSizeError, "WINDOW_UPDATE of another length than 4")
	}
	increment := int64(binary.BigEndian.Uint32(payload) &^ (1 << 31))
	if h.stream != 0 {
		return c.widenStream(h, increment)
	}
	if increment == 0 {
		return failure(protocolError, "WINDOW_UPDATE of 0")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sendWindow += increment
	if c.sendWindow > largestWindow {
		return failure(flowControlError, "a window beyond 2^31-1")
	}
	c.passOn()
	return nil
}

func (c *conn) widenStream(h frameHeader, increment int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.streams[h.stream]
	switch {
	case c.isIdle(h.stream):
		return failure(protocolError, "WINDOW_UPDATE on a stream that has not begun")
	case s == nil:
		return nil // it may have come too late
	case increment == 0:
		return c.refuse(s.id, protocolError, "WINDOW_UPDATE of 0")
	}
	s.sendWindow += increment
	if s.sendWindow > largestWindow {
		return c.refuse(s.id, flowControlError, "a window beyond 2^31-1")
	}
	s.wake.Broadcast()
	return nil
}

// readData reads content (section 6.1). All of it counts against the windows, padding too.
func (c *conn) readData(h frameHeader) error {
	content, padding := h.length, 0
	if h.has(flagPadded) {
		if h.length == 0 {
			return failure(frameSizeError, "no room for the length of the padding")
		}
		if err := c.need(1); err != nil {
			return err
		}
		padding = int(c.in.next(1)[0])
		c.in.skip(1)
		if content = h.length - 1 - padding; content < 0 {
			return failure(protocolError, "more padding than payload")
		}
	}
	s, err := c.openForData(h, content)
	if err != nil {
		return err
	}
	if err := c.readContent(s, content); err != nil {
		return err
	}
	if err := c.readContent(nil, padding); err != nil {
		return err
	}
	if h.has(flagPadded) {
		c.consumed.Add(1) // the length of the padding
		c.returnStream(s, 1+padding)
	}
	c.returnWindow()
	if s != nil && h.has(flagEndStream) {
		c.endRemote(s, nil)
	}
	return nil
}

// readContent reads content for a stream; nil: nobody wants it.
func (c *conn) readContent(s *stream, left int) error {
	for left > 0 {
		if err := c.need(1); err != nil {
			return err
		}
		n := min(left, c.in.length())
		if s == nil || !s.body.add(c.in.next(n)) {
			c.consumed.Add(int64(n))
		}
		c.in.skip(n)
		left -= n
	}
	return nil
}

// openForData gives the stream that DATA is for; nil where they are to be thrown away.
func (c *conn) openForData(h frameHeader, content int) (*stream, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	length := int64(h.length)
	switch {
	case h.stream == 0, c.isIdle(h.stream):
		return nil, failure(protocolError, "DATA on a stream that has not begun")
	case length > c.receiveWindow:
		return nil, failure(flowControlError, "DATA beyond the connection's window")
	}
	c.receiveWindow -= length
	s := c.streams[h.stream]
	switch {
	case s == nil && (h.stream > c.lastID || c.resets.has(h.stream)):
		return nil, nil // it came too late, or the client did not know yet
	case s == nil, s.remoteClosed:
		return nil, c.refuse(h.stream, streamClosed, "DATA on a closed stream")
	case length > s.receiveWindow:
		return nil, c.refuse(h.stream, flowControlError, "DATA beyond the stream's window")
	}
	s.receiveWindow -= length
	s.received += int64(content)
	if d := s.declared; d >= 0 && (s.received > d || h.has(flagEndStream) && s.received != d) {
		return nil, c.refuse(h.stream, protocolError, "a Content-Length that is not the content's")
	}
	return s, nil
}

// endRemote takes note that the client has sent all of its request. trailer may be nil.
func (c *conn) endRemote(s *stream, trailer []line) {
	c.mu.Lock()
	s.remoteClosed = true
	if s.localClosed {
		c.remove(s)
	}
	c.mu.Unlock()
	s.body.end(io.EOF, trailer)
}
