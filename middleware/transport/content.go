package transport

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/tricot-proxy/tricot/pipeline/http1"
)

// pass gives the client the answer whose head has been read.
func (x *exchange) pass() {
	a := &x.buffers.answer
	header := x.w.Header()
	a.addTo(header)
	if _, ok := header["Content-Type"]; !ok {
		header["Content-Type"] = nil // or the server guesses one
	}
	var announced []string
	if a.length == http1.Chunked {
		announced = announce(header, tokens(a.trailer))
	}
	x.closeAfter()
	if a.length == 0 {
		x.leave(x.state.Answered)
	}
	x.w.WriteHeader(a.status)
	if a.length != 0 {
		trailer, err, byClient := x.stream(a)
		if err != nil {
			x.interrupted(err, byClient)
		}
		x.sendTrailers(trailer, announced)
	}
	x.linger()
}

// stream copies the content, and says whose side failed. The connection is left before the last of it is written, so that
// a slow client does not keep it.
func (x *exchange) stream(a *answer) (trailer http.Header, err error, byClient bool) {
	switch {
	case a.length == http1.Chunked:
		return x.streamChunks()
	case a.length == http1.UntilClose:
		err, byClient = x.streamPieces(x.buffers.in, x.buffers.in)
	default:
		err, byClient = x.streamLength(a.length)
	}
	return nil, err, byClient
}

// streamLength copies content of a known length. It reaches the client when the server's buffer is full, and when the
// backend pauses.
func (x *exchange) streamLength(left int64) (err error, byClient bool) {
	in := x.buffers.in
	if n := min(left, int64(in.Buffered())); n > 0 {
		piece, _ := in.Peek(int(n))
		_, _ = in.Discard(int(n))
		left -= n
		if left == 0 {
			x.leave(x.state.Answered)
		}
		if _, err := x.w.Write(piece); err != nil {
			return err, true
		}
	}
	if left == 0 {
		return nil, false
	}
	buf := x.pools.bulk.Get().(*bulk)
	defer x.pools.bulk.Put(buf)
	for left > 0 {
		n, err, byClient := x.readPiece(buf[:min(left, bulkBuffer)])
		left -= int64(n)
		if left == 0 {
			x.leave(time.Now())
		}
		if n > 0 {
			if _, err := x.w.Write(buf[:n]); err != nil {
				return err, true
			}
		}
		if err != nil && left > 0 {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err, byClient
		}
	}
	return nil, false
}

func (x *exchange) streamChunks() (trailer http.Header, err error, byClient bool) {
	in := x.buffers.in
	if in.Buffered() >= in.Size()/2 { // much at once: worth a larger buffer
		large := x.pools.chunks.Get().(*bufio.Reader)
		defer func() {
			large.Reset(nil)
			x.pools.chunks.Put(large)
		}()
		large.Reset(in)
		in = large
	}
	var chunks http1.ChunkedReader
	chunks.Reset(in)
	err, byClient = x.streamPieces(&chunks, in)
	return chunks.Trailer(), err, byClient
}

// streamPieces copies content to its end, and flushes each piece that arrives. in is where from reads: while nothing is
// there, no buffer is held but in's own.
func (x *exchange) streamPieces(from io.Reader, in *bufio.Reader) (err error, byClient bool) {
	var buf *bulk
	put := func() {
		if buf != nil {
			x.pools.bulk.Put(buf)
			buf = nil
		}
	}
	defer put()
	unflushed := true // the head may be all that comes for a while
	large := false    // the last piece was, and more of the kind may be there
	for {
		if in.Buffered() == 0 {
			if unflushed {
				if err := x.flush(); err != nil {
					return err, true
				}
				unflushed = false
			}
			if !large {
				put()
				if _, err := in.Peek(1); err != nil && !errors.Is(err, io.EOF) { // which Read gives once more
					return err, false
				}
			}
		}
		if buf == nil {
			buf = x.pools.bulk.Get().(*bulk)
		}
		n, err := from.Read(buf[:])
		end := errors.Is(err, io.EOF)
		if end {
			x.leaveAfter(in)
		}
		if n > 0 {
			if _, err := x.w.Write(buf[:n]); err != nil {
				return err, true
			}
			unflushed = true
		}
		switch {
		case end:
			return nil, false
		case err != nil:
			return err, false
		}
		large = n >= headBuffer
		if unflushed {
			if err := x.flush(); err != nil {
				return err, true
			}
			unflushed = false
		}
	}
}

// leaveAfter leaves the connection unless the reader in between has something left.
func (x *exchange) leaveAfter(in *bufio.Reader) {
	if in.Buffered() > 0 {
		x.drop()
	} else {
		x.leave(time.Now())
	}
}

func (x *exchange) flush() error {
	if err := http.NewResponseController(x.w).Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}
