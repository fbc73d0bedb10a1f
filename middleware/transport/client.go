package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/tricot-proxy/tricot/pipeline"
)

// limits are how long a backend may take.
type limits struct {
	head     time.Duration // from the end of the request to the head of the answer
	invite   time.Duration // to answer "Expect: 100-continue"
	progress time.Duration // between bytes, of content either way
	leaving  time.Duration // for the last piece of a body to be written after it was read
}

const (
	// graceForAnswer is how long an answer may take to come from a backend that has closed its ear.
	graceForAnswer = time.Second
	// glance is for an answer that has to be there already.
	glance = 10 * time.Millisecond
)

// overHTTP1 has the request answered over HTTP/1.1: the handler's goroutine writes it to a connection and reads the answer
// off it. first is a connection that has been made for it already; nil: one is found on the shelf, or made.
func (x *exchange) overHTTP1(s *shelf, first *connection) {
	x.connection = first
	if !canSend(x.r) {
		x.fail(&pipeline.Failure{Err: errNotSendable, Status: http.StatusBadRequest})
		return
	}
	x.buffers = x.pools.buffers.Get().(*buffers)
	x.upgrade = upgradeOf(x.r)
	x.buffers.out = appendHead(x.buffers.out[:0], x.r, x.state.Backend, x.body, x.upgrade, x.trusted)
	x.expects = x.body != nil && x.r.ProtoAtLeast(1, 1) && pipeline.HasToken(x.r.Header["Expect"], "100-continue")
	if x.body != nil && !x.expects && !x.body.chunked() && x.body.length <= maxHeld {
		if err := x.hold(); err != nil {
			x.fail(x.failure(err))
			return
		}
	}
	if err := x.ask(s); err != nil {
		x.fail(x.failure(err))
		return
	}
	x.state.Answered = time.Now()
	if x.buffers.answer.status == http.StatusSwitchingProtocols {
		x.switchProtocols()
		return
	}
	x.pass()
}

var errNotSendable = errors.New("the request's method, target or host has characters that have no place in HTTP/1.1")

// hold reads the whole body behind the head.
func (x *exchange) hold() error {
	out, length := x.buffers.out, int(x.body.length)
	if need := len(out) + length; cap(out) < need {
		out = append(make([]byte, 0, need), out...)
	}
	content := out[len(out) : len(out)+length]
	if n, err := io.ReadFull(x.body, content); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		x.body.fail(err)
		return fmt.Errorf("read the request's body, after %d bytes: %w", n, err)
	}
	if err := x.body.confirmEnd(); err != nil {
		return err
	}
	x.buffers.out, x.held = out[:len(out)+length], content
	return nil
}

// ask sends the request, and reads the answer's head. Where a connection turns out to be closed that was used before, it
// does so once more on a new one if nothing has been sent, or if it makes no difference.
func (x *exchange) ask(s *shelf) error {
	ctx, now := x.r.Context(), time.Now()
	x.state.Sent = now
	if x.connection == nil {
		x.connection = x.connections.take(s, now)
	} else {
		x.connection.shelf = s
	}
	if x.connection != nil {
		err := x.try(ctx, now)
		if err == nil {
			return nil
		}
		if !x.connection.reused || !x.again(err) {
			return err
		}
		x.drop()
	}
	var err error
	if x.connection, err = x.connections.fresh(ctx, s); err != nil {
		return err
	}
	return x.try(ctx, time.Now())
}

// again says whether a failed try on a connection that was used before may be repeated.
func (x *exchange) again(err error) bool {
	if x.body.failure() != nil || errors.Is(err, os.ErrDeadlineExceeded) || x.r.Context().Err() != nil {
		return false
	}
	var unsent errNothingSent
	switch {
	case errors.As(err, &unsent):
		return true
	case x.connection.responded, !idempotent(x.r.Method):
		return false
	case x.upload != nil:
		return x.held == nil && x.upload.withdraw()
	}
	return x.held != nil || !x.body.touched()
}

// errNothingSent is why not a byte of a request left.
type errNothingSent struct{ error }

func (e errNothingSent) Unwrap() error { return e.error }

