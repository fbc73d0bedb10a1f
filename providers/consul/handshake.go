package consul

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// verdictTimeout is how long the agent may take to say what it has against a client certificate.
const verdictTimeout = 2 * time.Second

// A verdict finds out why an agent ends connections. In TLS 1.3 the client's handshake is over before the server has looked
// at its certificate (RFC 8446, section 2), so that the alert about it competes with the first request, and often what
// comes back is only that the connection broke.
type verdict struct {
	next   http.RoundTripper
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
	config *tls.Config
}

func (v *verdict) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := v.next.RoundTrip(r)
	if err != nil && r.URL.Scheme == "https" && mayHideAlert(err) {
		if alert := v.ask(r.Context(), r.URL); alert != nil {
			return nil, alert
		}
	}
	return response, err
}

// mayHideAlert says whether an error is what is left when a connection breaks under the first request.
func mayHideAlert(err error) bool {
	var operation *net.OpError
	return errors.As(err, &operation) && operation.Op == "write" || strings.HasPrefix(err.Error(), "http2: client conn")
}

// ask connects, says nothing, and gives the alert that comes; nil where there is none.
func (v *verdict) ask(ctx context.Context, to *url.URL) error {
	ctx, cancel := context.WithTimeout(ctx, verdictTimeout)
	defer cancel()
	port := to.Port()
	if port == "" {
		port = "443"
	}
	conn, err := v.dial(ctx, "tcp", net.JoinHostPort(to.Hostname(), port))
	if err != nil {
		return nil
	}
	defer conn.Close()
	config := v.config.Clone()
	config.ServerName, config.NextProtos = to.Hostname(), nil // in HTTP/1.1 the client is the one to speak first
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil
	}
	_, err = tls.Client(conn, config).Read(make([]byte, 1))
	if isAlert(err) {
		return err
	}
	return nil
}

// isAlert says whether an error is an alert that the other end of a TLS connection sent.
func isAlert(err error) bool {
	var operation *net.OpError
	return errors.As(err, &operation) && operation.Op == "remote error"
}
