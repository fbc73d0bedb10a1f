// Package accesslog is the stage that writes one line for each request, when it has been answered: an upgraded
// connection's at its end, an aborted response's too.
//
// It needs nothing, and is meant to be the first stage: it logs what the client sent and got. It sets nothing. From the
// request's state it reads what the other stages wrote there.
//
// # Lines
//
// A line is what slog's handlers would make of a record, in text or in JSON, so that one program reads all of a log: time
// (of the end), level, msg, then
//
//	method, host, path   as the client sent them, without the query, which may hold secrets
//	status               what the client got; 499: it left before there was anything, 0: nothing, for the response was aborted
//	bytes                of content to the client, from the backend for an upgraded connection
//	duration             from the head of the request to the end of the response
//	backend_duration     from handing the request to the backend to the head of its answer; where a backend answered
//	client               the peer's address, without its port
//	protocol, tls        such as HTTP/2.0 and TLS 1.3; no tls for plain HTTP
//	request_id           where the request_id stage is part of the pipeline
//	retries              how many backends were asked in vain before the last one; where there were any
//	failure              why the last backend gave no answer, or no whole one
//	aborted              true where the response was cut short
//
// and where debug is enabled backend, service and node. Nothing that a client sends can forge a line: it is quoted as slog
// does it. A value of more than 2048 bytes is cut, so that a few requests cannot fill the log. The token in the path of an
// ACME challenge is masked.
//
// # Output
//
// A request never waits for a disk. An [Output] takes lines into memory, and one goroutine of its own writes them.
package accesslog

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/tricot-proxy/tricot/pipeline"
)

// Name is the stage's name in settings.
const Name = "access_log"

// What a line is written in.
const (
	Text = "text" // as slog's TextHandler
	JSON = "json" // as slog's JSONHandler
)

// Options are the stage's settings.
type Options struct {
	// Log says by its level whether there are lines (info), and whether they name the backend (debug). The lines do not go
	// through it. It must not be nil.
	Log *slog.Logger
	// Format is [Text] or [JSON]; empty: JSON where Log's handler is slog's for JSON, else text.
	Format string
	// Output gets each line in one Write, from many goroutines at once; usually an [Output]. Nil: stdout, for which
	// requests then wait.
	Output io.Writer
}

// New makes the stage. Where the log is not enabled for info, a request passes at no cost. It panics where Format is none,
// which [Check] tells before.
func New(options Options) func(http.Handler) http.Handler {
	s := &stage{log: options.Log.Handler(), output: options.Output}
	if s.output == nil {
		s.output = os.Stdout
	}
	format := options.Format
	if format == "" {
		format = Text
		if _, ok := s.log.(*slog.JSONHandler); ok {
			format = JSON
		}
	}
	if err := Check(format); err != nil {
		panic(err)
	}
	s.json = format == JSON
	s.buffers = &sync.Pool{New: func() any { return &buffer{make([]byte, 0, 1024)} }}
	return func(next http.Handler) http.Handler {
		wrapped := *s
		wrapped.next = next
		return &wrapped
	}
}

// Check says whether a format is one.
func Check(format string) error {
	if format != Text && format != JSON {
		return fmt.Errorf("%s: the format is %q, and has to be %s or %s", Name, format, Text, JSON)
	}
	return nil
}

type stage struct {
	next    http.Handler
	log     slog.Handler
	output  io.Writer
	json    bool
	buffers *sync.Pool // of *buffer
}

// A buffer is what a line is put together in.
type buffer struct{ bytes []byte }

// maxKept is how large a buffer may be for the next request to have it.
const maxKept = 16 << 10

func (s *stage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.log.Enabled(r.Context(), slog.LevelInfo) {
		s.next.ServeHTTP(w, r)
		return
	}
	state, w, r := pipeline.Enter(w, r)
	e := entry{
		state:    state,
		method:   r.Method,
		host:     r.Host,
		path:     pipeline.WithoutToken(pipeline.Path(r)),
		client:   ip(r.RemoteAddr),
		protocol: r.Proto,
		aborted:  true,
	}
	if r.TLS != nil {
		e.tls = r.TLS.Version
	}
	// A response that is cut short is a panic with [http.ErrAbortHandler]; it passes through here as it came.
	defer s.write(r.Context(), &e)
	s.next.ServeHTTP(w, r)
	e.aborted = false
}

func (s *stage) write(ctx context.Context, e *entry) {
	e.ended = time.Now()
	e.status = e.state.Outcome(ctx, e.aborted)
	e.debug = s.log.Enabled(ctx, slog.LevelDebug)
	b := s.buffers.Get().(*buffer)
	l := line{buf: b.bytes[:0], json: s.json}
	e.appendTo(&l)
	_, _ = s.output.Write(l.buf) // a log that cannot be written has nowhere to say so; an Output has
	b.bytes = l.buf
	if cap(b.bytes) <= maxKept {
		s.buffers.Put(b)
	}
}
