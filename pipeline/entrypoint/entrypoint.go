// Package entrypoint is a listening address: HTTP, or HTTPS with HTTP/1.1 (RFC 9112) and HTTP/2 (RFC 9113) by ALPN.
//
// HTTP/1.1 is package h1's, HTTP/2 is package h2's. What a proxy that faces the internet needs besides is here: a time-out
// for the handshake, a limit on connections that makes clients wait instead of refusing them, accept errors that are
// survived, a shutdown that waits for upgraded connections too, and a log that says once what goes wrong.
package entrypoint

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/tricot-proxy/tricot/pipeline/entrypoint/h1"
	"github.com/tricot-proxy/tricot/pipeline/entrypoint/h2"
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

	// Handshake is told of the end of each TLS handshake: of its state, or of the error that it failed with. It is called by
	// the connection's goroutine, and should return at once. May be nil.
	Handshake func(state tls.ConnectionState, err error)

	// ReadHeaderTimeout is for a request's head: for the first one from the connection's start (after the handshake),
	// for further ones from their first bytes. IdleTimeout is for the wait between requests, HandshakeTimeout for the
	// TLS handshake. ProgressTimeout is how long a client may take no byte of what waits to be sent to it, or, before it has
	// got the beginning of an answer, send no byte of the content that it has announced while that is waited for; one that
	// stops is found out after once to three times that time. All must be positive.
	ReadHeaderTimeout, IdleTimeout, HandshakeTimeout, ProgressTimeout time.Duration

	// MaxHeaderBytes limits a request's head; a longer one gets a 431. 0: 1 MiB.
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
	log      *slog.Logger
	listener *listener
	requests *requests

	handshaken  func(tls.ConnectionState, error) // may be nil
	http1       *h1.Server
	http2       *h2.Server
	connections gauge // that these serve

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
		{"progress", options.ProgressTimeout},
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
		name:        options.Name,
		log:         log,
		listener:    newListener(inner, options, log),
		requests:    &requests{gauge: newGauge(), next: options.Handler, log: log},
		connections: newGauge(),
		handshaken:  options.Handshake,
	}
	e.ending, e.end = context.WithCancel(context.Background())
	e.listener.tls = forClients(options.TLS)
	parent := &http.Server{Addr: options.Addr, Handler: options.Handler, TLSConfig: e.listener.tls} // that handlers find
	e.http1 = h1.NewServer(h1.Options{
		Handler:           e.requests,
		ReadHeaderTimeout: options.ReadHeaderTimeout,
		IdleTimeout:       options.IdleTimeout,
		ProgressTimeout:   options.ProgressTimeout,
		MaxHeaderBytes:    options.MaxHeaderBytes,
		Parent:            parent,
		Log:               log,
	})
	e.http2 = h2.NewServer(h2.Options{
		Handler:           e.requests,
		ReadHeaderTimeout: options.ReadHeaderTimeout,
		IdleTimeout:       options.IdleTimeout,
		ProgressTimeout:   options.ProgressTimeout,
		MaxHeaderBytes:    options.MaxHeaderBytes,
		Parent:            parent,
		Log:               log,
	})
	return e
}

// forClients is the configuration for handshakes; nil for plain HTTP.
func forClients(given *tls.Config) *tls.Config {
	if given == nil {
		return nil
	}
	config := given.Clone()
	config.NextProtos = []string{"h2", "http/1.1"}
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	config.DynamicRecordSizingDisabled = true // small first records help no answer that fits into a packet or two
	return config
}

// Name is that of the options.
func (e *Entrypoint) Name() string { return e.name }

// Addr is the address that is listened on.
func (e *Entrypoint) Addr() net.Addr { return e.listener.Addr() }

// Serve serves until Shutdown or Close is called; then it returns at once, while Shutdown still waits. The error is always
// nil: whatever goes wrong with the port passes, or is tried again, and is logged.
func (e *Entrypoint) Serve() error {
	for {
		c := e.listener.accept()
		if c == nil {
			return nil
		}
		go e.serveConn(c)
	}
}
