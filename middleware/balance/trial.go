package balance

import (
	"bufio"
	"net"
	"net/http"
	"time"

	"github.com/tricot-proxy/tricot/pipeline"
)

// trialLength is how long an answer has to last to count as one before its end.
const trialLength = time.Second

// A trial watches the answer of an ejected backend. Most count at their end, for a backend that breaks off all of its
// answers does not work; but a WebSocket or a stream of events may go on for days, and the backend is needed before.
type trial struct {
	http.ResponseWriter
	state   *pipeline.State
	picked  pick
	ejector *ejector
	passed  bool
}

func (t *trial) WriteHeader(status int) {
	t.ResponseWriter.WriteHeader(status)
	if status == http.StatusSwitchingProtocols {
		t.pass()
	}
}

func (t *trial) Write(p []byte) (int, error) {
	t.look()
	return t.ResponseWriter.Write(p)
}

// Flush serves code that looks for an http.Flusher, Hijack that which looks for an http.Hijacker.
func (t *trial) Flush() { _ = t.FlushError() }

func (t *trial) FlushError() error {
	t.look()
	return http.NewResponseController(t.ResponseWriter).Flush()
}

func (t *trial) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(t.ResponseWriter).Hijack()
}

func (t *trial) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// look passes the backend where its answer has lasted for long enough.
func (t *trial) look() {
	if !t.passed && !t.state.Answered.IsZero() && t.ejector.now().Sub(t.state.Answered) >= trialLength {
		t.pass()
	}
}

func (t *trial) pass() {
	t.passed = true
	t.ejector.succeeded(t.picked)
}
