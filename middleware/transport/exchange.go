package transport

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/tricot-proxy/tricot/pipeline"
)

// lingerTimeout is how long a client may take to end a request that has been answered before its end.
const lingerTimeout = 5 * time.Second

var errNoBackend = errors.New("no backend was picked for the request")

// exchange is one try to get the client an answer.
type exchange struct {
	*proxy
	w     http.ResponseWriter
	r     *http.Request
	body  *requestBody // nil where the request has none
	state *pipeline.State

	intake *intake // over HTTP/2, of a request that has a body

	// Over HTTP/1.1:

	connection *connection // nil before there is one, and when it is left
	buffers    *buffers
	upgrade    string  // what the client would like to switch to, empty where nothing
	held       []byte  // the body, where it lies in buffers.out as a whole; otherwise nil
	expects    bool    // the client waits to be asked for the body
	upload     *upload // nil unless the body is sent by a goroutine of its own
	reached    bool    // something of the request has left
	torn       bool    // the backend did not take the request as a whole
}

// end gives back what was borrowed for the exchange, and the exchange itself. What it still has of a connection is half
// read. Where reading the body has panicked, it panics in its place.
func (x *exchange) end() {
	x.body.finish()
	if x.upload != nil {
		x.upload.abandon()
		defer x.upload.rescue.rethrow()
	}
	x.drop()
	if x.buffers != nil {
		x.pools.put(x.buffers)
	}
	pools := x.pools
	*x = exchange{}
	pools.exchanges.Put(x)
}

// fail reports that there will be no answer, and answers in its place unless another backend may give one.
func (x *exchange) fail(failure *pipeline.Failure) {
	x.state.Failure = failure
	switch {
	case failure.Status == pipeline.StatusClientLeft:
		x.abort(slog.LevelDebug, "the client left before the answer")
	case failure.Repeatable && x.state.MayRetry:
		if x.held != nil { // for the next try
			x.r.Body = io.NopCloser(bytes.NewReader(bytes.Clone(x.held)))
		}
		return
	case failure.Status < http.StatusInternalServerError:
		x.report(slog.LevelDebug, "the request could not be read")
	default:
		x.report(slog.LevelWarn, "the backend gave no answer")
	}
	x.refuse(failure.Status, explanation(failure.Status))
}

// refuse answers with a short text of our own.
func (x *exchange) refuse(status int, text string) {
	x.closeAfter()
	http.Error(x.w, text, status)
	x.linger()
}

// failure says what it means that there is no answer over HTTP/1.1.
func (x *exchange) failure(err error) *pipeline.Failure {
	c := x.connection
	return failureOf(err, x.r, x.body, x.reached, c != nil && c.responded, x.held != nil)
}

// interrupted ends an answer of which a part is sent already: the client did not take more of it, or the backend gave no
// more.
func (x *exchange) interrupted(cause error, byClient bool) {
	if unread := x.body.failure(); unread != nil { // a backend cannot go on with half a request
		x.state.Failure = &pipeline.Failure{Err: unread, Status: bodyStatus(unread, x.r)}
		x.abort(slog.LevelDebug, "the request ended in the middle of the answer")
	}
	if byClient || clientEnded(x.r, x.body) != nil {
		x.state.Failure = &pipeline.Failure{Err: cause, Status: pipeline.StatusClientLeft}
		x.abort(slog.LevelDebug, "the client left in the middle of the answer")
	}
	if stalled := x.stalled(); stalled != nil {
		cause = stalled // of which the rest is the consequence
	}
	x.state.Failure = &pipeline.Failure{Err: cause, Status: http.StatusBadGateway}
	if isTimeout(cause) {
		x.state.Failure.Status = http.StatusGatewayTimeout
	}
	x.abort(slog.LevelWarn, "the backend ended in the middle of its answer")
}

// stalled is why the backend was given up that took no more of the request; nil where it was not.
func (x *exchange) stalled() error {
	if x.intake != nil {
		return x.intake.failure()
	}
	if x.upload != nil {
		if err := x.upload.failure(); isTimeout(err) {
			return err
		}
	}
	return nil
}

// abort cuts the client's connection, or its HTTP/2 stream. A plain return would end the response as if it were whole.
func (x *exchange) abort(level slog.Level, message string) {
	x.report(level, message)
	panic(http.ErrAbortHandler)
}

func (x *exchange) report(level slog.Level, message string) {
	backend := ""
	if x.state.Backend != nil {
		backend = x.state.Backend.String()
	}
	x.log.Log(x.r.Context(), level, message, "backend", backend, "cause", x.state.Failure.Err,
		"method", x.r.Method, "host", x.r.Host, "path", pipeline.Path(x.r))
}

// closeAfter makes the response the last one on an HTTP/1.1 connection where the request has not been read to its end:
// in full duplex the server trusts us that what comes next is a request, and it would be the rest of this one's body.
func (x *exchange) closeAfter() {
	if x.unread() {
		x.w.Header().Set("Connection", "close")
	}
}

// linger bounds how long the server waits for the rest of a request that has been answered.
func (x *exchange) linger() {
	if x.unread() {
		_ = http.NewResponseController(x.w).SetReadDeadline(time.Now().Add(lingerTimeout))
	}
}

func (x *exchange) unread() bool {
	return x.r.ProtoMajor == 1 && x.body != nil && !x.body.ended()
}
