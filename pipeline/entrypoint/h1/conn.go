package h1

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/tricot-proxy/tricot/pipeline/http1"
)

// conn is a connection and its goroutine.
type conn struct {
	server *Server
	client net.Conn
	below  net.Conn // client, or what is below its TLS
	turns  Turns
	tls    *tls.ConnectionState // nil: plain
	remote string
	poll   poll

	buffers  *buffers // nil between requests
	exchange *exchange
	requests int64 // that were read

	// What has been read before the reader's buffer was there, or beside it: the first byte of a request in first, or the
	// byte that the watch saw in seen.
	ahead       []byte
	oneByte     bool // ahead is the first byte of a head, and there may be more of the same record
	first, seen [1]byte

	inHead    bool // a head is being read
	headBegun bool // something of it is there
	headTimed bool // and its deadline is set
	// readDeadline is the one in force; zero where there is none, or where it is not known.
	readDeadline time.Time
	written      bool // a handler has set a deadline for writing
	hijacked     atomic.Bool
}

// serve serves one request after the other.
func (c *conn) serve() {
	defer func() {
		if cause := recover(); cause != nil {
			c.abort(cause)
		}
	}()
	for c.turn() {
	}
}

// turn serves the next request, and says whether another one may follow. Otherwise the connection has been closed, or
// given away.
func (c *conn) turn() bool {
	if err := c.await(); err != nil {
		c.close()
		return false
	}
	x, err := c.readRequest()
	c.inHead = false
	switch {
	case err != nil:
		c.refuse(err)
		return false
	case !c.turns.Begin():
		c.close()
		return false
	}
	c.exchange = x
	c.server.options.Handler.ServeHTTP(&x.response, &x.request)
	if c.hijacked.Load() {
		x.end()
		return false
	}
	whole := x.response.finish()
	x.end()
	if form := x.request.MultipartForm; form != nil {
		_ = form.RemoveAll()
	}
	switch {
	case !whole:
		c.cut()
		return false
	case !x.body.finish():
		c.closeInSteps()
		return false
	case x.response.closing:
		c.closeAfterAnswer()
		return false
	}
	c.exchange = nil
	if c.written {
		c.written = false
		_ = c.client.SetWriteDeadline(time.Time{})
	}
	if !c.turns.End() {
		c.closeAfterAnswer()
		return false
	}
	return true
}

// close closes a connection on which everything has been said.
func (c *conn) close() {
	_ = c.client.Close()
	c.giveBuffers()
}

// closeAfterAnswer closes it after the last answer. Where the client has sent more, that must not make the system drop the
// answer.
func (c *conn) closeAfterAnswer() {
	if c.buffers.reader.Buffered() > 0 || len(c.ahead) > 0 {
		c.closeInSteps()
		return
	}
	c.close()
}

// cut closes the connection in the middle of an answer, such that nobody takes that for whole: without the alert with
// which TLS ends, and with a reset where the end of the connection would be that of the answer.
func (c *conn) cut() {
	if x := c.exchange; x != nil && x.response.untilClose {
		if tcp, ok := c.below.(interface{ SetLinger(seconds int) error }); ok {
			_ = tcp.SetLinger(0)
		}
	}
	_ = c.below.Close()
}

// abort ends what a panic has left.
func (c *conn) abort(cause any) {
	if cause != http.ErrAbortHandler {
		c.server.options.Log.Error("handler panicked", "panic", fmt.Sprint(cause), "client", c.remote,
			"stack", string(debug.Stack()))
	}
	if c.exchange != nil {
		c.exchange.response.over.Store(true)
	}
	if !c.hijacked.Load() {
		c.cut() // the buffers stay with whoever may still read or write
	}
	if c.exchange != nil {
		c.exchange.end()
	}
}

// refusal is the answer to what is not taken for a request.
type refusal struct {
	status int
	reason string
}

func (r *refusal) Error() string { return r.reason }

// refuse answers what is no request and closes the connection. What could not be read to its end is not answered.
func (c *conn) refuse(err error) {
	r := &refusal{status: http.StatusBadRequest}
	var syntax *http1.SyntaxError
	switch {
	case errors.As(err, &r):
	case errors.As(err, &syntax):
		r.reason = syntax.Reason
	case errors.As(err, new(http1.CodingError)):
		r.status, r.reason = http.StatusNotImplemented, err.Error()
	case errors.Is(err, http1.ErrTooLarge):
		r.status, r.reason = http.StatusRequestHeaderFieldsTooLarge, "the head of the request is longer than it may be"
	default:
		if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
			c.debug("no request", slog.Any("cause", err), slog.Bool("timeout", errors.Is(err, os.ErrDeadlineExceeded)))
		}
		c.close()
		return
	}
	c.debug("request refused", slog.Int("status", r.status), slog.String("reason", r.reason))
	if _, err := c.client.Write(r.append(c.buffers.out[:0])); err != nil {
		c.close()
		return
	}
	c.closeInSteps()
}

func (r *refusal) append(to []byte) []byte {
	text := fmt.Sprintf("%d %s: %s", r.status, http.StatusText(r.status), r.reason)
	return fmt.Appendf(to, "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		r.status, http.StatusText(r.status), len(text), text)
}

func (c *conn) debug(message string, about ...slog.Attr) {
	log, ctx := c.server.options.Log, context.Background()
	if log.Enabled(ctx, slog.LevelDebug) {
		log.LogAttrs(ctx, slog.LevelDebug, message, append(about, slog.String("client", c.remote))...)
	}
}
