package h1

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	shared "github.com/tricot-proxy/tricot/pipeline/entrypoint/exchange"
)

var errOver = errors.New("the handler of this response has returned")

// response is the ResponseWriter. It belongs to the handler's goroutine; only [body.Read] may be beside it.
type response struct {
	exchange *exchange
	header   http.Header // nil before somebody asks for it

	// Of the request, which a handler may change.
	isHead     bool
	isOld      bool // HTTP/1.0
	asksClose  bool // the client closes after the answer, or cannot do otherwise
	asksKeep   bool // an HTTP/1.0 client that does not
	expects    bool // the client waits to be asked for the content
	fullDuplex bool

	continuing  sync.Mutex // held while an informational response is written
	mayContinue bool       // the client has neither been asked, nor answered

	begun   atomic.Bool // the final status is known
	status  int         // 0 before that
	length  int64       // of the content as announced; -1: unknown
	written int64       // of content

	sent       bool // the head is on its way
	chunked    bool
	untilClose bool // the connection's end is the content's
	closing    bool // no request follows
	over       atomic.Bool
	err        error // of writing

	head     head
	trailers []string // that the head announces
	prefix   int      // where the head, or what else is complete, ends in the buffer
	content  int      // where content begins in it
}

// Header gives the answer's fields, and the trailers after the content.
func (w *response) Header() http.Header {
	if w.header == nil {
		w.header = make(http.Header)
	}
	return w.header
}

func (w *response) WriteHeader(status int) {
	c := w.exchange.conn
	switch {
	case c.hijacked.Load(), w.over.Load():
		w.misused("WriteHeader on a connection that was taken over, or after the handler's return")
		return
	case w.status != 0:
		w.misused("superfluous WriteHeader: " + strconv.Itoa(status) + " after " + strconv.Itoa(w.status))
		return
	case status < 100 || status > 999:
		panic(fmt.Sprintf("invalid WriteHeader code %v", status))
	case status < 200 && status != http.StatusSwitchingProtocols:
		w.inform(status)
		return
	}
	w.stopContinue()
	w.begun.Store(true)
	w.status = status
	if declared, ok := w.Header()["Content-Length"]; ok && declared != nil {
		n, err := strconv.ParseInt(declared[0], 10, 64)
		if err != nil || n < 0 {
			w.misused("invalid Content-Length")
			delete(w.header, "Content-Length")
		} else {
			w.length = n
		}
	}
	w.render()
}

// misused is about the handler, not the client.
func (w *response) misused(what string) {
	r := &w.exchange.request
	w.exchange.conn.server.options.Log.LogAttrs(context.Background(), slog.LevelWarn, "server", slog.String("error", what),
		slog.String("method", r.Method), slog.String("host", r.Host))
}

func (w *response) Write(p []byte) (int, error) {
	c := w.exchange.conn
	if c.hijacked.Load() {
		return 0, http.ErrHijacked
	}
	if w.over.Load() {
		return 0, errOver
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if !shared.HasContent(w.status) {
		return 0, http.ErrBodyNotAllowed
	}
	w.written += int64(len(p))
	if w.length >= 0 && w.written > w.length {
		return 0, http.ErrContentLength
	}
	if w.isHead && w.sent {
		return len(p), nil
	}
	if w.err != nil {
		return 0, w.err
	}
	if b := c.buffers; len(b.out)+len(p) <= writeBuffer {
		b.out = append(b.out, p...)
		return len(p), nil
	}
	if err := w.send(p, false); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush serves code that looks for an http.Flusher; a [http.ResponseController] finds FlushError.
func (w *response) Flush() { _ = w.FlushError() }

func (w *response) FlushError() error {
	if w.exchange.conn.hijacked.Load() {
		return http.ErrHijacked
	}
	if w.over.Load() {
		return errOver
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.err != nil {
		return w.err
	}
	return w.send(nil, false)
}

// finish completes the answer after the handler has returned. It is false where that is not possible, and the connection
// has to be cut.
func (w *response) finish() bool {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.err == nil {
		w.err = w.send(nil, true)
	}
	w.over.Store(true)
	short := w.length >= 0 && w.written != w.length && !w.isHead && shared.HasContent(w.status)
	return w.err == nil && !short
}

// Hijack gives the connection away, with what has been read of it already. What the handler has said of an answer before
// is sent.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	x := w.exchange
	c := x.conn
	if c.hijacked.Load() {
		return nil, nil, http.ErrHijacked
	}
	if w.over.Load() {
		return nil, nil, errOver
	}
	if w.status != 0 && !w.sent {
		if err := w.send(nil, false); err != nil {
			return nil, nil, err
		}
	}
	w.stopContinue()
	_ = x.body.Close()
	x.stopWatch()
	c.hijacked.Store(true)
	reader := c.keepReader()
	if len(c.ahead) > 0 {
		_, _ = reader.Peek(reader.Buffered() + 1) // the byte that the watch saw
	}
	_ = c.client.SetDeadline(time.Time{})
	return c.client, bufio.NewReadWriter(reader, bufio.NewWriter(c.client)), nil
}

// SetReadDeadline and the others are for [http.ResponseController].
func (w *response) SetReadDeadline(deadline time.Time) error {
	return w.exchange.life.setReadDeadline(deadline)
}

func (w *response) SetWriteDeadline(deadline time.Time) error {
	w.exchange.conn.written = true
	return w.exchange.conn.client.SetWriteDeadline(deadline)
}

// EnableFullDuplex leaves the request's content alone when the answer begins.
func (w *response) EnableFullDuplex() error {
	w.fullDuplex = true
	return nil
}
