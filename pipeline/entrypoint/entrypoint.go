// Package entrypoint is a listening address: HTTP, or HTTPS with HTTP/1.1 (RFC 9112) and HTTP/2 (RFC 9113) by ALPN.
//
// It stands on net/http's server and adds what a proxy that faces the internet needs besides: a time-out for the
// handshake, a limit on connections that makes clients wait instead of refusing them, accept errors that are survived,
// a shutdown that waits for upgraded connections too, and a log that says once what goes wrong.
package entrypoint

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// HTTP/2's limits. A client may have more requests in flight than a browser ever has. One stalled upload can hold a
// third of its connection's window, so that others go on beside it; with 1 MiB on the way an upload over 50 ms of
// round trip reaches 20 MB/s. The frame size bounds the buffer that each connection keeps for reading.
const (
	concurrentStreams   = 250
	uploadPerStream     = 1 << 20 // bytes
	uploadPerConnection = 3 << 20 // bytes; net/http takes less than 4 MiB
	readFrame           = 64 << 10
)

// Options are an entrypoint's settings.
type Options struct {
	// Name is "http" or "https": what logs call the entrypoint, and its section of the settings.
	Name string
	// Addr is host:port. Without a host it is every address of the machine.
	Addr string
	// Handler serves the requests. A panic of its is logged at error with the stack, and closes the connection or the
	// stream; [http.ErrAbortHandler] does so silently. "OPTIONS *" gets to it as any other request does.
	Handler http.Handler
	// TLS holds what chooses certificates; nil for plain HTTP. It is copied. The entrypoint sets the protocols of ALPN,
	// and TLS 1.2 as the lowest version where the configuration names none or a lower one.
	TLS *tls.Config

	// ReadHeaderTimeout is for a request's head: for the first one from the connection's start (after the handshake),
	// for further ones from their first bytes. IdleTimeout is for the wait between requests, HandshakeTimeout for the
	// TLS handshake. All must be positive.
	ReadHeaderTimeout, IdleTimeout, HandshakeTimeout time.Duration

	// MaxHeaderBytes limits a request's head, within 4 KiB; a longer one gets a 431. 0: 1 MiB.
	MaxHeaderBytes int
	// MaxConnections limits open connections, those in a handshake and upgraded ones included. Further ones wait in the
	// system's queue until one closes. 0: no limit.
	MaxConnections int

	// Log must not be nil. What clients do wrong is at debug.
	Log *slog.Logger
}

// An Entrypoint is an open port. Its methods may be called from several goroutines; Serve once.
type Entrypoint struct {
	name     string
	server   *http.Server
	listener *listener
	requests *requests

	ending context.Context // done when Close was called
	end    context.CancelFunc
	once   sync.Once
	cut    int // requests that were cut off, once ending is done
}

// Listen opens the port. Connections wait in the system's queue until Serve. The error says what to do about it, and
// wraps the system's.
func Listen(options Options) (*Entrypoint, error) {
	if err := check(options); err != nil {
		return nil, err
	}
	inner, err := net.Listen("tcp", options.Addr)
	if err != nil {
		return nil, &listenError{setting: options.Name + ".bind_addr", addr: options.Addr, err: err}
	}
	return open(options, inner), nil
}

func check(options Options) error {
	for _, timeout := range []struct {
		name  string
		value time.Duration
	}{
		{"read-header", options.ReadHeaderTimeout},
		{"idle", options.IdleTimeout},
		{"handshake", options.HandshakeTimeout},
	} {
		if timeout.value <= 0 {
			return fmt.Errorf("%s: %s time-out %s: must be positive", options.Name, timeout.name, timeout.value)
		}
	}
	if options.MaxHeaderBytes < 0 {
		return fmt.Errorf("%s: header limit %d: must not be negative", options.Name, options.MaxHeaderBytes)
	}
	if options.MaxConnections < 0 {
		return fmt.Errorf("%s: connection limit %d: must not be negative", options.Name, options.MaxConnections)
	}
	return nil
}

// open makes an entrypoint of a listener for TCP.
func open(options Options, inner net.Listener) *Entrypoint {
	log := options.Log.With("entrypoint", options.Name)
	e := &Entrypoint{
		name:     options.Name,
		requests: &requests{next: options.Handler, log: log, done: make(chan struct{}, 1)},
	}
	e.ending, e.end = context.WithCancel(context.Background())
	e.listener = newListener(inner, options, log)
	e.server = newServer(options, e.requests, log)
	e.server.ConnState = e.listener.observe
	if options.TLS != nil {
		e.listener.tls = e.server.TLSConfig
	}
	return e
}

func newServer(options Options, handler http.Handler, logger *slog.Logger) *http.Server {
	server := &http.Server{
		Handler:                      handler,
		DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout:            options.ReadHeaderTimeout,
		IdleTimeout:                  options.IdleTimeout,
		MaxHeaderBytes:               options.MaxHeaderBytes,
		ErrorLog:                     log.New(&errorLog{log: logger}, "", 0),
		Protocols:                    new(http.Protocols),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          concurrentStreams,
			MaxReceiveBufferPerStream:     uploadPerStream,
			MaxReceiveBufferPerConnection: uploadPerConnection,
			MaxReadFrameSize:              readFrame,
		},
	}
	server.Protocols.SetHTTP1(true)
	if options.TLS != nil {
		server.Protocols.SetHTTP2(true)
		server.TLSConfig = options.TLS.Clone()
		server.TLSConfig.NextProtos = []string{"h2", "http/1.1"}
		server.TLSConfig.MinVersion = max(server.TLSConfig.MinVersion, tls.VersionTLS12)
	}
	return server
}

// Name is that of the options.
func (e *Entrypoint) Name() string { return e.name }

// Addr is the address that is listened on.
func (e *Entrypoint) Addr() net.Addr { return e.listener.Addr() }

// Serve serves until Shutdown or Close is called; then it returns nil at once, while Shutdown still waits.
func (e *Entrypoint) Serve() error {
	if err := e.server.Serve(e.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("%s: serve %s: %w", e.name, e.Addr(), err)
	}
	return nil
}
