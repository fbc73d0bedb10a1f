package transport

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

var (
	errFinished = errors.New("the request has been answered")
	errTooLong  = errors.New("the body is longer than its Content-Length")
)

// requestBody is a request's body on its way to a backend. It may be read by another goroutine than the handler's, and
// remembers what became of it. All methods but Read work on a nil one, which is the body of a request that has
// none.
type requestBody struct {
	from       io.Reader
	length     int64       // -1: not known
	received   http.Header // the request's trailers, complete at the end of from
	connection []string    // the values of the request's field
	trailers   http.Header // those that the backend gets; nil where the framing has no room for them

	wait     func() bool   // nil unless the client waits to be asked for the body: asks, or says that it is too late
	finished chan struct{} // nil where wait is
	intake   *intake       // told what is read over HTTP/2; nil otherwise
	rescue   *rescue       // for reading by another goroutine; nil otherwise

	mu        sync.Mutex  // held while a read is interrupted, so that none is once the request is answered
	interrupt func()      // makes a read that waits for the client return; nil where nobody needs that
	stopped   atomic.Bool // that was done
	gone      bool        // finished is closed

	begun, whole, over atomic.Bool
	cause              atomic.Pointer[error]
}

func newRequestBody(r *http.Request) *requestBody {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil
	}
	b := &requestBody{from: r.Body, length: r.ContentLength, received: r.Trailer, connection: r.Header["Connection"]}
	if r.ContentLength < 0 || len(r.Trailer) > 0 {
		b.trailers = make(http.Header)
		for name := range r.Trailer {
			if isRequestTrailer(name, b.connection) {
				b.trailers[name] = nil // announced
			}
		}
	}
	return b
}

func (b *requestBody) Read(p []byte) (int, error) {
	if b.over.Load() {
		return 0, errFinished
	}
	if !b.begun.Load() {
		if b.wait != nil && !b.wait() {
			// An error would make net/http close the connection, on which the answer is still coming.
			<-b.finished
			return 0, errFinished
		}
		b.begun.Store(true)
	}
	n, err := b.pull(p)
	switch {
	case err == nil:
	case b.stopped.Load():
		err = errFinished // which is not the client's doing
	case errors.Is(err, io.EOF):
		if !b.whole.Load() {
			b.takeTrailers()
			b.whole.Store(true)
		}
	default:
		b.fail(err)
	}
	return n, err
}

func (b *requestBody) pull(p []byte) (n int, err error) {
	if b.rescue != nil {
		defer b.rescue.catch(&err)
	}
	return b.from.Read(p)
}

func (b *requestBody) takeTrailers() {
	if b.trailers == nil {
		return
	}
	for name, values := range b.received {
		if isRequestTrailer(name, b.connection) {
			b.trailers[name] = values
		}
	}
}

// confirmEnd says whether the body ends where its length is over. The backend must not get what is beyond.
func (b *requestBody) confirmEnd() error {
	if b.ended() { // as most are, before the array below has to be made
		return nil
	}
	var one [1]byte
	for range 10 { // a reader may give nothing once or twice
		n, err := b.Read(one[:])
		switch {
		case n > 0:
			b.fail(errTooLong)
			return errTooLong
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
	return io.ErrNoProgress
}

// lend gives the body to net/http for one connection; for a second one as long as nothing has been read for the first.
func (b *requestBody) lend() *lentBody { return &lentBody{body: b} }

// stop makes a read that waits return, unless the request has been answered.
func (b *requestBody) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.interrupt != nil && !b.over.Load() {
		b.stopped.Store(true)
		b.letGo()
		b.interrupt()
	}
}

// keep lets no read be stopped any more.
func (b *requestBody) keep() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.interrupt = nil
}

// finish ends all reading. It is called once.
func (b *requestBody) finish() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over.Store(true)
	b.letGo()
}

// letGo ends a read that was too late to ask for the body. The lock must be held.
func (b *requestBody) letGo() {
	if b.finished != nil && !b.gone {
		b.gone = true
		close(b.finished)
	}
}

// fail notes why the client's side cannot be what it should be.
func (b *requestBody) fail(cause error) { b.cause.CompareAndSwap(nil, &cause) }

// chunked says whether the backend gets the body in chunks: only these have room for trailers on HTTP/1.1.
func (b *requestBody) chunked() bool { return b.length < 0 || b.trailers != nil }

// touched says whether anything has been read, or tried to.
func (b *requestBody) touched() bool { return b != nil && b.begun.Load() }

// ended says whether all of it has been read, trailers included.
func (b *requestBody) ended() bool { return b == nil || b.whole.Load() }

// failure is why the client's side ended before the body did; nil where it did not.
func (b *requestBody) failure() error {
	if b == nil {
		return nil
	}
	if cause := b.cause.Load(); cause != nil {
		return *cause
	}
	return nil
}
