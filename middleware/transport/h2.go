package transport

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/tricot-proxy/tricot/pipeline"
)

// http2Client stands on net/http's client, for backends that speak HTTP/2.
type http2Client struct {
	secure *http.Transport // over TLS, where the backend chooses it
	plain  *http.Transport // by prior knowledge (RFC 9113, section 3.3)
}

func newHTTP2Client(o Options) *http2Client {
	transport := func() *http.Transport {
		t := &http.Transport{
			Protocols:              new(http.Protocols),
			IdleConnTimeout:        o.Connections.options.IdleTimeout,
			ResponseHeaderTimeout:  o.ResponseHeaderTimeout,
			ExpectContinueTimeout:  o.ContinueTimeout,
			MaxResponseHeaderBytes: maxResponseHeader,
			DisableCompression:     true,
			// A backend that vanished takes all requests on its one connection with it.
			HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second},
		}
		o.Connections.adopt(t)
		return t
	}
	c := &http2Client{secure: transport(), plain: transport()}
	c.secure.Protocols.SetHTTP2(true)
	c.secure.DialTLSContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		to, ok := ctx.Value(destinationKey{}).(*destination)
		if !ok {
			return nil, errors.New("connect over TLS: the request names no backend")
		}
		return to.connect(ctx, o.Connections)
	}
	c.plain.Protocols.SetUnencryptedHTTP2(true)
	c.plain.DialContext = func(ctx context.Context, _, address string) (net.Conn, error) {
		conn, err := o.Connections.dial(ctx, key{scheme: pipeline.H2C, address: address})
		if err != nil {
			return nil, err
		}
		return conn.tcp, nil
	}
	return c
}

// destination is where a connection over TLS goes. What net/http cannot use of what is found there is kept for the
// request that it was for.
type destination struct {
	shelf *shelf

	mu    sync.Mutex
	over  bool
	http1 *connection
}

type destinationKey struct{}

// errChoseHTTP1 says that the backend would rather speak HTTP/1.1.
var errChoseHTTP1 = errors.New("the backend chose HTTP/1.1")

func (d *destination) connect(ctx context.Context, cs *Connections) (net.Conn, error) {
	c, err := cs.dial(ctx, d.shelf.key, protocolHTTP2, protocolHTTP1)
	if err != nil {
		return nil, err
	}
	if c.protocol() == protocolHTTP2 {
		return c.Conn, nil
	}
	c.shelf = d.shelf
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over || d.http1 != nil {
		c.cut()
	} else {
		d.http1 = c
	}
	return nil, errChoseHTTP1
}

// take gives the connection over which HTTP/1.1 is to be spoken, nil where there is none. It is called once, when the
// round trip is over.
func (d *destination) take() *connection {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = true
	c := d.http1
	d.http1 = nil
	return c
}

// roundTrip sends a request to a backend and gives the head of the answer, whose body the caller closes. The request's
// target is its RequestURI, byte for byte; the URL is not set. Where the backend speaks HTTP/1.1 only, the error is
// [errChoseHTTP1] and nothing has been sent; the connection may come with it.
//
// It reports to the attempt as it goes. The request's body may be read for as long as the answer lasts.
func (c *http2Client) roundTrip(out *http.Request, s *shelf, a *attempt) (*http.Response, *connection, error) {
	ctx := httptrace.WithClientTrace(out.Context(), &httptrace.ClientTrace{
		// It tries again by itself where a connection that it had kept turns out to be closed.
		GetConn:              func(string) { a.connected.Store(false) },
		GotConn:              func(httptrace.GotConnInfo) { a.connected.Store(true) },
		GotFirstResponseByte: func() { a.responded.Store(true) },
		Got100Continue:       func() { a.invited.Store(true) },
		Got1xxResponse: func(status int, header textproto.MIMEHeader) error {
			a.responded.Store(true)
			return a.inform(status, http.Header(header))
		},
		WroteRequest: func(httptrace.WroteRequestInfo) { a.wrote() },
	})
	if s.key.scheme == pipeline.H2C {
		out = out.WithContext(ctx)
		out.URL = rawURL(url.URL{Scheme: "http", Host: s.key.address}, out.Host, out.RequestURI)
		response, err := c.plain.RoundTrip(out)
		return response, nil, err
	}
	to := &destination{shelf: s}
	out = out.WithContext(context.WithValue(ctx, destinationKey{}, to))
	out.URL = rawURL(url.URL{Scheme: "https", Host: connectionKey(s.key.address, s.key.name)}, out.Host, out.RequestURI)
	response, err := c.secure.RoundTrip(out)
	first := to.take()
	if first != nil && !errors.Is(err, errChoseHTTP1) { // it found another meanwhile
		first.cut()
		first = nil
	}
	return response, first, err
}

// connectionKey stands for both in net/http's pool, which knows connections by the host of their URL: a backend may
// refuse a request for one name on a connection that asked for another (421, RFC 9110, section 15.5.20). It only has to
// be a different one for each pair; the dialler gets the pair itself.
func connectionKey(address, name string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return strings.ReplaceAll(name+"/"+host, ":", "~") + ":" + port
}
