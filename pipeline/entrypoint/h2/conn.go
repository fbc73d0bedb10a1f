package h2

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tricot-proxy/tricot/pipeline/entrypoint/exchange"
	"github.com/tricot-proxy/tricot/pipeline/hpack"
)

// Why a connection ends that nothing is wrong with.
var (
	errIdle = errors.New("no request for a long time")
	errDone = errors.New("the last request has been answered")
)

// conn is a connection. One goroutine reads from it; those of the handlers write.
type conn struct {
	server *Server
	client *tls.Conn
	below  net.Conn // client's, below TLS
	tls    *tls.ConnectionState
	remote string
	local  net.Addr

	in      inbox
	greeted bool // the client's preface has been read
	decoder *hpack.Decoder
	block   block  // of a head that has not been read to its end
	fields  []line // of the head that was read last; room

	consumed atomic.Int64 // bytes of content that were taken and not returned to the client's window

	mu      sync.Mutex // for all that follows
	err     error      // not nil: nothing can be written any more
	streams map[uint32]*stream
	lastID  uint32    // the highest stream that the client has opened
	ignored uint32    // the highest one that came too late; 0: none
	busy    int       // handlers whose answer is not complete
	refused int       // streams, in a row, because handlers of streams that were reset still run
	resets  resets    // the streams that were reset here
	allowed allowance // how many more streams the client may have reset
	idle    time.Time // since when there has been no stream
	drained drained

	receiveWindow int64 // what the client may send
	sendWindow    int64 // what it takes
	streamWindow  int64 // what it takes of a stream that begins
	window        queue // of streams that wait for sendWindow
	encoder       *hpack.Encoder
	outbox        outbox
}

// drained is how far the end of the connection has come, where it was asked for.
type drained int

const (
	notDrained drained = iota
	told               // the client knows that no more requests are wanted
	final              // and which was the last one
	done               // which has been answered
)

func newConn(s *Server, client *tls.Conn) *conn {
	state := client.ConnectionState()
	c := &conn{
		server:        s,
		client:        client,
		below:         client.NetConn(),
		tls:           &state,
		remote:        client.RemoteAddr().String(),
		local:         client.LocalAddr(),
		decoder:       hpack.NewDecoder(defaultHeaderTable),
		streams:       make(map[uint32]*stream),
		idle:          time.Now(),
		receiveWindow: uploadPerConnection,
		sendWindow:    defaultWindow,
		streamWindow:  defaultWindow,
		encoder:       hpack.NewEncoder(),
	}
	c.outbox.init(c)
	// What the client may do is said before all else, and need not wait for its preface (RFC 9113, section 3.4).
	out := c.outbox.frames()
	*out = appendSettings(*out, s.options.MaxHeaderBytes)
	*out = appendWindowUpdate(*out, 0, uploadPerConnection-defaultWindow)
	return c
}

// serve serves the connection until it ends.
func (c *conn) serve() {
	defer func() {
		if cause := recover(); cause != nil {
			c.server.options.Log.Error("connection panicked", "panic", fmt.Sprint(cause), "client", c.remote,
				"stack", string(debug.Stack()))
			c.fail(net.ErrClosed)
		}
	}()
	err := c.begin()
	if err == nil {
		err = c.readFrames()
	}
	c.in.free(c)
	c.end(err)
}

// begin sends what newConn has put into the outbox.
func (c *conn) begin() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outbox.flush()
	return c.err
}

// end ends the connection once nothing is read from it any more. Where it can, it tells the client why (section 5.4.1).
func (c *conn) end(cause error) {
	code := noError
	var wrong *connectionError
	switch {
	case errors.As(cause, &wrong):
		code = wrong.code
		c.debug("connection refused", slog.String("reason", wrong.reason))
	case errors.Is(cause, errIdle), errors.Is(cause, errDone):
	default:
		c.lose(cause)
		return
	}
	linger := min(c.server.linger, lingerAfterAnswer)
	if code != noError {
		linger = c.server.linger
		_ = c.below.SetWriteDeadline(time.Now().Add(linger)) // otherwise there are answers to come, which may take their time
	}
	c.mu.Lock()
	if c.drained < final || code != noError {
		out := c.outbox.frames()
		*out = appendGoAway(*out, c.lastID, code)
	}
	for _, s := range c.streams {
		s.fail(net.ErrClosed)
	}
	clear(c.streams) // nothing more is said of them
	c.drained = done
	c.outbox.empty()
	c.mu.Unlock()
	if code != enhanceYourCalm { // who floods does not read
		_ = exchange.CloseInSteps(c.client, c.below, linger)
	}
	c.fail(net.ErrClosed)
}

// lose ends a connection of which the client is gone. It may go without a word where it waits for nothing.
func (c *conn) lose(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil && (len(c.streams) > 0 || !errors.Is(cause, io.EOF)) {
		c.debug("connection lost", slog.Any("cause", cause))
	}
	if errors.Is(cause, io.EOF) {
		cause = errLeft
	}
	c.failLocked(cause)
}

// fail ends the connection and all streams at once.
func (c *conn) fail(cause error) {
	c.mu.Lock()
	c.failLocked(cause)
	c.mu.Unlock()
}

// failLocked may be called again: what had been read when writing failed may have opened further streams since.
func (c *conn) failLocked(cause error) {
	if c.err == nil {
		c.err = cause
		_ = c.below.Close()
	}
	for _, s := range c.streams {
		s.fail(c.err)
	}
}

// drain tells the client that no more requests are wanted, and has those served that are on their way (section 6.8).
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.drained != notDrained {
		return
	}
	c.drained = told
	out := c.outbox.frames()
	*out = appendGoAway(*out, highestStream, noError)
	*out = appendPing(*out, 0, drainPing[:])
	c.outbox.flushSoon()
	time.AfterFunc(c.server.grace, c.drainFinally)
}

// drainPing is the PING whose answer says that the client has read the GOAWAY before it.
var drainPing = [8]byte{'l', 'a', 's', 't', 'c', 'a', 'l', 'l'}

// drainFinally takes no more requests.
func (c *conn) drainFinally() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.drained != told || c.err != nil {
		return
	}
	c.drained = final
	out := c.outbox.frames()
	*out = appendGoAway(*out, c.lastID, noError)
	c.outbox.flushSoon()
	c.doneIfDrained()
}

// doneIfDrained has the goroutine that reads end the connection after its last stream. The lock must be held.
func (c *conn) doneIfDrained() {
	if c.drained == final && len(c.streams) == 0 {
		c.drained = done
		_ = c.client.SetReadDeadline(time.Unix(1, 0))
	}
}

// debug logs what the client did.
func (c *conn) debug(message string, about ...slog.Attr) {
	log, ctx := c.server.options.Log, context.Background()
	if log.Enabled(ctx, slog.LevelDebug) {
		log.LogAttrs(ctx, slog.LevelDebug, message, append(about, slog.String("client", c.remote))...)
	}
}

// misused is about a handler, not the client.
func (c *conn) misused(r *http.Request, what string) {
	c.server.options.Log.Warn("server", "error", what, "method", r.Method, "host", r.Host)
}
