// Package headers is the stage that sets the response headers that a service asks for with its tricot-add-header tags.
//
// It needs the route stage before it, and acts on what the balance and transport stages after it leave in the request's
// [pipeline.State]: on a response that comes from a backend (Answered is set), each of that backend's Headers replaces
// what the backend itself sent under that name. A name with several values gives several fields. One thing stays: where
// Vary listed Accept-Encoding it goes on to, for the compress stage may have chosen the coding by it, and a cache that is not
// told hands the compressed response to clients that cannot read it (RFC 9110, section 12.5.5).
//
// Responses of Tricot's own (an error, a redirect) keep what they have, and so do informational ones (1xx): they are
// not the response. A 101 is one, so a WebSocket handshake carries the headers too. Trailers are left alone.
//
// It sets nothing in the state.
package headers

import (
	"net/http"
	"slices"
	"sync"

	"github.com/tricot-proxy/tricot/pipeline"
)

// Name is what settings call the stage.
const Name = "headers"

// Needs is the stage that has to be before it.
const Needs = "route"

// encoding is what stays in Vary.
const encoding = "Accept-Encoding"

// New gives the stage. It may be used by many goroutines at once and allocates nothing for a request.
func New() func(next http.Handler) http.Handler {
	pool := &sync.Pool{New: func() any { return new(response) }}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			state, w, r := pipeline.Enter(w, r)
			x := pool.Get().(*response)
			x.ResponseWriter, x.state, x.begun = w, state, false
			next.ServeHTTP(x, r)
			// A handler that wrote nothing leaves the head to the server, which sends it after this.
			x.begin()
			// Not after a panic: then nobody knows who still holds it.
			x.ResponseWriter, x.state = nil, nil
			pool.Put(x)
		})
	}
}

// response sets the headers just before the head of the response goes out.
type response struct {
	http.ResponseWriter
	state *pipeline.State
	begun bool
}

func (x *response) begin() {
	if x.begun {
		return
	}
	x.begun = true
	if x.state.Answered.IsZero() || x.state.Backend == nil {
		return
	}
	header := x.ResponseWriter.Header()
	for _, h := range x.state.Backend.Headers {
		values := h.Values
		if h.Name == "Vary" && pipeline.HasToken(header["Vary"], encoding) &&
			!pipeline.HasToken(values, encoding) && !pipeline.HasToken(values, "*") {
			values = append(slices.Clip(values), encoding)
		}
		header[h.Name] = values
	}
}

func (x *response) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		x.begin()
	}
	x.ResponseWriter.WriteHeader(status)
}

func (x *response) Write(p []byte) (int, error) {
	x.begin()
	return x.ResponseWriter.Write(p)
}

// Flush serves code that looks for an http.Flusher; a [http.ResponseController] finds FlushError.
func (x *response) Flush() { _ = x.FlushError() }

func (x *response) FlushError() error {
	x.begin()
	return http.NewResponseController(x.ResponseWriter).Flush()
}

// Unwrap lets a [http.ResponseController] reach deadlines, full duplex and Hijack.
func (x *response) Unwrap() http.ResponseWriter { return x.ResponseWriter }
