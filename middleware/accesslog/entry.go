package accesslog

import (
	"crypto/tls"
	"net/http"
	"strings"
	"time"

	"github.com/tricot-proxy/tricot/pipeline"
)

// entry is what the log says of one request: what the client sent, taken before later stages could change it, and how
// it ended.
type entry struct {
	state                                *pipeline.State
	method, host, path, client, protocol string
	tls                                  uint16 // 0: plain HTTP
	ended                                time.Time
	aborted                              bool
	left                                 bool // the client is gone
	debug                                bool
}

// challenges is where a CA asks for a challenge's answer (RFC 8555, section 8.3); the token follows.
const challenges = "/.well-known/acme-challenge/"

func (e *entry) appendTo(l *line) {
	state := e.state
	l.begin(e.ended)
	l.string("method", e.method)
	l.string("host", e.host)
	path := e.path
	if token, ok := strings.CutPrefix(path, challenges); ok && token != "" {
		path = challenges + "***"
	}
	l.string("path", path)
	l.int("status", int64(e.status()))
	l.int("bytes", state.Bytes)
	l.duration("duration", e.ended.Sub(state.Received))
	if !state.Answered.IsZero() {
		l.duration("backend_duration", state.Answered.Sub(state.Sent))
	}
	if b := state.Backend; b != nil && e.debug {
		l.string("backend", b.Address)
		l.string("service", b.Service)
		l.string("node", b.Node)
	}
	l.string("client", e.client)
	l.string("protocol", e.protocol)
	if e.tls != 0 {
		l.string("tls", tls.VersionName(e.tls))
	}
	if state.RequestID != "" {
		l.string("request_id", state.RequestID)
	}
	if state.Tries > 1 {
		l.int("retries", int64(state.Tries-1))
	}
	if state.Failure != nil && state.Failure.Err != nil {
		l.string("failure", state.Failure.Err.Error())
	}
	if e.aborted {
		l.true("aborted")
	}
	l.end()
}

// status is what the client got. 0 remains where it got nothing because the response was aborted before its head.
func (e *entry) status() int {
	switch state := e.state; {
	case state.Status != 0:
		return state.Status
	case e.left, state.Failure != nil && state.Failure.Status == StatusClientLeft:
		return StatusClientLeft
	case e.aborted:
		return 0
	default:
		return http.StatusOK // what net/http sends for a handler that wrote nothing
	}
}

// ip is the address of a peer without its port and brackets.
func ip(peer string) string {
	if i := strings.LastIndexByte(peer, ':'); i >= 0 {
		peer = peer[:i]
	}
	return strings.TrimSuffix(strings.TrimPrefix(peer, "["), "]")
}
