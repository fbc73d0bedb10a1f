package h1

import "github.com/tricot-proxy/tricot/pipeline/http1"

const lastChunk = "0\r\n"

// send sends what is in the buffer and then p, as one write where that is possible. last says that nothing comes after it.
func (w *response) send(p []byte, last bool) error {
	b := w.exchange.conn.buffers
	if w.isHead && w.sent {
		return nil
	}
	start := w.frame(p, last)
	tail := b.tail[:0]
	if w.chunked && len(b.out)-w.content+len(p) > 0 {
		tail = append(tail, "\r\n"...)
	}
	w.sent = true
	if w.isHead {
		b.out, p = b.out[:w.content], nil
	}
	var err error
	switch {
	case len(p) == 0:
		b.out = append(b.out, tail...)
		if w.chunked && last {
			b.out = append(b.out, lastChunk...)
			b.out = append(w.appendTrailers(b.out), "\r\n"...)
		}
		err = w.write(b.out[start:])
		b.out = b.out[:0]
	case w.exchange.conn.tls == nil:
		err = w.writeParts(b.out[start:], p, tail)
		b.out = b.out[:0]
	default:
		below, gathers := w.exchange.conn.below.(Gatherer)
		if gathers {
			below.Hold()
		}
		err = w.writeRecords(start, p, tail)
		if gathers {
			if released := w.check(below.Release()); err == nil {
				err = released
			}
		}
	}
	w.prefix, w.content = len(b.out), len(b.out)
	if w.chunked {
		w.leaveGap(chunkGap)
	}
	return err
}

// frame completes what stands before the content in the buffer, with p to follow, and says where it begins.
func (w *response) frame(p []byte, last bool) (start int) {
	b := w.exchange.conn.buffers
	prefix := b.out[:w.prefix]
	content := b.out[w.content:]
	if !w.sent {
		if len(content) == 0 {
			content = p
		}
		prefix = w.complete(prefix, content, last)
	}
	if size := len(b.out) - w.content + len(p); w.chunked && size > 0 {
		prefix = http1.AppendChunk(prefix, size)
	}
	start = w.content - len(prefix)
	copy(b.out[start:w.content], prefix)
	return start
}

// writeParts writes three pieces in one system call.
func (w *response) writeParts(first, second, third []byte) error {
	b := w.exchange.conn.buffers
	b.parts = [3][]byte{first, second, third}
	b.vector = b.parts[:]
	var err error
	if client, ok := w.exchange.conn.client.(BuffersWriter); ok {
		_, err = client.WriteBuffers(&b.vector)
	} else {
		_, err = b.vector.WriteTo(w.exchange.conn.client)
	}
	b.parts = [3][]byte{}
	return w.check(err)
}

// writeRecords writes what is in the buffer, filled up to a whole record, and the rest as it is. What is left of a chunked
// one stays in the buffer, as the beginning of the next.
func (w *response) writeRecords(start int, p, tail []byte) error {
	b := w.exchange.conn.buffers
	fill := min(max(writeBuffer-(len(b.out)-start), 0), len(p))
	if len(b.out) == start {
		fill = 0
	}
	b.out = append(b.out, p[:fill]...)
	p = p[fill:]
	if len(b.out) > start {
		if err := w.write(b.out[start:]); err != nil {
			return err
		}
	}
	b.out = b.out[:0]
	direct := len(p)
	switch {
	case direct < readBuffer:
		direct = 0
	case len(tail) > 0:
		direct -= direct % writeBuffer
	}
	if direct > 0 {
		if err := w.write(p[:direct]); err != nil {
			return err
		}
	}
	b.out = append(append(b.out, p[direct:]...), tail...)
	return nil
}

func (w *response) write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	_, err := w.exchange.conn.client.Write(p)
	return w.check(err)
}

// check keeps the first error of writing, which says that the client is gone.
func (w *response) check(err error) error {
	if err != nil && w.err == nil {
		w.err = err
		w.exchange.life.Cancel()
	}
	return err
}
