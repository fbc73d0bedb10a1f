package h1

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/tricot-proxy/tricot/pipeline"
	shared "github.com/tricot-proxy/tricot/pipeline/entrypoint/exchange"
	"github.com/tricot-proxy/tricot/pipeline/http1"
)

// An answer's head is written in two steps. WriteHeader renders what cannot change any more into the buffer, which also
// shields it from what the handler does with the map afterwards. When something has to be sent it is completed with what
// depends on the content: by then that may be known as a whole. The fields that come then go into a gap between the two.
const (
	headGap  = 256 // bytes: for Content-Type, Content-Length or Transfer-Encoding, Connection, and a chunk's line
	chunkGap = 24  // for a chunk's line alone
)

// head is what is known of a head after its first step.
type head struct {
	connection  int  // where the Connection field begins, which is the last one
	closes      bool // it has "close"
	connects    bool // there is one at all
	length      bool // there is a Content-Length
	coded       bool // the handler has set a Transfer-Encoding: there is none but "chunked", so that is what it means
	identity    bool // or that the content ends with the connection
	typed       bool // there is a Content-Type, or a reason not to guess one
	hasTrailers bool
}

// render takes the first step.
func (w *response) render() {
	b := w.exchange.conn.buffers
	b.out = appendStatus(b.out[:0], w.isOld, w.status)
	fields := b.fields[:0]
	dated, connection := false, []string(nil)
	for name, values := range w.header {
		switch name {
		case "Connection":
			connection = values
			continue
		case "Content-Length":
			w.head.length = len(values) > 0
			continue
		case "Transfer-Encoding":
			w.head.coded = len(values) > 0
			w.head.identity = w.head.coded && values[0] == "identity"
			continue
		case "Content-Type":
			w.head.typed = true
			if w.status == http.StatusNotModified {
				continue
			}
		case "Content-Encoding":
			w.head.typed = w.head.typed || len(values) > 0 && values[0] != ""
		case "Date":
			dated = true
		case "Trailer":
			w.head.hasTrailers = w.head.hasTrailers || len(values) > 0
			for name := range shared.Elements(values) {
				if name = http.CanonicalHeaderKey(name); httpguts.ValidTrailerHeader(name) {
					w.trailers = append(w.trailers, name)
				}
			}
		}
		if http1.IsToken(name) {
			fields = append(fields, field{name, values})
		} else if strings.HasPrefix(name, http.TrailerPrefix) {
			w.head.hasTrailers = true
		}
	}
	if !dated {
		b.out = append(b.out, w.exchange.conn.server.date.Line(time.Now())...)
	}
	b.out = appendFields(b.out, fields)
	b.fields = fields
	w.head.connection = len(b.out)
	if len(connection) > 0 {
		w.head.connects, w.head.closes = true, pipeline.HasToken(connection, "close")
		for _, value := range connection {
			b.out = http1.AppendField(b.out, "Connection", value)
		}
	}
	w.leaveGap(headGap)
}

// leaveGap makes room between what is in the buffer and the content that follows.
func (w *response) leaveGap(size int) {
	b := w.exchange.conn.buffers
	w.prefix = len(b.out)
	b.out = slices.Grow(b.out, size)[:w.prefix+size]
	w.content = w.prefix + size
}

// complete takes the second step: it decides how the content ends, whether the connection does with it, and appends the
// rest of the head. content is all that there is of it where last is set, and its beginning otherwise.
func (w *response) complete(out, content []byte, last bool) []byte {
	allowed := shared.HasContent(w.status)
	if last && allowed && !w.head.length && !w.head.hasTrailers && !w.head.coded && (!w.isHead || len(content) > 0) {
		w.length = int64(len(content))
	}
	ends := w.isHead || !allowed || w.length >= 0 // without a closed connection or a last chunk
	w.chunked = !ends && !w.isOld && !w.head.identity
	w.untilClose = !ends && !w.chunked
	w.closing = w.decideClose(ends)

	keeps := w.asksKeep && !w.closing && !w.head.connects
	if w.closing && !w.head.closes && w.status != http.StatusSwitchingProtocols {
		out = out[:w.head.connection]
		if !w.isOld {
			out = append(out, "Connection: close\r\n"...)
		}
	} else if keeps {
		out = append(out, "Connection: keep-alive\r\n"...)
	}
	if !w.head.typed && !w.head.coded && len(content) > 0 && allowed {
		out = http1.AppendField(out, "Content-Type", http.DetectContentType(content))
	}
	switch {
	case w.chunked:
		out = append(out, "Transfer-Encoding: chunked\r\n"...)
	case w.length >= 0 && allowed:
		out = append(out, "Content-Length: "...)
		out = strconv.AppendInt(out, w.length, 10)
		out = append(out, "\r\n"...)
	}
	return append(out, "\r\n"...)
}

// decideClose says whether the connection is closed after the answer.
func (w *response) decideClose(ends bool) bool {
	x := w.exchange
	switch {
	case w.asksClose, w.head.closes, !ends && w.isOld, w.untilClose, x.conn.turns.Last():
		return true
	case x.body.ended.Load():
		return false
	case w.expects: // whether the content still comes, nobody knows
		return true
	}
	// Some clients read no answer before they have sent all.
	return !w.fullDuplex && !x.body.discard()
}

// appendTrailers writes the fields of the trailer section (RFC 9112, section 7.1.2).
func (w *response) appendTrailers(out []byte) []byte {
	if !w.head.hasTrailers && len(w.header) == 0 {
		return out
	}
	b := w.exchange.conn.buffers
	fields := b.fields[:0]
	for _, name := range w.trailers {
		fields = append(fields, field{name, w.header[name]})
	}
	for name, values := range w.header {
		if name, ok := strings.CutPrefix(name, http.TrailerPrefix); ok && http1.IsToken(name) && httpguts.ValidTrailerHeader(name) {
			fields = append(fields, field{name, values})
		}
	}
	out = appendFields(out, fields)
	b.fields = fields
	return out
}

// appendStatus writes a status line (RFC 9112, section 4).
func appendStatus(out []byte, isOld bool, status int) []byte {
	if isOld {
		out = append(out, "HTTP/1.0 "...)
	} else {
		out = append(out, "HTTP/1.1 "...)
	}
	out = strconv.AppendInt(out, int64(status), 10)
	out = append(out, ' ')
	if text := http.StatusText(status); text != "" {
		out = append(out, text...)
	} else {
		out = append(out, "status code "...)
		out = strconv.AppendInt(out, int64(status), 10)
	}
	return append(out, "\r\n"...)
}

// appendFields writes fields in the order of their names, and lets go of them.
func appendFields(out []byte, fields []field) []byte {
	for i := 1; i < len(fields); i++ { // there are a few
		for j := i; j > 0 && fields[j].name < fields[j-1].name; j-- {
			fields[j], fields[j-1] = fields[j-1], fields[j]
		}
	}
	for i, f := range fields {
		for _, value := range f.values {
			out = http1.AppendField(out, f.name, value)
		}
		fields[i] = field{}
	}
	return out
}
