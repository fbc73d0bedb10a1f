package h2

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/tricot-proxy/tricot/pipeline"
	"github.com/tricot-proxy/tricot/pipeline/entrypoint/exchange"
	"github.com/tricot-proxy/tricot/pipeline/http1"
)

// response is the ResponseWriter. It belongs to the handler's goroutine; only the request's body may be read beside it.
type response struct {
	stream *stream
	header http.Header // nil before somebody asks for it

	isHead      bool
	mayTrail    bool        // the client asks for trailers
	mayContinue atomic.Bool // the client waits to be asked for the content, and has neither been asked nor answered

	begun   atomic.Bool // the final status is known
	status  int         // 0 before that
	length  int64       // of the content as announced; -1: unknown
	written int64       // of content
	sent    bool        // the head is on its way
	ended   bool        // and all the rest, too
	over    atomic.Bool
	err     error // of sending

	draft    *draft         // the head, until it is sent
	content  *contentBuffer // what was written, and is not worth a frame yet; nil: nothing
	trailers []string       // that the head announces
	trailing bool           // there may be trailers
}

// draft is the head of an answer as it was when the handler said its status.
type draft struct {
	fields []line
	typed  bool // there is a Content-Type, or a reason not to guess one
	coded  bool // there is a Transfer-Encoding: no length is to be found out
}

// contentBuffer is what fits into a record of TLS with its frame's header.
type contentBuffer struct {
	length int
	bytes  [maxRecord - frameHeaderSize]byte
}

func (w *response) init(method string) {
	w.length = -1
	w.isHead = method == http.MethodHead
}

// Header gives the answer's fields, and the trailers after the content.
func (w *response) Header() http.Header {
	if w.header == nil {
		w.header = make(http.Header)
	}
	return w.header
}

// WriteHeader takes the head down. An informational one (RFC 9110, section 15.2) is sent at once.
func (w *response) WriteHeader(status int) {
	s := w.stream
	switch {
	case w.over.Load():
		s.conn.misused(&s.request, "WriteHeader after the handler's return")
		return
	case w.status != 0:
		s.conn.misused(&s.request, "superfluous WriteHeader: "+strconv.Itoa(status)+" after "+strconv.Itoa(w.status))
		return
	case status < 100 || status > 999:
		panic(fmt.Sprintf("invalid WriteHeader code %v", status))
	case status == http.StatusSwitchingProtocols:
		panic("invalid WriteHeader code 101 over HTTP/2") // RFC 9113, section 8.6
	case status < 200:
		w.inform(status)
		return
	}
	w.mayContinue.Store(false)
	w.begun.Store(true)
	w.status = status
	if declared, ok := w.Header()["Content-Length"]; ok && len(declared) > 0 {
		if n, err := http1.ParseLength(declared[0]); err == nil {
			w.length = n
		} else {
			s.conn.misused(&s.request, "invalid Content-Length")
		}
	}
	w.note()
}

// note takes down what the head has beside the status and the length.
func (w *response) note() {
	d := w.stream.conn.server.pools.drafts.Get().(*draft)
	d.typed, d.coded = false, false
	dated := false
	for name, values := range w.header {
		switch name {
		case "Content-Length":
			continue
		case "Connection":
			if pipeline.HasToken(values, "close") {
				w.stream.conn.drain()
			}
			continue
		case "Transfer-Encoding":
			d.coded = d.coded || len(values) > 0
			continue
		case "Content-Type":
			d.typed = true
			if w.status == http.StatusNotModified {
				continue
			}
		case "Content-Encoding":
			d.typed = d.typed || len(values) > 0 && values[0] != ""
		case "Date":
			dated = true
		case "Trailer":
			w.announce(values)
		default:
			if isConnectionSpecific(name) {
				continue
			}
			if !http1.IsToken(name) {
				w.trailing = w.trailing || strings.HasPrefix(name, http.TrailerPrefix)
				continue
			}
		}
		d.fields = appendLines(d.fields, name, values)
	}
	if !dated {
		d.fields = append(d.fields, line{"Date", w.stream.conn.server.date.Value(time.Now())})
	}
	w.draft = d
}

// announce takes note of the trailers that the head names.
func (w *response) announce(values []string) {
	w.trailing = w.trailing || len(values) > 0
	for name := range exchange.Elements(values) {
		if name = http.CanonicalHeaderKey(name); httpguts.ValidTrailerHeader(name) {
			w.trailers = append(w.trailers, name)
		}
	}
}

// inform sends an informational response with the fields that are set so far.
func (w *response) inform(status int) {
	if status == http.StatusContinue {
		w.mayContinue.Store(false)
	}
	var fields []line
	for name, values := range w.header {
		if name == "Content-Length" || isConnectionSpecific(name) || !http1.IsToken(name) {
			continue
		}
		fields = appendLines(fields, name, values)
	}
	w.stream.inform(status, fields)
}

// sendContinue asks the client for the content.
func (w *response) sendContinue() {
	if w.mayContinue.CompareAndSwap(true, false) {
		w.stream.inform(http.StatusContinue, nil)
	}
}

