package pipeline

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"time"
)

// State is what the stages tell each other about one request. It belongs to the goroutine that serves the request and
// ends with it: whoever wants something of it later copies that.
type State struct {
	// Received is when the request's head had been read.
	Received time.Time
	// RequestID is what logs, backends and traces call the request; the request_id stage sets it. Empty before.
	RequestID string
	// Route is what the request matched; the route stage sets it. Nil before, and where nothing matched.
	Route *Route
	// Backend is the one that is asked to serve the request; the balance stage sets it, again for each further try.
	Backend *Backend

	// MayRetry is set by who can send the request to another backend. The transport stage then leaves a failure that is
	// safe to repeat unanswered and only reports it in Failure: whoever set MayRetry asks another one or answers the
	// client. All other failures the transport stage answers itself.
	MayRetry bool
	// Failure is why the last try at a backend gave no answer; nil where none failed. The transport stage sets it and
	// clears it.
	Failure *Failure
	// Tries counts the backends that were asked, the last one included.
	Tries int

	// Sent is when the request was handed to the backend, Answered when the head of its answer was there; zero before.
	// Answered is zero too where the response is Tricot's own: an error, a redirect.
	Sent, Answered time.Time

	// Status is the response's, 0 until it is known. For an upgraded connection it is 101, unless who took the
	// connection over has set another before.
	Status int
	// Bytes counts the response body as it went to the client, compressed where it was; for an upgraded connection,
	// what the backend sent.
	Bytes int64
}

// Failure says why a backend gave no answer.
type Failure struct {
	// Err is the cause, Status what the client gets for it: 502, 504, or 499 where the client itself left.
	Err    error
	Status int
	// Repeatable says that another backend may be asked: this one got nothing of the request, or the request is safe to
	// send twice and its body is still whole.
	Repeatable bool
	// Unsent says that nothing of the request reached the backend: there was no connection to send it on.
	Unsent bool
}

// Enter gives the state of a request. A request that has none yet gets one, with a ResponseWriter that fills in
// Status and Bytes; for one that has, w and r come back as they are. So each stage can open with
//
//	state, w, r := pipeline.Enter(w, r)
//
// and works in the chain as well as on its own. Of the request's fields the first call takes out those that the client's
// Connection names (RFC 9110, section 7.6.1). The first call for a request allocates once (twice for an upload
// of unknown length that announces no trailers), later ones never.
func Enter(w http.ResponseWriter, r *http.Request) (*State, http.ResponseWriter, *http.Request) {
	if state := StateOf(r); state != nil {
		return state, w, r
	}
	removeNamed(r.Header)
	// A server puts trailers that nothing announced into the request that it made, where the copy would never see them. A
	// map that both have carries them across (RFC 9110, section 6.5).
	if r.Trailer == nil && r.ContentLength < 0 {
		r.Trailer = make(http.Header)
	}
	x := &exchange{Context: r.Context(), response: w, bodiless: r.Method == http.MethodHead}
	x.state.Received = time.Now()
	x.request = *r.WithContext(x)
	return &x.state, x, &x.request
}

// StateOf gives the state of a request, nil where no stage has entered yet.
func StateOf(r *http.Request) *State {
	state, _ := r.Context().Value(stateKey{}).(*State)
	return state
}

// begin makes the state before the first stage sees the request.
func begin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, w, entered := Enter(w, r)
		next.ServeHTTP(w, entered)
		// net/http removes the temporary files of a form that a stage parsed, and knows only the request that it made.
		r.MultipartForm = entered.MultipartForm
	})
}

type stateKey struct{}

// exchange holds all that Tricot keeps for one request in one allocation: the state, the request that carries it as its
// context, and the ResponseWriter that watches the answer.
type exchange struct {
	context.Context
	response http.ResponseWriter
	state    State
	request  http.Request
	bodiless bool // the answer to HEAD: net/http takes a body and sends none of it
}

func (x *exchange) Value(key any) any {
	if key == (stateKey{}) {
		return &x.state
	}
	return x.Context.Value(key)
}

// AfterFunc is what package context looks for: contexts that are derived from this one then need no goroutine to learn of
// its end, whatever kind of context the server has made.
func (x *exchange) AfterFunc(f func()) (stop func() bool) { return context.AfterFunc(x.Context, f) }

func (x *exchange) Header() http.Header { return x.response.Header() }

func (x *exchange) WriteHeader(status int) {
	x.response.WriteHeader(status) // panics for what is no status
	if status >= 200 || status == http.StatusSwitchingProtocols {
		x.answer(status)
	}
}

// answer records the response's status; the first one is what the client gets.
func (x *exchange) answer(status int) {
	if x.state.Status == 0 {
		x.state.Status = status
	}
}

func (x *exchange) Write(p []byte) (int, error) {
	x.answer(http.StatusOK)
	n, err := x.response.Write(p)
	if !x.bodiless {
		x.state.Bytes += int64(n)
	}
	return n, err
}

// Flush serves code that looks for an http.Flusher; a [http.ResponseController] finds FlushError.
func (x *exchange) Flush() { _ = x.FlushError() }

func (x *exchange) FlushError() error {
	x.answer(http.StatusOK)
	return http.NewResponseController(x.response).Flush()
}

// Hijack serves code that looks for an http.Hijacker, and knows an upgrade when it sees one.
func (x *exchange) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(x.response).Hijack()
	if err == nil {
		x.answer(http.StatusSwitchingProtocols)
	}
	return conn, buffered, err
}

// Unwrap lets a [http.ResponseController] reach deadlines and full duplex.
func (x *exchange) Unwrap() http.ResponseWriter { return x.response }
