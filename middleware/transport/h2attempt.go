package transport

import (
	"net/http"
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

	connected atomic.Bool // there is a connection, so something of the request may have been sent
	responded atomic.Bool // something of an answer has arrived
	invited   atomic.Bool // a 100 (Continue) has

	mu            sync.Mutex // held while an informational response is written
	over          chan struct{}
	informational int
}

func newAttempt(w http.ResponseWriter, r *http.Request, body *requestBody) *attempt {
	a := &attempt{w: w, r: r, body: body, over: make(chan struct{})}
	if body != nil && r.ProtoAtLeast(1, 1) && pipeline.HasToken(r.Header["Expect"], "100-continue") {
		body.wait, body.finished = a.proceed, make(chan struct{})
	}
	return a
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
func (a *attempt) inform(status int, header http.Header) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.informational++
	if a.informational > maxInformational {
		return errTooManyInformational
	}
	if a.ended() || status == http.StatusContinue { // 100 is sent when the body is wanted
		return nil
	}
	removeHopByHop(header)
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

// failure says what an error of the round trip means. The attempt must have ended.
func (a *attempt) failure(err error) *pipeline.Failure {
	return failureOf(err, a.r, a.body, a.connected.Load(), a.responded.Load(), false)
}
