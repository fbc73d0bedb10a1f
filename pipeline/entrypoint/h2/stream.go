package h2

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/tricot-proxy/tricot/pipeline/entrypoint/exchange"
)

// stream is one request with its answer: all that is made for it, in one allocation. Whoever keeps the request keeps all
// of it, so nothing here is used again for another one.
type stream struct {
	conn     *conn
	id       uint32
	request  http.Request
	url      url.URL
	life     exchange.Context
	body     body
	response response
	refusal  *refusal // not nil: the answer is that

	declared int64 // the request's Content-Length; -1: none

	// What follows is the connection's lock's.
	err           error // not nil: it has ended before it should
	remoteClosed  bool  // the client has sent all
	answered      bool  // the head of the answer is on its way
	localClosed   bool  // and all of it
	counts        bool  // among the connection's busy ones
	received      int64 // bytes of content
	receiveWindow int64
	sendWindow    int64
	wake          sync.Cond // told of all that one who writes may wait for
	writing       patience
}

func (c *conn) newStream(id uint32) *stream {
	s := &stream{conn: c, id: id, declared: -1}
	s.wake.L = &c.mu
	s.life.Local, s.life.Server = c.local, c.server.options.Parent
	s.body.stream, s.response.stream = s, s
	s.body.wake.L = &s.body.mu
	s.writing.writes = true
	return s
}

// open lets a stream begin whose request has been read.
func (c *conn) open(s *stream, ended bool) {
	c.mu.Lock()
	s.remoteClosed = ended
	s.receiveWindow, s.sendWindow = uploadPerStream, c.streamWindow
	s.counts = true
	c.busy++
	c.refused = 0
	c.streams[s.id] = s
	c.mu.Unlock()
	c.server.workers.do(s)
}

// run serves the request.
func (s *stream) run() {
	whole := false
	defer func() {
		if cause := recover(); cause != nil && cause != http.ErrAbortHandler {
			s.conn.server.options.Log.Error("handler panicked", "panic", fmt.Sprint(cause), "client", s.conn.remote,
				"stack", string(debug.Stack()))
		}
		s.end(whole)
	}()
	if s.refusal != nil {
		s.refusal.serve(&s.response)
	} else {
		s.conn.server.options.Handler.ServeHTTP(&s.response, &s.request)
	}
	whole = s.response.finish()
}

// end ends the stream with its handler.
func (s *stream) end(whole bool) {
	s.response.over.Store(true)
	s.body.stop()
	s.life.Cancel()
	if form := s.request.MultipartForm; form != nil {
		_ = form.RemoveAll()
	}
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	s.writing.stop()
	c.uncount(s)
	if c.streams[s.id] != s {
		return
	}
	code := noError // the answer is whole, and the rest of the request of no use (RFC 9113, section 8.1)
	if !whole {
		code = internalError
	}
	c.reset(s.id, code)
	c.remove(s)
}

// fail ends the stream from the client's side, before its handler. The connection's lock must be held.
func (s *stream) fail(cause error) {
	if s.err == nil {
		s.err = cause
	}
	s.wake.Broadcast()
	s.body.end(s.err, nil)
	s.life.Cancel()
}

// uncount takes a stream off the busy ones. The lock must be held.
func (c *conn) uncount(s *stream) {
	if s.counts {
		s.counts = false
		c.busy--
	}
}

// remove forgets a stream that both sides have ended, or one of them has reset. The lock must be held.
func (c *conn) remove(s *stream) {
	if c.streams[s.id] != s {
		return
	}
	delete(c.streams, s.id)
	if len(c.streams) == 0 {
		c.idle = time.Now()
		c.doneIfDrained()
	}
}

// isIdle says whether a stream has not begun. The lock must be held.
func (c *conn) isIdle(id uint32) bool { return id > max(c.lastID, c.ignored) || id%2 == 0 }

// refuse ends a stream whose client broke a rule (section 5.4.2); it may have been closed before. The error is about the
// connection. The lock must be held.
func (c *conn) refuse(id uint32, code errorCode, reason string) error {
	c.debug("stream refused", slog.String("reason", reason), slog.Uint64("stream", uint64(id)))
	c.reset(id, code)
	if s := c.streams[id]; s != nil {
		s.fail(errMessage)
		c.remove(s)
	}
	if err := c.charge(); err != nil {
		return err
	}
	return c.outbox.reply()
}

func (c *conn) refuseFrame(h frameHeader, code errorCode, reason string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isIdle(h.stream) {
		return failure(code, reason)
	}
	return c.refuse(h.stream, code, reason)
}

// reset says that a stream has ended. The lock must be held.
func (c *conn) reset(id uint32, code errorCode) {
	out := c.outbox.frames()
	*out = appendReset(*out, id, code)
	c.resets.add(id)
	c.outbox.flushSoon()
}

// resets are the streams that were reset here lately: what is still on its way on them says nothing of the client.
type resets struct {
	ids  []uint32 // nil before the first
	next int
}

// remembered is how many; there may be more streams that were open at once, but hardly any that were all reset.
const remembered = maxStreams

func (r *resets) add(id uint32) {
	if len(r.ids) < remembered {
		r.ids = append(r.ids, id)
		return
	}
	r.ids[r.next] = id
	r.next = (r.next + 1) % remembered
}

func (r *resets) has(id uint32) bool { return slices.Contains(r.ids, id) }
