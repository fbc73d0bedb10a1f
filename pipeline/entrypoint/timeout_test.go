package entrypoint

import (
	"bufio"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline/entrypoint/servertest"
)

// In each case one time-out is short and the others are a minute, so that only that one can close the connection.
func TestServe_ClosesTheConnectionOfAClientThatIsTooSlow(t *testing.T) {
	const short = 50 * time.Millisecond
	for _, c := range []struct {
		name    string
		options func(*Options)
		stall   func(*testing.T, *Entrypoint) net.Conn
	}{
		{
			"no ClientHello", func(o *Options) { o.HandshakeTimeout = short },
			func(t *testing.T, e *Entrypoint) net.Conn { return dial(t, e) },
		},
		{
			"half a ClientHello", func(o *Options) { o.HandshakeTimeout = short },
			func(t *testing.T, e *Entrypoint) net.Conn {
				c := dial(t, e)
				// A record of 256 bytes with a ClientHello, RFC 8446, section 5.1, of which the first are there.
				_, err := c.Write([]byte{22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3})
				require.NoError(t, err)
				return c
			},
		},
		{
			"no request line", func(o *Options) { o.ReadHeaderTimeout = short },
			func(t *testing.T, e *Entrypoint) net.Conn { return handshake(t, e, "http/1.1") },
		},
		{
			"half a head", func(o *Options) { o.ReadHeaderTimeout = short },
			func(t *testing.T, e *Entrypoint) net.Conn {
				c := handshake(t, e, "http/1.1")
				_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: app")
				require.NoError(t, err)
				return c
			},
		},
		{
			// The first one has to be there in time, on a busy machine too.
			"half the second head", func(o *Options) { o.ReadHeaderTimeout = 3 * time.Second },
			func(t *testing.T, e *Entrypoint) net.Conn {
				c := handshake(t, e, "http/1.1")
				ask(t, c, bufio.NewReader(c), get)
				_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: app")
				require.NoError(t, err)
				return c
			},
		},
		{
			"idle keep-alive", func(o *Options) { o.IdleTimeout = short },
			func(t *testing.T, e *Entrypoint) net.Conn {
				c := handshake(t, e, "http/1.1")
				ask(t, c, bufio.NewReader(c), get)
				return c
			},
		},
		{
			"idle HTTP/2", func(o *Options) { o.IdleTimeout = short },
			func(t *testing.T, e *Entrypoint) net.Conn {
				c := handshake(t, e, "h2")
				openHTTP2(t, c)
				return c
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			options, _ := secure(t, protocol)
			c.options(&options)
			requireClosed(t, c.stall(t, serve(t, options)))
		})
	}
}

func TestServe_ClosesAPlainConnectionWithoutARequest(t *testing.T) {
	options, _ := plain(protocol)
	options.ReadHeaderTimeout = 50 * time.Millisecond
	requireClosed(t, dial(t, serve(t, options)))
}

func TestServe_EndsTheHandshakeTimeoutWithTheHandshake(t *testing.T) {
	t.Parallel()
	const short = 3 * time.Second // a handshake has to be through by then, on a busy machine too
	options, _ := secure(t, protocol)
	options.HandshakeTimeout = short
	c := handshake(t, serve(t, options), "http/1.1")
	servertest.RequireSilent(t, c.NetConn(), 2*short)
	_, body := ask(t, c, bufio.NewReader(c), get)
	assert.Equal(t, "HTTP/1.1", body)
}

func TestServe_DoesNotBoundTheHandshakeByTheTimeoutForHeads(t *testing.T) {
	const short = 100 * time.Millisecond
	options, _ := secure(t, protocol)
	options.ReadHeaderTimeout = short
	servertest.RequireSilent(t, dial(t, serve(t, options)), 2*short)
}
