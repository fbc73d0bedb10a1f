package h1

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tricot-proxy/tricot/pipeline/http1"
)

// discardLimit is how much of the rest of a request's content is read to keep the connection: about what is on its way
// already.
const discardLimit = 256 << 10 // bytes

// body is the content of a request. One goroutine may read it while another one writes the answer.
type body struct {
	exchange *exchange
	ended    atomic.Bool // it has been read to its end, trailers included

	mu     sync.Mutex
	chunks http1.ChunkedReader
	left   int64 // of content with a length
	err    error // io.EOF at the end; stays
	closed bool
}

// Read reads content and, at its end, the trailers into the request. Before the first time it asks a client that waits for
// that.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	if b.err != nil {
		return 0, b.err
	}
	b.exchange.response.sendContinue()
	return b.read(p)
}

// Close lets no more be read. The rest of the content is the server's business.
func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}

// read reads without asking. The lock must be held.
func (b *body) read(p []byte) (n int, err error) {
	if b.err != nil {
		return 0, b.err
	}
	if b.exchange.request.ContentLength == http1.Chunked {
		n, err = b.chunks.Read(p)
	} else {
		if int64(len(p)) > b.left {
			p = p[:b.left]
		}
		n, err = b.exchange.conn.buffers.reader.Read(p)
		b.left -= int64(n)
		switch {
		case b.left == 0:
			err = io.EOF
		case errors.Is(err, io.EOF):
			err = io.ErrUnexpectedEOF
		}
	}
	if err != nil {
		b.end(err)
	}
	return n, err
}

func (b *body) end(err error) {
	b.err = err
	if err != io.EOF {
		return
	}
	if trailer := b.chunks.Trailer(); trailer != nil {
		r := &b.exchange.request
		if r.Trailer == nil {
			r.Trailer = trailer
		} else { // which may be shared with a copy of the request
			for name, values := range trailer {
				r.Trailer[name] = values
			}
		}
	}
	b.ended.Store(true)
	b.exchange.life.contentEnded()
}

// discard reads the rest for a handler that does not want it, and says whether it has come to the end.
func (b *body) discard() bool {
	if b.ended.Load() {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left > discardLimit || b.err != nil {
		return b.err == io.EOF
	}
	l := &b.exchange.life
	if l.setReadDeadline(time.Now().Add(b.exchange.conn.server.linger)) != nil {
		return false
	}
	defer l.setReadDeadline(time.Time{})
	var waste [1 << 10]byte
	for read := 0; read <= discardLimit; {
		n, err := b.read(waste[:])
		read += n
		if err != nil {
			return err == io.EOF
		}
	}
	return false
}

// finish ends all reading after the handler has returned, and says whether the next request can follow.
func (b *body) finish() bool {
	if b.ended.Load() {
		return true
	}
	if !b.mu.TryLock() {
		// Somebody still reads, although the request has been answered.
		_ = b.exchange.life.setReadDeadline(longAgo())
		b.mu.Lock()
		_ = b.exchange.life.setReadDeadline(time.Time{}) // it may just have come to its end
	}
	b.closed = true
	b.mu.Unlock()
	return !b.exchange.response.closing && !b.exchange.response.expects && b.discard()
}
