package entrypoint

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/tricot-proxy/tricot/pipeline/entrypoint/exchange"
)

// notTLSTimeout is how long a client that speaks HTTP to the TLS port may take to read so.
const notTLSTimeout = time.Second

// serveConn serves an accepted connection in a goroutine of its own.
func (e *Entrypoint) serveConn(c *conn) {
	defer func() {
		if cause := recover(); cause != nil { // of who chooses certificates
			e.log.Error("connection panicked", "panic", fmt.Sprint(cause), "client", c.RemoteAddr().String(),
				"stack", string(debug.Stack()))
			_ = c.Close()
		}
	}()
	e.connections.begin()
	defer e.connections.end()
	if e.listener.tls == nil {
		e.http1.Serve(c, c)
		return
	}
	client := tls.Server(c, e.listener.tls)
	if !e.handshake(c, client) {
		return
	}
	state := client.ConnectionState()
	if e.handshaken != nil {
		e.handshaken(state, nil)
	}
	switch {
	case state.NegotiatedProtocol != "h2":
		e.http1.Serve(client, c)
	case c.Begin():
		e.http2.Serve(client)
	default:
		_ = client.Close()
	}
}

// handshake is false where it fails; then the connection is closed.
func (e *Entrypoint) handshake(c *conn, client *tls.Conn) bool {
	_ = c.SetDeadline(time.Now().Add(e.listener.handshakeTimeout))
	err := client.Handshake()
	if err == nil {
		_ = c.SetDeadline(time.Time{})
		return true
	}
	if e.handshaken != nil {
		e.handshaken(tls.ConnectionState{}, err)
	}
	reason := err.Error()
	if header := (tls.RecordHeaderError{}); errors.As(err, &header) && header.Conn != nil && looksLikeHTTP(header.RecordHeader) {
		reason = "client sent an HTTP request to an HTTPS server"
		_, _ = io.WriteString(c, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
		_ = exchange.CloseInSteps(c, c, notTLSTimeout)
	}
	_ = c.Close()
	if e.log.Enabled(e.ending, slog.LevelDebug) {
		e.log.Debug("server", "error", "http: TLS handshake error from "+c.RemoteAddr().String()+": "+reason)
	}
	return false
}

// looksLikeHTTP knows a request by what stands where TLS has a record's header.
func looksLikeHTTP(header [5]byte) bool {
	switch string(header[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "DELET", "PATCH":
		return true
	}
	return false
}
