// Package h1 serves HTTP/1.1 (RFC 9112) and HTTP/1.0 on one connection, plain or TLS.
//
// It gives a handler all that net/http's server gives one: what it may do with the request and the ResponseWriter is what
// net/http's documentation says, and an [http.ResponseController] finds Flush, Hijack, deadlines and full duplex. What it
// does otherwise:
//
//   - It is strict. What package http1 calls an error is refused with an answer and the end of the connection, and nothing
//     after it is read as a request; so are a Host field that is missing, repeated or no host, a target that has none of
//     the four forms, and an expectation other than "100-continue". A refused request never gets to the handler.
//   - No goroutine watches the client while a request is served. The first call of Done, Err or AfterFunc on the request's
//     context starts one, or [context.WithCancel] and its like, which call them. It ends with the request, and cannot see
//     the client leave before the request's content has been read, or behind a further request.
//   - Nothing is kept for a connection that waits for its next request but its goroutine and a struct: buffers are taken
//     from a pool when the first byte is there.
//   - A request's head gives the fields that the client sent and no others: "Pragma: no-cache" brings no Cache-Control.
//   - Informational responses are not sent to HTTP/1.0 clients (RFC 9110, section 15.2).
//   - Where the rest of a request's content is read before the answer, or discarded after it, that has a time limit. An
//     answer that is sent while the client still sends is not lost: the connection is closed in two steps (RFC 9112,
//     section 9.6).
//
// What a handler may keep after it returned is what it may keep of net/http's: the request, its URL and its fields. They
// are made anew for each request, in one piece with what the server needs for it. The ResponseWriter and the body fail
// then.
package h1

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	shared "github.com/tricot-proxy/tricot/pipeline/entrypoint/exchange"
)

// Options are a server's settings.
type Options struct {
	// Handler serves the requests. Where it panics with anything but [http.ErrAbortHandler], that is logged with its
	// stack; the connection is cut in any case.
	Handler http.Handler
	// ReadHeaderTimeout is for a request's head: the first one's from the beginning, a further one's from its first bytes.
	ReadHeaderTimeout time.Duration
	// IdleTimeout is how long a connection may wait for its next request; it may wait a sixteenth longer.
	IdleTimeout time.Duration
	// ProgressTimeout must be positive. It is how long a client that has not got the beginning of an answer may send nothing
	// of a request's content while that is waited for; it may wait a sixteenth longer, and over TLS what counts is a whole
	// record. Then reading fails with a StallError of package exchange, and the connection is closed after the answer. A
	// deadline that the handler sets holds in its place.
	ProgressTimeout time.Duration
	// MaxHeaderBytes limits a request's head. 0: 1 MiB.
	MaxHeaderBytes int
	// Parent is what handlers find under [http.ServerContextKey]; nil: nothing.
	Parent *http.Server
	// Log must not be nil. What clients do wrong is at debug.
	Log *slog.Logger
}

// Turns is how the one who closes connections and the server agree on when this one ends.
type Turns interface {
	// Begin is called when a request has been read, End when it has been answered and another one may come. Where they
	// are false, the connection is closed.
	Begin() bool
	End() bool
	// Last says whether the answer that is about to be sent is the connection's last one.
	Last() bool
}

// A Gatherer is a connection below TLS that can send several records with one system call; package tls makes one for each.
// Between Hold and Release, what is written may wait.
type Gatherer interface {
	Hold()
	Release() error
}

// A BuffersWriter is a plain connection to a client that writes several pieces as one itself, which [net.Buffers] do by
// themselves only for those of package net. What is written is taken from the pieces.
type BuffersWriter interface {
	WriteBuffers(pieces *net.Buffers) (int64, error)
}

// A Server serves connections. It may be used by many goroutines at once.
type Server struct {
	options Options
	linger  time.Duration
	buffers sync.Pool // of *buffers
	date    shared.Date
}

// lingerTimeout is how long what is left of a request is waited for, so that its client sees the answer.
const lingerTimeout = 5 * time.Second

// NewServer gives a server with these settings.
func NewServer(options Options) *Server {
	if options.MaxHeaderBytes == 0 {
		options.MaxHeaderBytes = http.DefaultMaxHeaderBytes
	}
	s := &Server{options: options, linger: lingerTimeout}
	s.buffers.New = func() any { return newBuffers() }
	return s
}

// Serve serves a connection until it ends and closes it, unless a handler has taken it over. One with TLS is a *[tls.Conn]
// whose handshake is through. The connection to the client, below TLS, should be a *[net.TCPConn] or have one embedded,
// and with TLS be a [Gatherer] besides. How long a client may take nothing of an answer is that connection's to say.
func (s *Server) Serve(client net.Conn, turns Turns) {
	c := &conn{server: s, client: client, below: client, turns: turns, remote: client.RemoteAddr().String()}
	if t, ok := client.(*tls.Conn); ok {
		state := t.ConnectionState()
		c.below, c.tls = t.NetConn(), &state
	} else {
		c.poll.init(client)
	}
	c.serve()
}
