package pipeline

import "net/http"

// A HeadSetter has a say in the head of a response.
type HeadSetter interface {
	// SetHead is called at most once for a request, just before the head of its response goes out, with what all stages
	// after this one have put into it.
	SetHead(header http.Header)
}

// A HeadWriter is the ResponseWriter of a stage that changes the head of the response when it is known what the stages
// after it leave there. That is when they call WriteHeader, Write or Flush, or none of these by their end. Informational
// responses (1xx) pass as they are, but for a 101: after that there is no other. Who takes the connection over and writes a
// head there by hand is left alone.
//
// The stage embeds it in its own ResponseWriter, which implements [HeadSetter] and may come from a pool: then a request
// allocates nothing.
//
//	x := pool.Get().(*response)
//	x.Begin(w, x)
//	next.ServeHTTP(x, r)
//	x.End() // not after a panic: then nobody knows who still holds it
//	pool.Put(x)
//
// It is for the goroutine that serves the request.
type HeadWriter struct {
	response http.ResponseWriter
	setter   HeadSetter
	done     bool // SetHead was called
}

// Begin makes it the ResponseWriter of a request, whose response goes to another one.
func (w *HeadWriter) Begin(response http.ResponseWriter, setter HeadSetter) {
	*w = HeadWriter{response: response, setter: setter}
}

// End is called when the stages after this one have returned, and leaves nothing of the request in w. Where they wrote
// nothing, the server sends the head after this.
func (w *HeadWriter) End() {
	w.setHead()
	*w = HeadWriter{}
}

func (w *HeadWriter) setHead() {
	if !w.done {
		w.done = true
		w.setter.SetHead(w.response.Header())
	}
}

func (w *HeadWriter) Header() http.Header { return w.response.Header() }

func (w *HeadWriter) WriteHeader(status int) {
	if status >= http.StatusOK || status == http.StatusSwitchingProtocols {
		w.setHead()
	}
	w.response.WriteHeader(status)
}

func (w *HeadWriter) Write(p []byte) (int, error) {
	w.setHead()
	return w.response.Write(p)
}

// Flush serves code that looks for an http.Flusher; a [http.ResponseController] finds FlushError.
func (w *HeadWriter) Flush() { _ = w.FlushError() }

// FlushError sends what there is, and so the head.
func (w *HeadWriter) FlushError() error {
	w.setHead()
	return http.NewResponseController(w.response).Flush()
}

// Unwrap lets a [http.ResponseController] reach deadlines, full duplex and Hijack.
func (w *HeadWriter) Unwrap() http.ResponseWriter { return w.response }
