package h1

import (
	"net/http"

	"github.com/tricot-proxy/tricot/pipeline/http1"
)

// inform sends an informational response with the fields that are set so far (RFC 9110, section 15.2).
func (w *response) inform(status int) {
	if w.isOld {
		return
	}
	w.continuing.Lock()
	defer w.continuing.Unlock()
	if status == http.StatusContinue {
		w.mayContinue = false
	}
	c := w.exchange.conn
	out := appendStatus(c.buffers.out[:0], false, status)
	fields := c.buffers.fields[:0]
	for name, values := range w.header {
		if name != "Content-Length" && name != "Transfer-Encoding" && http1.IsToken(name) {
			fields = append(fields, field{name, values})
		}
	}
	out = appendFields(out, fields)
	c.buffers.fields = fields
	out = append(out, "\r\n"...)
	w.write(out)
	c.buffers.out = out[:0]
}

// sendContinue asks the client for the content, unless that has been done, or the answer is on its way.
func (w *response) sendContinue() {
	if !w.expects {
		return
	}
	w.continuing.Lock()
	defer w.continuing.Unlock()
	if w.mayContinue {
		w.mayContinue = false
		_, _ = w.exchange.conn.client.Write([]byte("HTTP/1.1 100 Continue\r\n\r\n")) // the read will fail, too
	}
}

// stopContinue has the content not asked for any more.
func (w *response) stopContinue() {
	if w.expects {
		w.continuing.Lock()
		w.mayContinue = false
		w.continuing.Unlock()
	}
}