// Write sends content once it fills a frame, or is all that was announced. The end of the stream goes with that, but not to a
// client that asks for trailers (RFC 9110, section 10.1.4), as gRPC's do: a handler may set some until it returns, without
// having announced them. Others wait for nothing but the content.
func (w *response) Write(p []byte) (int, error) {
	if w.over.Load() {
		return 0, errOver
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if !exchange.HasContent(w.status) {
		return 0, http.ErrBodyNotAllowed
	}
	if w.length >= 0 && w.written+int64(len(p)) > w.length {
		return 0, http.ErrContentLength
	}
	w.written += int64(len(p))
	if w.err != nil {
		return 0, w.err
	}
	if w.isHead {
		return len(p), w.keepForHead(p)
	}
	complete := w.written == w.length && !w.trailing && !w.mayTrail
	if !complete && w.buffered()+len(p) <= len(w.content.bytes) {
		w.buffer(p)
		return len(p), nil
	}
	if err := w.send(p, complete); err != nil {
		return 0, err
	}
	return len(p), nil
}

// keepForHead keeps as much of the content that a HEAD does not get as the fields need that it does.
func (w *response) keepForHead(p []byte) error {
	if w.sent {
		return nil
	}
	if w.length >= 0 || w.buffered()+len(p) > len(w.content.bytes) {
		return w.send(p, false)
	}
	w.buffer(p)
	return nil
}

func (w *response) buffered() int {
	if w.content == nil {
		return 0
	}
	return w.content.length
}

func (w *response) buffer(p []byte) {
	if w.content == nil {
		w.content = w.stream.conn.server.pools.content.Get().(*contentBuffer)
		w.content.length = 0
	}
	w.content.length += copy(w.content.bytes[w.content.length:], p)
}

// Flush serves code that looks for an http.Flusher; a [http.ResponseController] finds FlushError.
func (w *response) Flush() { _ = w.FlushError() }

// FlushError sends what was written. It waits until the client has room for that.
func (w *response) FlushError() error {
	if w.over.Load() {
		return errOver
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.err != nil || w.ended {
		return w.err
	}
	if err := w.send(nil, false); err != nil {
		return err
	}
	w.err = w.stream.flush()
	return w.err
}

// finish completes the answer after the handler has returned. It is false where that is not possible.
func (w *response) finish() bool {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.length >= 0 && w.written != w.length && !w.isHead && exchange.HasContent(w.status) {
		return false
	}
	if w.err == nil && !w.ended {
		w.trailing = w.trailing || w.hasLateTrailers()
		_ = w.send(nil, true)
	}
	return w.err == nil
}

// hasLateTrailers says whether there are trailers that nobody announced; they may have been set after the head.
func (w *response) hasLateTrailers() bool {
	for name := range w.header {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			return true
		}
	}
	return false
}

// send hands over what is buffered and p, and the head before it where that has not been done. last says that nothing comes
// after it but trailers.
func (w *response) send(p []byte, last bool) error {
	var first []byte
	if w.content != nil {
		first = w.content.bytes[:w.content.length]
	}
	m := message{content: [2][]byte{first, p}, ends: last}
	if !w.sent {
		w.complete(len(first)+len(p), first, p, last)
		m.head, m.status = w.draft.fields, w.status
	}
	if w.isHead {
		m.content, m.ends = [2][]byte{}, true
	}
	if last && w.trailing {
		m.trailer = w.collectTrailers()
	}
	w.sent, w.ended = true, m.ends
	w.err = w.stream.send(&m)
	w.free()
	return w.err
}

// complete adds to the head what depends on the content. last says that there is no more of it.
func (w *response) complete(size int, first, second []byte, last bool) {
	d := w.draft
	allowed := exchange.HasContent(w.status)
	if last && allowed && w.length < 0 && !w.trailing && !d.coded && (!w.isHead || size > 0) {
		w.length = int64(size)
	}
	if !d.typed && !d.coded && size > 0 && allowed {
		content := first
		if len(content) == 0 {
			content = second
		}
		d.fields = append(d.fields, line{"Content-Type", http.DetectContentType(content)})
	}
	if w.length >= 0 && w.status != http.StatusNoContent {
		d.fields = append(d.fields, line{"Content-Length", strconv.FormatInt(w.length, 10)})
	}
}

// collectTrailers gives the fields of the trailer section, those that were announced and those that say so themselves.
func (w *response) collectTrailers() []line {
	var trailer []line
	for _, name := range w.trailers {
		trailer = appendLines(trailer, name, w.header[name])
	}
	for name, values := range w.header {
		if name, ok := strings.CutPrefix(name, http.TrailerPrefix); ok && http1.IsToken(name) && httpguts.ValidTrailerHeader(name) {
			trailer = appendLines(trailer, name, values)
		}
	}
	return trailer
}

// free gives back what was taken from pools.
func (w *response) free() {
	pools := &w.stream.conn.server.pools
	if w.content != nil {
		pools.content.Put(w.content)
		w.content = nil
	}
	if w.draft != nil {
		clear(w.draft.fields)
		w.draft.fields = w.draft.fields[:0]
		pools.drafts.Put(w.draft)
		w.draft = nil
	}
}

// SetReadDeadline and the others are for [http.ResponseController].
func (w *response) SetReadDeadline(deadline time.Time) error {
	w.stream.body.setDeadline(deadline)
	return nil
}

func (w *response) SetWriteDeadline(deadline time.Time) error {
	w.stream.setWriteDeadline(deadline)
	return nil
}

// EnableFullDuplex has nothing to do: over HTTP/2 both directions are open in any case.
func (w *response) EnableFullDuplex() error { return nil }
