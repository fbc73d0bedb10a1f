package accesslog

import (
	"crypto/tls"
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
	status                               int // what the client got
	debug                                bool
}

func (e *entry) appendTo(l *line) {
	state := e.state
	l.begin(e.ended)
	l.string("method", e.method)
	l.string("host", e.host)
	l.string("path", e.path)
	l.int("status", int64(e.status))
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

// ip is the address of a peer without its port and brackets.
func ip(peer string) string {
	if i := strings.LastIndexByte(peer, ':'); i >= 0 {
		peer = peer[:i]
	}
	return strings.TrimSuffix(strings.TrimPrefix(peer, "["), "]")
}