// try sends the request on the connection, and reads heads up to that of the final answer.
func (x *exchange) try(ctx context.Context, now time.Time) error {
	c := x.connection
	c.begin(ctx, now, now.Add(x.limits.head), x.limits.progress)
	x.buffers.in.Reset(c)
	x.torn = false
	sent := x.send()
	if sent != nil {
		if unsent := (errNothingSent{}); errors.As(sent, &unsent) {
			return sent
		}
		x.torn = true // the backend may have answered before it closed, or without reading
		c.settle()
		grace := graceForAnswer
		if isTimeout(sent) {
			grace = glance
		}
		c.until = time.Now().Add(grace)
	} else if x.expects && x.upload == nil {
		if err := x.awaitInvitation(now); err != nil {
			return err
		}
	}
	err := x.readHeads()
	switch {
	case err == nil:
	case sent != nil && !c.responded:
		return sent
	case x.upload != nil && x.upload.failure() != nil:
		return x.upload.failure()
	default:
		return fmt.Errorf("read the answer: %w", err)
	}
	if x.upload != nil {
		x.upload.answered()
		c.readDeadline = time.Time{} // whatever it has set
	}
	c.stream(x.limits.progress)
	return nil
}

// send writes the head and a body that is held, and lets another body follow.
func (x *exchange) send() error {
	c := x.connection
	c.tcp.defers = x.held != nil // the backend may answer without reading it
	n, err := c.Write(x.buffers.out)
	c.tcp.defers = false
	x.reached = x.reached || n > 0
	switch {
	case err != nil && n == 0:
		return errNothingSent{fmt.Errorf("send the request: %w", err)}
	case err != nil:
		return fmt.Errorf("send the request: %w", err)
	}
	switch {
	case x.body != nil && x.held == nil && (!x.expects || x.upload != nil), len(c.tcp.deferred) > 0:
		x.startUpload()
	case !c.hasty: // it took its time, which is not the answer's
		c.until = time.Now().Add(x.limits.head)
	}
	return nil
}

// readHeads passes informational responses on until the final answer comes, or the switch to another protocol.
func (x *exchange) readHeads() error {
	for informational := 0; ; informational++ {
		if err := readAnswer(x.buffers, x.r.Method); err != nil {
			return err
		}
		a := &x.buffers.answer
		switch {
		case a.status >= http.StatusOK, a.status == http.StatusSwitchingProtocols:
			return nil
		case informational == maxInformational:
			return errTooManyInformational
		case a.status == http.StatusContinue:
			x.invite()
		default:
			fields := make(http.Header)
			a.addTo(fields)
			inform(x.w, x.r, a.status, fields)
		}
	}
}

// awaitInvitation waits for the answer to "Expect: 100-continue", and sends the body unasked where there is none.
func (x *exchange) awaitInvitation(now time.Time) error {
	c := x.connection
	c.settle()
	c.until = now.Add(x.limits.invite)
	_, err := x.buffers.in.Peek(1)
	switch {
	case err == nil:
		c.until = now.Add(x.limits.head)
	case errors.Is(err, os.ErrDeadlineExceeded):
		x.invite()
	default:
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}

// invite asks the client for the body that it holds back.
func (x *exchange) invite() {
	if !x.expects || x.upload != nil {
		return
	}
	if x.r.ProtoMajor == 1 { // reading does it, too, but beside whatever the handler's goroutine writes
		x.w.WriteHeader(http.StatusContinue)
	}
	x.startUpload()
}

// startUpload sends what is left of the request while the answer is read.
func (x *exchange) startUpload() {
	c := x.connection
	c.settle()
	c.until = time.Time{} // the upload sets it when it has come to its end
	c.setReadDeadline(c.until)
	if x.upload != nil { // it was begun for another connection
		x.upload.redirect(c)
		return
	}
	x.upload = &upload{body: x.body, deferred: c.tcp, to: c, limits: x.limits, pools: x.pools, done: make(chan struct{})}
	x.body.rescue = &x.upload.rescue
	go x.upload.run()
}

// leave gives the connection up when nothing more is to be read from it: for the next request, where it is fit for one.
func (x *exchange) leave(now time.Time) {
	c := x.connection
	fit := x.buffers.answer.lasting && !x.torn && x.buffers.in.Buffered() == 0 && x.sent() && c.release()
	if !fit {
		x.drop()
		return
	}
	x.connection = nil
	x.connections.keep(c, now)
}

// sent says whether the backend has got the whole request.
func (x *exchange) sent() bool {
	if x.upload != nil {
		return x.upload.whole()
	}
	return x.body == nil || x.held != nil
}

// drop closes the connection.
func (x *exchange) drop() {
	if c := x.connection; c != nil {
		x.connection = nil
		c.release()
		c.cut()
	}
}
