package transport

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/tricot-proxy/tricot/pipeline"
)

// http2Client speaks HTTP/2 by net/http, on connections of our own.
type http2Client struct {
	connections *Connections
	transport   *http.Transport // makes connections of HTTP/2 of those that are dialled; it keeps none
	grace       time.Duration   // how long others wait for a new one on which the backend has not said what it takes
}

// dialledKey is for the [net.Conn] that a connection of HTTP/2 is made of.
type dialledKey struct{}

func newHTTP2Client(o Options) *http2Client {
	dialled := func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, ok := ctx.Value(dialledKey{}).(net.Conn)
		if !ok {
			return nil, errors.New("speak HTTP/2: nothing has been dialled")
		}
		return conn, nil
	}
	c := &http2Client{connections: o.Connections, grace: settingsGrace, transport: &http.Transport{
		Protocols:              new(http.Protocols),
		DialContext:            dialled,
		DialTLSContext:         dialled,
		ResponseHeaderTimeout:  o.ResponseHeaderTimeout,
		ExpectContinueTimeout:  o.ContinueTimeout,
		MaxResponseHeaderBytes: maxResponseHeader,
		DisableCompression:     true,
		// A backend that vanished takes all requests on its one connection with it.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second},
	}}
	c.transport.Protocols.SetHTTP2(true)            // over TLS, where the backend chooses it
	c.transport.Protocols.SetUnencryptedHTTP2(true) // by prior knowledge (RFC 9113, section 3.3)
	return c
}

// errChoseHTTP1 says that the backend would rather speak HTTP/1.1.
var errChoseHTTP1 = errors.New("the backend chose HTTP/1.1")

const (
	// maxRefusals is how often a backend may refuse to process a request, as one does that has more streams than it likes.
	maxRefusals = 4
	// refusalPause is how long it is left alone after the second refusal, twice that after the third.
	refusalPause = 100 * time.Millisecond
)

// roundTrip sends a request to a backend and gives the head of the answer, whose body the caller closes before the attempt.
// The request's target is its RequestURI, byte for byte; the URL is not set. Where the backend speaks HTTP/1.1 only, the
// error is [errChoseHTTP1] and nothing has been sent; the connection may come with it.
//
// It reports to the attempt as it goes. The request's body may be read for as long as the answer lasts.
//
// Where a connection turns out to be closed that was used before, it goes on a new one if nothing has been sent, or if it
// makes no difference; and where the backend says that it has not processed the request, wherever there is room.
func (c *http2Client) roundTrip(out *http.Request, s *shelf, a *attempt) (*http.Response, *connection, error) {
	out = out.WithContext(a.trace(out.Context()))
	scheme := "https"
	if s.key.scheme == pipeline.H2C {
		scheme = "http"
	}
	out.URL = rawURL(url.URL{Scheme: scheme, Host: s.key.address}, out.Host, out.RequestURI)
	begun := time.Now()
	var since time.Time
	for refusals := 0; ; {
		conn, first, err := c.acquire(out.Context(), s, since)
		if err != nil {
			return nil, first, err
		}
		a.take(conn)
		response, err := conn.http2.RoundTrip(out)
		if err == nil {
			return response, nil, nil
		}
		switch {
		case isMalformed(err):
			a.spoil()
			return nil, nil, err
		case !a.mayRepeat(err):
			return nil, nil, err
		case isUnprocessed(err):
			refusals++
			if refusals == maxRefusals || refusals > 1 && !pause(out.Context(), refusalPause<<(refusals-2)) {
				return nil, nil, err
			}
			a.sent.Store(false) // as good as
		case since.IsZero() && conn.born.Before(begun) && a.hasLost(conn):
			since = time.Now() // the others may be closed just the same
		default:
			return nil, nil, err
		}
		a.release()
		if a.body != nil {
			out.Body = a.body.lend() // the last one is closed
		}
	}
}

// pause says whether the context lasts longer.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
