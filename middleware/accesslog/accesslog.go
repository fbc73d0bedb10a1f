// Package accesslog is the stage that writes one line for each request, when it has been answered: an upgraded
// connection's at its end, an aborted response's too.
//
// It needs nothing, and is meant to be the first stage: it logs what the client sent and got. It sets nothing. It reads
// from the request's state the status and the bytes, and at debug what the balance and transport stages wrote there.
//
// Nothing that a client sends can forge a line: slog's handlers quote it. The query is left out, for it may hold secrets.
package accesslog

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/tricot-proxy/tricot/pipeline"
)

// Name is the stage's name in settings.
const Name = "access_log"

// StatusClientLeft is logged where the client was gone before there was a response. It is nobody's standard, and what
// the users of proxies know.
const StatusClientLeft = 499

// Options are the stage's settings.
type Options struct {
	// Log gets a line at info for each request, with more in it where debug is enabled. It must not be nil.
	Log *slog.Logger
}

// New makes the stage. Where the log is not enabled for info, a request passes at no cost.
func New(options Options) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return &stage{next: next, log: options.Log.Handler()}
	}
}

type stage struct {
	next http.Handler
	log  slog.Handler
}

func (s *stage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.log.Enabled(r.Context(), slog.LevelInfo) {
		s.next.ServeHTTP(w, r)
		return
	}
	state, w, r := pipeline.Enter(w, r)
	l := line{
		state:    state,
		method:   r.Method,
		host:     r.Host,
		path:     pipeline.Path(r),
		client:   ip(r.RemoteAddr),
		protocol: r.Proto,
		aborted:  true,
	}
	if r.TLS != nil {
		l.tls = r.TLS.Version
	}
	// A response that is cut short is a panic with [http.ErrAbortHandler]; it passes through here as it came.
	defer s.write(r.Context(), &l)
	s.next.ServeHTTP(w, r)
	l.aborted = false
}

// line is what the log says of one request: what the client sent, taken before later stages could change it, and how
// it ended.
type line struct {
	state                                *pipeline.State
	method, host, path, client, protocol string
	tls                                  uint16 // 0: plain HTTP
	aborted                              bool
}

// write makes the record itself, for [slog.Logger] would look up its caller in the stack and ask for the time again.
func (s *stage) write(ctx context.Context, l *line) {
	now := time.Now()
	record := slog.NewRecord(now, slog.LevelInfo, "request", 0)
	var buf [16]slog.Attr
	attrs := append(buf[:0],
		slog.String("method", l.method),
		slog.String("host", l.host),
		slog.String("path", l.path),
		slog.Int("status", l.status(ctx)),
		slog.Int64("bytes", l.state.Bytes),
		slog.Duration("duration", now.Sub(l.state.Received)),
		slog.String("client", l.client),
		slog.String("protocol", l.protocol),
	)
	if l.tls != 0 {
		attrs = append(attrs, slog.String("tls", tls.VersionName(l.tls)))
	}
	if l.aborted {
		attrs = append(attrs, slog.Bool("aborted", true))
	}
	if s.log.Enabled(ctx, slog.LevelDebug) {
		attrs = l.backend(attrs)
	}
	record.AddAttrs(attrs...)
	_ = s.log.Handle(ctx, record) // a log that cannot be written has nowhere to say so
}

// status is what the client got. 0 remains where it got nothing because the response was aborted before its head.
func (l *line) status(ctx context.Context) int {
	switch state := l.state; {
	case state.Status != 0:
		return state.Status
	case ctx.Err() != nil, state.Failure != nil && state.Failure.Status == StatusClientLeft:
		return StatusClientLeft
	case l.aborted:
		return 0
	default:
		return http.StatusOK // what net/http sends for a handler that wrote nothing
	}
}

// backend adds what is known of the backend's part.
func (l *line) backend(attrs []slog.Attr) []slog.Attr {
	state := l.state
	if b := state.Backend; b != nil {
		attrs = append(attrs, slog.String("backend", b.Address), slog.String("service", b.Service),
			slog.String("node", b.Node))
	}
	if !state.Answered.IsZero() {
		attrs = append(attrs, slog.Duration("backend_duration", state.Answered.Sub(state.Sent)))
	}
	if state.Tries > 0 {
		attrs = append(attrs, slog.Int("tries", state.Tries))
	}
	if state.Failure != nil && state.Failure.Err != nil {
		attrs = append(attrs, slog.String("failure", state.Failure.Err.Error()))
	}
	return attrs
}

// ip is the address of a peer without its port and brackets.
func ip(peer string) string {
	if i := strings.LastIndexByte(peer, ':'); i >= 0 {
		peer = peer[:i]
	}
	return strings.TrimSuffix(strings.TrimPrefix(peer, "["), "]")
}
