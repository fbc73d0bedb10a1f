package transport

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	"github.com/tricot-proxy/tricot/pipeline"
)

const (
	maxResponseHeader = 64 << 10 // bytes
	maxIdle           = 4096     // connections to all backends together
)

// httpUpstream stands on net/http's client. It keeps connections for as long as its options say; there is nothing to
// close.
type httpUpstream struct {
	plain    *http.Transport
	secure   *http.Transport // HTTP/2 where the backend would like it
	upgrades *http.Transport // HTTP/1.1 over TLS: HTTP/2 has no upgrades
}

func newHTTPUpstream(o Options) *httpUpstream {
	dialer := &net.Dialer{Timeout: o.ConnectTimeout}
	transport := func(protocols ...string) *http.Transport {
		t := &http.Transport{
			DialContext:            dialer.DialContext,
			DialTLSContext:         secureDialer(dialer, protocols),
			Protocols:              new(http.Protocols),
			MaxIdleConns:           maxIdle,
			MaxIdleConnsPerHost:    o.MaxIdlePerBackend,
			IdleConnTimeout:        o.IdleTimeout,
			ResponseHeaderTimeout:  o.ResponseHeaderTimeout,
			ExpectContinueTimeout:  o.ContinueTimeout,
			MaxResponseHeaderBytes: maxResponseHeader,
			DisableCompression:     true,
			// A backend that vanished takes all requests on its one HTTP/2 connection with it.
			HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second},
		}
		t.Protocols.SetHTTP1(true)
		t.Protocols.SetHTTP2(len(protocols) > 1)
		return t
	}
	return &httpUpstream{plain: transport(), secure: transport("h2", "http/1.1"), upgrades: transport("http/1.1")}
}

func (u *httpUpstream) roundTrip(out *http.Request, to *pipeline.Backend, a *attempt) (*http.Response, error) {
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
	})
	client, host := u.plain, to.Address
	if to.Scheme == pipeline.HTTPS {
		client = u.secure
		if out.Header["Upgrade"] != nil {
			client = u.upgrades
		}
		name := serverName(out, to)
		ctx = context.WithValue(ctx, secureAddressKey{}, secureAddress{to.Address, name})
		host = connectionKey(to.Address, name)
	}
	out = out.WithContext(ctx)
	out.URL = rawURL(url.URL{Scheme: to.Scheme, Host: host}, out.Host, out.RequestURI)
	return client.RoundTrip(out)
}

// rawURL makes net/http write a target as it is, to the place that to says. host is the request's Host field.
func rawURL(to url.URL, host, target string) *url.URL {
	u := to
	if !strings.HasPrefix(target, "//") {
		u.Opaque = target
		return &u
	}
	// An opaque part with two slashes in front is written with the scheme before it. So the target has to go through
	// the parsed form, which keeps every path that has nothing in it that should have been encoded.
	path, query, hasQuery := strings.Cut(target, "?")
	u.RawPath, u.RawQuery, u.ForceQuery = path, query, hasQuery && query == ""
	u.Path, _ = url.PathUnescape(path)
	if u.RequestURI() == target {
		return &u
	}
	// Of what is left HTTP/1.1 gets the absolute form (RFC 9112, section 3.2.2), which names the same path byte for byte;
	// HTTP/2 has none, and there net/http takes the front off again.
	to.Opaque = "//" + host + target
	return &to
}

// secureAddress is where a connection over TLS goes, and the name that it asks for there.
type secureAddress struct{ address, name string }

type secureAddressKey struct{}

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

// serverName gives the name to ask the backend for: the one that the client asked for, else the backend's own.
func serverName(out *http.Request, to *pipeline.Backend) string {
	if name, ok := pipeline.Host(out); ok {
		return name
	}
	host, _, _ := net.SplitHostPort(to.Address)
	return host
}

// secureDialer connects to the [secureAddress] of the request.
func secureDialer(dialer *net.Dialer, protocols []string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		to, ok := ctx.Value(secureAddressKey{}).(secureAddress)
		if !ok {
			return nil, fmt.Errorf("connect over TLS: the request names no backend")
		}
		ctx, cancel := context.WithTimeout(ctx, dialer.Timeout)
		defer cancel()
		conn, err := dialer.DialContext(ctx, network, to.address)
		if err != nil {
			return nil, err
		}
		secure := tls.Client(conn, &tls.Config{
			ServerName:         to.name, // crypto/tls leaves an IP address out
			NextProtos:         protocols,
			InsecureSkipVerify: true, // what the tag promises
		})
		if err := secure.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, fmt.Errorf("TLS handshake: %w", err)
		}
		return secure, nil
	}
}
