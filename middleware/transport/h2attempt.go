package transport

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tricot-proxy/tricot/pipeline"
)

// headGrace is how long the rest of a head may take to follow its first byte before a body that waits for it is sent.
const headGrace = time.Second

// attempt is what the round trip reports while it lasts, from goroutines of its own. Informational responses go to the
// client from here, so nothing else may write to it before the attempt has ended.
type attempt struct {
	w    http.ResponseWriter
	r    *http.Request
	body *requestBody // nil where the request has none

	intake *intake // nil where body is
	rescue rescue  // for what runs on those goroutines

	connections *Connections
	shelf       *shelf
	connection  *sharedConnection // nil before there is one, and when it is released

	sent      atomic.Bool // something of the request may have been
	responded atomic.Bool // something of an answer has arrived
	invited   atomic.Bool // a 100 (Continue) has

	mu            sync.Mutex // held while an informational response is written
	over          chan struct{}
	informational int
}

func newAttempt(x *exchange, s *shelf) *attempt {
	a := &attempt{w: x.w, r: x.r, body: x.body, connections: x.connections, shelf: s, over: make(chan struct{})}
	body, r := x.body, x.r
	if body != nil {
		body.rescue = &a.rescue
	}
	if body != nil && r.ProtoAtLeast(1, 1) && pipeline.HasToken(r.Header["Expect"], "100-continue") {
		body.wait, body.finished = a.proceed, make(chan struct{})
	}
	return a
}

// trace makes the round trip report to the attempt.
func (a *attempt) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteHeaders:         func() { a.sent.Store(true) },
		GotFirstResponseByte: func() { a.responded.Store(true) },
		Got100Continue:       func() { a.invited.Store(true) },
		Got1xxResponse: func(status int, header textproto.MIMEHeader) error {
			a.responded.Store(true)
			return a.inform(status, http.Header(header))
		},
		WroteRequest: func(httptrace.WroteRequestInfo) { a.wrote() },
	})
}

// wrote says that the whole request has been sent, or that no more of it will be on this connection.
func (a *attempt) wrote() {
	if a.intake != nil {
		a.intake.wait()
	}
}

// end returns when nothing of the attempt writes to the client any more.
func (a *attempt) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	close(a.over)
}

func (a *attempt) ended() bool {
	select {
	case <-a.over:
		return true
	default:
		return false
	}
}

// inform passes a 1xx response on with its fields. The error ends the round trip.
func (a *attempt) inform(status int, header http.Header) (err error) {
	defer a.rescue.catch(&err)
	a.mu.Lock()
	defer a.mu.Unlock()
	if status == http.StatusSwitchingProtocols { // RFC 9113, section 8.6
		return errSwitchOverHTTP2
	}
	a.informational++
	if a.informational > maxInformational {
		return errTooManyInformational
	}
	if a.ended() || status == http.StatusContinue { // 100 is sent when the body is wanted
		return nil
	}
	removeHopByHop(header)
	delete(header, "Content-Length") // RFC 9110, section 8.6
	inform(a.w, a.r, status, header)
	return nil
}

// proceed says whether the client may be asked for the body that it holds back, and asks for it. After the answer it is
// too late: that may have been given because the body is not wanted.
func (a *attempt) proceed() bool {
	if a.answering() {
		// net/http reads the body when the head of an answer is there as well as when it has waited long enough.
		select {
		case <-a.over:
		case <-time.After(headGrace):
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended() {
		return false
	}
	// Reading from the body does this too, but on HTTP/1.1 it would write to the connection beside inform.
	if a.r.ProtoMajor == 1 {
		a.w.WriteHeader(http.StatusContinue)
	}
	return true
}

// answering says whether what has arrived can only be the answer itself.
func (a *attempt) answering() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.responded.Load() && !a.invited.Load() && a.informational == 0
}

// take notes the connection that the request goes on.
func (a *attempt) take(c *sharedConnection) { a.connection = c }

// release gives the connection back. The stream must have ended.
func (a *attempt) release() {
	if a.connection != nil {
		a.connections.release(a.shelf, a.connection, time.Now())
		a.connection = nil
	}
}

// spoil makes the connection end with the requests that have it: what the backend has said on it makes no sense.
func (a *attempt) spoil() {
	a.responded.Store(true)
	a.connections.spoil(a.shelf, a.connection)
}

// mayRepeat says whether a failed round trip may have another, as far as the client and the answer go.
func (a *attempt) mayRepeat(err error) bool {
	return !a.responded.Load() && !a.body.touched() && a.body.failure() == nil && !isTimeout(err) && a.r.Context().Err() == nil
}

// hasLost says whether the round trip failed with its connection, and whether that makes no difference.
func (a *attempt) hasLost(c *sharedConnection) bool {
	if !a.sent.Load() {
		return c.http2.Available() == 0 // it may be about to end, too
	}
	return c.http2.Err() != nil && idempotent(a.r.Method)
}

// failure says what an error of the round trip means. The attempt must have ended.
func (a *attempt) failure(err error) *pipeline.Failure {
	responded := a.responded.Load() // may be known before what has been sent is
	failure := failureOf(err, a.r, a.body, responded || a.sent.Load(), responded, false)
	if isUnprocessed(err) && a.mayRepeat(err) { // Unsent it is not: refusing is work, too
		failure.Repeatable = true
	}
	return failure
}
