package main_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// A protocol is what a client speaks to Tricot over TLS.
type protocol string

const (
	http1 protocol = "HTTP/1.1"
	http2 protocol = "HTTP/2.0"
)

// overEach runs a test once for each protocol.
func overEach(t *testing.T, test func(t *testing.T, protocol protocol)) {
	t.Helper()
	for _, protocol := range []protocol{http1, http2} {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			test(t, protocol)
		})
	}
}

// client gives one that speaks HTTPS to Tricot whatever the host of a URL, trusts the local root alone, follows no
// redirect and decodes nothing.
func (p *proxy) client(t *testing.T, protocol protocol) *http.Client {
	t.Helper()
	return p.clientTrusting(t, protocol, p.roots())
}

// clientTrusting gives the same for a root of one's own.
func (p *proxy) clientTrusting(t *testing.T, protocol protocol, roots *x509.CertPool) *http.Client {
	t.Helper()
	var protocols http.Protocols
	protocols.SetHTTP1(protocol == http1)
	protocols.SetHTTP2(protocol == http2)
	return newClient(t, &http.Transport{
		DialContext:     dialing(p.httpsAddress),
		TLSClientConfig: &tls.Config{RootCAs: roots},
		Protocols:       &protocols,
	})
}

// plainClient gives the same for plain HTTP.
func (p *proxy) plainClient(t *testing.T) *http.Client {
	t.Helper()
	return newClient(t, &http.Transport{DialContext: dialing(p.httpAddress)})
}

func newClient(t *testing.T, transport *http.Transport) *http.Client {
	transport.DisableCompression = true
	transport.MaxIdleConnsPerHost = 64
	transport.WriteBufferSize, transport.ReadBufferSize = 64<<10, 64<<10
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       patience,
	}
}

func dialing(address string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
}

// A reply is a whole response.
type reply struct {
	*http.Response
	body string
}

// get asks for a URL, with header fields in pairs of name and value.
func get(t *testing.T, client *http.Client, url string, fields ...string) reply {
	t.Helper()
	return send(t, client, newRequest(t, http.MethodGet, url, nil, fields...))
}

func newRequest(t *testing.T, method, url string, body io.Reader, fields ...string) *http.Request {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, body)
	require.NoError(t, err)
	for i := 0; i < len(fields); i += 2 {
		request.Header.Add(fields[i], fields[i+1])
	}
	return request
}

func send(t *testing.T, client *http.Client, request *http.Request) reply {
	t.Helper()
	response, err := client.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return reply{response, string(body)}
}

// open gives a response whose body is still to be read; the end of the test closes it.
func open(t *testing.T, client *http.Client, request *http.Request) *http.Response {
	t.Helper()
	response, err := client.Do(request)
	require.NoError(t, err)
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

// dialTLS gives a bare connection to Tricot that speaks HTTP/1.1, for what no HTTP client would send.
func (p *proxy) dialTLS(t *testing.T, name string) *tls.Conn {
	t.Helper()
	conn, err := tls.Dial("tcp", p.httpsAddress, &tls.Config{ServerName: name, RootCAs: p.roots(), NextProtos: []string{"http/1.1"}})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// exchange sends bytes to Tricot's plain HTTP port as they are, and gives the response.
func (p *proxy) exchange(t *testing.T, bytes string) reply {
	t.Helper()
	conn, err := net.Dial("tcp", p.httpAddress)
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, bytes)
	require.NoError(t, err)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return reply{response, string(body)}
}
