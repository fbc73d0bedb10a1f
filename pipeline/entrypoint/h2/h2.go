// Package h2 serves HTTP/2 (RFC 9113) on one connection whose TLS handshake has agreed on it.
//
// It gives a handler all that net/http's server gives one, less push: what it may do with the request and the
// ResponseWriter is what net/http's documentation says, and an [http.ResponseController] finds Flush, deadlines and full
// duplex. How it works:
//
//   - One goroutine reads a connection's frames. Each request is served by a goroutine of a pool that all connections
//     share, whose stacks have grown to what handlers need.
//   - Nobody waits to write but who writes. A handler puts its frames behind those of the others; one goroutine at a time
//     sends what is there, the others go on meanwhile, up to a bound. Before an answer that is complete is sent, all others
//     that can be completed at once are, so that they leave in one record of TLS and one system call.
//   - It is strict. A request that is malformed (section 8.1.1) never gets to a handler. Where its fields break the rules of
//     HTTP/2 its stream is reset; where what they say is no request it is answered with 400, and one that is too large with
//     431.
//   - What a client can make it do is bounded: streams, handlers that have not answered (also those of streams that were
//     reset), the streams that it resets, or has reset, before they are answered (a thousand at once and 33 in a second), the
//     content and fields that wait, and the answers to control frames that the client does not read.
//   - What a handler has written may wait, up to 48 KiB of it, until there is more, the answer is complete, or Flush.
//   - Nothing is kept for a connection that waits for its next request but its goroutine, a struct and the tables of HPACK:
//     buffers are taken from a pool when the first byte is there.
//
// What a handler may keep after it returned is what it may keep of net/http's: the request, its URL and its fields. The
// ResponseWriter and the body fail then.
package h2

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/tricot-proxy/tricot/pipeline/entrypoint/exchange"
)

// The limits of a connection. A client may have more requests in flight than a browser ever has. One stalled upload can
// hold a third of its connection's window, so that others go on beside it; with 1 MiB on the way an upload over 50 ms of
// round trip reaches 20 MB/s.
const (
	maxStreams          = 250
	uploadPerStream     = 1 << 20 // bytes
	uploadPerConnection = 3 << 20 // bytes
)

// Options are a server's settings.
type Options struct {
	// Handler serves the requests. Where it panics with anything but [http.ErrAbortHandler], that is logged with its
	// stack; the stream is reset in any case.
	Handler http.Handler
	// ReadHeaderTimeout is for the client's preface, and for a request's head from its first frame.
	ReadHeaderTimeout time.Duration
	// IdleTimeout is how long a connection may be without a stream; it may be a sixteenth longer.
	IdleTimeout time.Duration
	// ProgressTimeout is how long a handler waits for a client that makes no room for the answer, or, before the answer has
	// begun, sends nothing of the content that it has announced. 0: without end.
	ProgressTimeout time.Duration
	// MaxHeaderBytes limits a request's head, as RFC 9113, section 6.5.2 counts SETTINGS_MAX_HEADER_LIST_SIZE. A longer one
	// gets a 431; where it is more than twice as long as it comes, the connection is closed. 0: 1 MiB.
	MaxHeaderBytes int
	// Parent is what handlers find under [http.ServerContextKey]; nil: nothing.
	Parent *http.Server
	// Log must not be nil. What clients do wrong is at debug.
	Log *slog.Logger
}

// A Gatherer is a connection below TLS that can send several records with one system call; package tls makes one for each.
// Between Hold and Release, what is written may wait.
type Gatherer interface {
	Hold()
	Release() error
}

// A Server serves connections. It may be used by many goroutines at once.
type Server struct {
	options Options
	linger  time.Duration    // lingerTimeout, but in tests
	grace   time.Duration    // lastRequests, but in tests
	now     func() time.Time // time.Now, but in tests
	date    exchange.Date
	workers workers
	pools   pools

	mu       sync.Mutex
	conns    map[*conn]struct{}
	draining bool
}

const (
	// lingerTimeout is how long a client gets to read why its connection is closed, and lingerAfterAnswer where nothing is
	// wrong.
	lingerTimeout, lingerAfterAnswer = 5 * time.Second, time.Second
	// lastRequests is how long a shutdown waits at most for the requests that a client sent before it knew of it.
	lastRequests = time.Second
)

// NewServer gives a server with these settings.
func NewServer(options Options) *Server {
	if options.MaxHeaderBytes == 0 {
		options.MaxHeaderBytes = http.DefaultMaxHeaderBytes
	}
	s := &Server{options: options, linger: lingerTimeout, grace: lastRequests, now: time.Now, conns: make(map[*conn]struct{})}
	s.pools.init()
	return s
}

// Serve serves a connection until it ends and closes it. Handlers may still run then; their requests' contexts are done.
// The connection to the client, below TLS, should be a *[net.TCPConn] or have one embedded, and be a [Gatherer] besides.
func (s *Server) Serve(client *tls.Conn) {
	c := newConn(s, client)
	s.mu.Lock()
	s.conns[c] = struct{}{}
	draining := s.draining
	s.mu.Unlock()
	if draining {
		c.drain()
	}
	c.serve()
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
}

// Drain has each connection end with the requests that are on their way: clients are told by GOAWAY (section 6.8), first
// that no more of them are wanted, and a round trip later, or a second, which was the last one. It returns at once.
func (s *Server) Drain() {
	s.mu.Lock()
	s.draining = true
	conns := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		c.drain()
	}
}

// Close ends the goroutines that wait for work. It is for a server whose connections have been closed.
func (s *Server) Close() { s.workers.close() }
