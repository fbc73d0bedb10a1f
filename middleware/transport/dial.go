package transport

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/tricot-proxy/tricot/pipeline"
)

// What a backend is offered over TLS (ALPN, RFC 7301).
const (
	protocolHTTP2 = "h2"
	protocolHTTP1 = "http/1.1"
)

// dial opens a connection that is counted, and good for what the key says.
func (cs *Connections) dial(ctx context.Context, to key, protocols ...string) (*connection, error) {
	limited, cancel := context.WithTimeout(ctx, cs.options.ConnectTimeout)
	defer cancel()
	c, err := cs.connect(limited, to, protocols)
	if isTimeout(err) && ctx.Err() == nil {
		err = fmt.Errorf("no connection within %s: %w", cs.options.ConnectTimeout, err)
	}
	return c, err
}

func (cs *Connections) connect(ctx context.Context, to key, protocols []string) (*connection, error) {
	conn, err := cs.options.Dial(ctx, "tcp", to.address)
	if err != nil {
		return nil, err
	}
	cs.opened.Add(1)
	cs.open.Add(1)
	tcp := &socket{Conn: conn, open: &cs.open}
	c := &connection{Conn: conn, tcp: tcp, probe: newProbe(conn), born: time.Now(), cut: func() { tcp.Close() }}
	tcp.slow = c.settle
	if to.scheme != pipeline.HTTPS {
		return c, nil
	}
	below := net.Conn(tcp)
	if c.probe != nil {
		c.probe.Conn = tcp
		below = c.probe
	}
	secure := tls.Client(below, &tls.Config{
		ServerName:         to.name, // crypto/tls leaves an IP address out
		NextProtos:         protocols,
		InsecureSkipVerify: true, // what the tag promises
		ClientSessionCache: sessions{cs.sessions, to},
	})
	if err := secure.HandshakeContext(ctx); err != nil {
		c.cut()
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	c.Conn, c.secure = secure, true
	return c, nil
}

// protocol gives what the backend chose over TLS; empty where it chose none.
func (c *connection) protocol() string {
	if secure, ok := c.Conn.(*tls.Conn); ok {
		return secure.ConnectionState().NegotiatedProtocol
	}
	return ""
}

// serverName gives the name to ask the backend for: the one that the client asked for, else the backend's own.
func serverName(r *http.Request, to *pipeline.Backend) string {
	if name, ok := pipeline.Host(r); ok {
		return name
	}
	host, _, _ := net.SplitHostPort(to.Address)
	return host
}
