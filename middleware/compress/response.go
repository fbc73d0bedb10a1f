package compress

import (
	"errors"
	"net/http"
)

var errEnded = errors.New(Name + ": the handler of this response has returned")

// response is the ResponseWriter that the later stages write to. Like any other, it belongs to one goroutine.
type response struct {
	next     http.ResponseWriter
	request  *http.Request
	accepted coding // by the client, for whatever allows it
	rules    *rules
	streams  *streams

	status  int    // the final one, 0 before
	coding  coding // of this response, once there is a status
	sent    bool   // whether next has the status
	ended   bool
	stream  *stream // nil while there is no content
	length  int64   // the Content-Length that a compressed response had before, or unknownLength
	written int64   // bytes of content, before compression
}

func (w *response) Header() http.Header { return w.next.Header() }

// WriteHeader decides whether the response is compressed.
func (w *response) WriteHeader(status int) {
	if w.status != 0 {
		w.send()
		w.next.WriteHeader(status) // net/http logs who calls it twice
		return
	}
	if 100 <= status && status < 200 && status != http.StatusSwitchingProtocols {
		w.next.WriteHeader(status)
		return
	}
	header := w.Header()
	w.status, w.coding = status, w.decide(status, header)
	if w.coding != identity {
		w.length = contentLength(header)
		if w.length == unknownLength && header["Trailer"] == nil {
			// There may be no content at all, which is the same in each coding. So the head waits for the first byte or
			// flush, as it does in net/http's own buffer. With trailers it cannot: their values come to stand in the
			// same header.
			return
		}
	}
	w.send()
}

// decide also marks a response that depends on Accept-Encoding.
func (w *response) decide(status int, header http.Header) coding {
	if !w.rules.vary(status, header) {
		return identity
	}
	addVary(header)
	if status == http.StatusNotModified {
		matchWeakly(header, w.request.Header["If-None-Match"])
	}
	if w.accepted == identity || !w.rules.compressible(status, header) {
		return identity
	}
	return w.accepted
}

// send passes the head on.
func (w *response) send() {
	if w.sent {
		return
	}
	w.sent = true
	if w.coding != identity {
		describe(w.Header(), w.coding)
	}
	w.next.WriteHeader(w.status)
}

func (w *response) Write(p []byte) (int, error) {
	if w.ended {
		return 0, errEnded
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.coding == identity {
		return w.next.Write(p)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if w.length != unknownLength && w.written+int64(len(p)) > w.length {
		return 0, http.ErrContentLength // as net/http has it; it does not know the length any more
	}
	w.send()
	if w.stream == nil {
		w.stream = w.streams.open(w.coding, w.next)
	}
	n, err := w.stream.Write(p)
	w.written += int64(n)
	return n, err
}

// Flush serves code that looks for an http.Flusher; a [http.ResponseController] finds FlushError.
func (w *response) Flush() { _ = w.FlushError() }

func (w *response) FlushError() error {
	if w.ended {
		return errEnded
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.send()
	if w.stream != nil {
		if err := w.stream.Flush(); err != nil {
			return err
		}
	}
	return http.NewResponseController(w.next).Flush()
}

// Unwrap lets a [http.ResponseController] reach deadlines, full duplex and Hijack.
func (w *response) Unwrap() http.ResponseWriter { return w.next }

// end completes the response after its handler has returned.
func (w *response) end() {
	w.ended = true
	switch {
	case w.status == 0: // the server itself will send 200, if anything: the connection may be hijacked
		w.decide(http.StatusOK, w.Header())
	case w.coding == identity:
	case !w.sent: // no content
		w.coding = identity
		w.send()
	case w.length != unknownLength && w.written < w.length:
		// Without the Content-Length nobody after us can tell that something is missing.
		panic(http.ErrAbortHandler)
	default:
		if w.stream == nil { // no content, and the client has been told the coding: send its form of nothing
			w.stream = w.streams.open(w.coding, w.next)
		}
		_ = w.streams.end(w.stream) // it fails when the client is gone: there is nobody left to tell
		w.stream = nil
	}
}
