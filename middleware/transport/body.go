package transport

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
)

var errFinished = errors.New("the request has been answered")

// requestBody is a request's body on its way to a backend. It is read by a goroutine of the round trip and remembers what
// became of it. All methods but Read and Close work on a nil one, which is the body of a request that has none.
type requestBody struct {
	from     io.Reader
	received http.Header // the request's trailers, complete at the end of from
	trailers http.Header // those that the backend gets; nil where the framing has no room for them

	wait     func() bool // nil unless the client waits to be asked for the body: asks, or says that it is too late
	finished chan struct{}

	begun, whole atomic.Bool
	cause        atomic.Pointer[error]
}

func newRequestBody(r *http.Request) *requestBody {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil
	}
	b := &requestBody{from: r.Body, received: r.Trailer, finished: make(chan struct{})}
	if r.ContentLength < 0 || len(r.Trailer) > 0 {
		b.trailers = make(http.Header)
		for name := range r.Trailer {
			if isRequestTrailer(name) {
				b.trailers[name] = nil // announced
			}
		}
	}
	return b
}

func (b *requestBody) Read(p []byte) (int, error) {
	select {
	case <-b.finished:
		return 0, errFinished
	default:
	}
	if !b.begun.Load() {
		if b.wait != nil && !b.wait() {
			// An error would make net/http close the connection, on which the answer is still coming.
			<-b.finished
			return 0, errFinished
		}
		b.begun.Store(true)
	}
	n, err := b.from.Read(p)
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		if !b.whole.Load() {
			b.takeTrailers()
			b.whole.Store(true)
		}
	default:
		b.cause.CompareAndSwap(nil, &err)
	}
	return n, err
}

func (b *requestBody) takeTrailers() {
	if b.trailers == nil {
		return
	}
	for name, values := range b.received {
		if isRequestTrailer(name) {
			b.trailers[name] = values
		}
	}
}

// Close does nothing: the body belongs to the server, and another try may need it.
func (b *requestBody) Close() error { return nil }

// again gives the body for a second connection, as long as nothing has been read for the first.
func (b *requestBody) again() (io.ReadCloser, error) {
	if b.begun.Load() {
		return nil, errors.New("a part of the body has been sent already")
	}
	return b, nil
}

// finish ends all reading. It is called once.
func (b *requestBody) finish() {
	if b != nil {
		close(b.finished)
	}
}

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
