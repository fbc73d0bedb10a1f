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
			x.state = state
			x.Begin(w, x)
			next.ServeHTTP(x, r)
			x.End()
			// Not after a panic: then nobody knows who still holds it.
			x.state = nil
			pool.Put(x)
		})
	}
}

// response sets the headers just before the head of the response goes out.
type response struct {
	pipeline.HeadWriter
	state *pipeline.State
}

// SetHead implements [pipeline.HeadSetter].
func (x *response) SetHead(header http.Header) {
	if x.state.Answered.IsZero() || x.state.Backend == nil {
		return
	}
	for _, h := range x.state.Backend.Headers {
		values := h.Values
		if h.Name == "Vary" && pipeline.HasToken(header["Vary"], encoding) &&
			!pipeline.HasToken(values, encoding) && !pipeline.HasToken(values, "*") {
			values = append(slices.Clip(values), encoding)
		}
		header[h.Name] = values
	}
}
