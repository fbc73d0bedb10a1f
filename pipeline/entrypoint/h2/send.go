package h2

import (
	"os"
	"time"
)

// message is a part of an answer.
type message struct {
	status  int // 0: the head is on its way already
	head    []line
	content [2][]byte // one after the other
	ends    bool      // nothing comes after it
	trailer []line    // for its end; may be empty
}

func (m *message) length() int { return len(m.content[0]) + len(m.content[1]) }

// take moves the beginning of the content behind to. There must be as much.
func (m *message) take(to []byte, n int) []byte {
	first := min(n, len(m.content[0]))
	to = append(to, m.content[0][:first]...)
	m.content[0] = m.content[0][first:]
	to = append(to, m.content[1][:n-first]...)
	m.content[1] = m.content[1][n-first:]
	return to
}

// send puts a part of an answer into frames, as fast as the windows let it. What is the last of it leaves soon, and what
// fills the outbox; the rest waits for more, or for flush.
func (s *stream) send(m *message) error {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := s.awaitOutbox(); err != nil {
		return err
	}
	if m.status != 0 {
		s.answered = true
		flags := uint8(0)
		if m.ends && m.length() == 0 && len(m.trailer) == 0 {
			flags = flagEndStream
		}
		c.appendHead(s.id, m.status, m.head, flags)
	} else if m.ends && m.length() == 0 && len(m.trailer) == 0 {
		out := c.outbox.frames()
		*out = appendFrameHeader(*out, 0, dataFrame, flagEndStream, s.id)
	}
	for m.length() > 0 {
		n, err := s.reserve(m.length())
		if err != nil {
			return err
		}
		flags := uint8(0)
		if m.ends && n == m.length() && len(m.trailer) == 0 {
			flags = flagEndStream
		}
		out := c.outbox.frames()
		*out = m.take(appendFrameHeader(*out, n, dataFrame, flags, s.id), n)
	}
	if len(m.trailer) > 0 {
		c.appendHead(s.id, 0, m.trailer, flagEndStream)
	}
	if m.ends {
		s.endLocal()
		c.outbox.flushLast()
	}
	return c.err
}

// endLocal takes note that the answer is on its way, as a whole.
func (s *stream) endLocal() {
	s.localClosed = true
	s.conn.uncount(s)
	if s.remoteClosed {
		s.conn.remove(s)
	}
}

// reserve takes as much of the windows as the next frame may have, of content that is n bytes long. It waits for the windows
// and the outbox; what is in there is sent meanwhile. The lock must be held, and is released while it waits.
func (s *stream) reserve(n int) (int, error) {
	c, o := s.conn, &s.conn.outbox
	defer c.passOn()
	defer s.writing.pause()
	for {
		if length := o.length(); length >= enough || length > 0 && (s.sendWindow <= 0 || c.sendWindow <= 0) {
			o.flush() // nobody makes room who has not got what is there
		}
		if err := s.broken(); err != nil {
			return 0, err
		}
		length := o.length()
		var waiting *queue
		switch {
		case s.sendWindow <= 0:
		case c.sendWindow <= 0:
			waiting = &c.window
		case length >= full:
			waiting = &o.room
		default:
			size := min(n, fill(length), int(min(s.sendWindow, c.sendWindow)))
			s.sendWindow -= int64(size)
			c.sendWindow -= int64(size)
			return size, nil
		}
		s.wait(waiting)
	}
}

// awaitOutbox waits until the outbox has room for a head.
func (s *stream) awaitOutbox() error {
	c := s.conn
	if c.outbox.length() >= full {
		defer c.passOn()
		defer s.writing.pause()
		for s.broken() == nil && c.outbox.length() >= full {
			s.wait(&c.outbox.room)
		}
	}
	return s.broken()
}

// wait waits for something that has to do with the stream, or in a queue. What is in the outbox is sent meanwhile.
func (s *stream) wait(in *queue) {
	c := s.conn
	c.passOn() // it may have been woken for what it cannot use
	if c.outbox.length() > 0 {
		c.outbox.flushSoon()
	}
	s.writing.begin(c.server.options.ProgressTimeout, s)
	if in != nil {
		in.wait(s)
	} else {
		s.wake.Wait()
	}
}

// broken says why nothing can be sent on the stream any more; nil where it can.
func (s *stream) broken() error {
	if s.err != nil {
		return s.err
	}
	return s.conn.err
}

// fill is how much content a frame has at most, so that its end is that of a TLS record: a short rest of a record is left to
// the next, of which it becomes the beginning.
func fill(length int) int {
	const short = 1 << 10
	left := maxRecord - length%maxRecord - frameHeaderSize
	if left < short {
		left += maxRecord
	}
	return min(left, maxFrame)
}

// flush sends what the stream has handed over.
func (s *stream) flush() error {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outbox.flush()
	return s.broken()
}

// inform sends an informational response.
func (s *stream) inform(status int, fields []line) {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.awaitOutbox() != nil || s.answered {
		return
	}
	c.appendHead(s.id, status, fields, 0)
	c.outbox.flush()
}

// appendHead puts a head, or trailers where the status is 0, behind what waits.
func (c *conn) appendHead(id uint32, status int, fields []line, flags uint8) {
	out := c.outbox.frames()
	b := *out
	start := len(b)
	b = appendFrameHeader(b, 0, headersFrame, flags|flagEndHeaders, id)
	b = c.encoder.Begin(b)
	if status != 0 {
		b = c.encoder.AppendStatus(b, status)
	}
	for _, f := range fields {
		b = c.encoder.AppendField(b, f.name, f.value)
	}
	if length := len(b) - start - frameHeaderSize; length <= maxFrame {
		b[start], b[start+1], b[start+2] = byte(length>>16), byte(length>>8), byte(length)
	} else {
		b = splitHead(b, start, id, flags)
	}
	*out = b
}

// splitHead makes frames of a block that is too long for one (RFC 9113, section 6.10).
func splitHead(b []byte, start int, id uint32, flags uint8) []byte {
	block := append([]byte(nil), b[start+frameHeaderSize:]...)
	b = appendFrameHeader(b[:start], maxFrame, headersFrame, flags, id)
	b = append(b, block[:maxFrame]...)
	for block = block[maxFrame:]; len(block) > 0; {
		n := min(len(block), maxFrame)
		last := uint8(0)
		if n == len(block) {
			last = flagEndHeaders
		}
		b = append(appendFrameHeader(b, n, continuationFrame, last, id), block[:n]...)
		block = block[n:]
	}
	return b
}

// expire is for the time that passes.
func (s *stream) expire() {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	if err := s.writing.over(s); err != nil && s.err == nil {
		s.err = err
		s.wake.Broadcast()
	}
}

// setWriteDeadline is the handler's.
func (s *stream) setWriteDeadline(t time.Time) {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	if s.writing.setDeadline(t, s) && s.err == nil {
		s.err = os.ErrDeadlineExceeded
		s.wake.Broadcast()
	}
}
