package transport

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/tricot-proxy/tricot/pipeline/http1"
)

// leaving is how long the last piece of a body may take to be written after it was read.
const leaving = 10 * time.Millisecond

// An upload sends a request's body, or what is left of it, in a goroutine of its own, while the handler's reads the
// answer. It outlives the exchange where it waits for a client that sends no more; the server ends that when the handler
// has returned.
type upload struct {
	body     *requestBody
	deferred *socket // what it has kept goes before the body
	limits   limits
	pools    *pools
	done     chan struct{}
	rescue   rescue
	bound    bool // no other connection can be the body's any more

	mu    sync.Mutex
	to    *connection   // nil while it is withdrawn; does not change when bound
	moved chan struct{} // closed when it is no longer; nil where it is not
	taken bool          // of the body, something or its end
	err   error         // why the backend got no more
	ended bool          // without one
	head  bool          // the answer's is there
}

func (u *upload) run() {
	defer close(u.done)
	err := u.send()
	u.mu.Lock()
	defer u.mu.Unlock()
	u.err, u.ended = err, err == nil
	switch {
	case err == nil && !u.head:
		_ = u.to.tcp.SetReadDeadline(time.Now().Add(u.limits.head))
	case err == nil, errors.Is(err, errFinished):
	case u.body.failure() != nil, isTimeout(err):
		u.to.cut() // the backend waits for more as we wait for its answer
	case !u.head: // it may have answered before it closed
		_ = u.to.tcp.SetReadDeadline(time.Now().Add(graceForAnswer))
	}
}

func (u *upload) send() error {
	if err := u.deferred.writeDeferred(); err != nil {
		return fmt.Errorf("send the request: %w", err)
	}
	if u.body.ended() {
		return nil
	}
	buf := u.pools.bulk.Get().(*bulk)
	defer u.pools.bulk.Put(buf)
	if u.body.chunked() {
		return u.sendChunks(buf[:])
	}
	for left := u.body.length; left > 0; {
		n, err := u.read(buf[:min(left, bulkBuffer)])
		left -= int64(n)
		if err := u.write(buf[:n]); err != nil {
			return err
		}
		if errors.Is(err, io.EOF) && left > 0 {
			u.body.fail(io.ErrUnexpectedEOF)
			return io.ErrUnexpectedEOF
		}
		if err != nil && left > 0 {
			return err
		}
	}
	return u.body.confirmEnd()
}

// sendChunks writes each piece that the client sends as one chunk.
func (u *upload) sendChunks(buf []byte) error {
	const before, after = len("ffff\r\n"), len("\r\n")
	for {
		n, err := u.read(buf[before : len(buf)-after])
		begin, end := before, before
		if n > 0 {
			var line [before]byte
			size := http1.AppendChunk(line[:0], n)
			begin -= copy(buf[before-len(size):], size)
			end += n + copy(buf[before+n:], "\r\n")
		}
		piece := buf[begin:end]
		last := errors.Is(err, io.EOF)
		if last {
			piece = u.appendEnd(piece)
		}
		if err := u.write(piece); err != nil {
			return err
		}
		if last {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// appendEnd writes the last chunk and the trailers.
func (u *upload) appendEnd(to []byte) []byte {
	to = append(to, "0\r\n"...)
	names := make([]string, 0, len(u.body.trailers))
	for name := range u.body.trailers {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		to = appendFields(to, name, u.body.trailers[name])
	}
	return append(to, "\r\n"...)
}

// read reads from the body. What comes first goes to the connection that the upload has then.
func (u *upload) read(p []byte) (int, error) {
	n, err := u.body.Read(p)
	if u.bound {
		return n, err
	}
	u.mu.Lock()
	u.taken = true
	moved := u.moved
	u.mu.Unlock()
	if moved != nil {
		<-moved
	}
	u.bound = true
	if u.to == nil {
		return 0, errFinished
	}
	return n, err
}

// withdraw takes the connection away, before anything of the body has been read for it. It is false where that is too late.
// Otherwise redirect or abandon has to follow.
func (u *upload) withdraw() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.taken {
		return false
	}
	u.to, u.moved = nil, make(chan struct{})
	return true
}

// redirect gives another connection in place of the one that was withdrawn.
func (u *upload) redirect(to *connection) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.to = to
	close(u.moved)
	u.moved = nil
}

// abandon says that there will be no other connection, where one was withdrawn.
func (u *upload) abandon() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.moved != nil {
		close(u.moved)
		u.moved = nil
	}
}

func (u *upload) write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if _, err := u.to.Write(p); err != nil {
		return fmt.Errorf("send the request's body: %w", err)
	}
	return nil
}

// answered says that the head of the answer is there, from when on the answer's time-outs are the reader's.
func (u *upload) answered() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.head = true
}

// failure is why the backend got no more of the body; nil where it may get more, or got all.
func (u *upload) failure() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

// whole says whether the backend has got all of the body.
func (u *upload) whole() bool {
	if u.body.ended() { // and the last piece may just be leaving
		select {
		case <-u.done:
		case <-time.After(u.limits.leaving):
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.ended
}
