package transport

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
)

func TestTransport_GivesUpAnHTTP2BackendThatDoesNotAnswer(t *testing.T) {
	backend := newH2Peer(t, func(p *h2Peer) {
		for p.frame() != nil {
		}
	})
	each(t, func(t *testing.T, secure bool) {
		front := newFront(t, backend, setting{secure: secure, options: Options{ResponseHeaderTimeout: 50 * time.Millisecond}})
		for range 2 {
			response, _ := front.get(t, "/")
			assert.Equal(t, http.StatusGatewayTimeout, response.StatusCode)
			failure := front.state(t).Failure
			require.NotNil(t, failure)
			assert.True(t, failure.Repeatable)
		}
		assert.EqualValues(t, 1, front.connections.Counts().Opened, "a slow answer does not cost the others their connection")
	})
}

func TestTransport_SendsTheBodyToAnHTTP2BackendThatDoesNotAskForIt(t *testing.T) {
	backend := newH2Peer(t, func(p *h2Peer) {
		if stream, _, ok := p.request(); ok {
			p.answer(stream, p.body())
			p.rest()
		}
	})
	front := newFront(t, backend, setting{options: Options{ContinueTimeout: 10 * time.Millisecond}})
	c := front.connect(t)
	c.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
	assert.Equal(t, "HTTP/1.1 100 Continue\r\n", c.head())
	c.send("body")
	response, err := http.ReadResponse(c.Reader, nil)
	require.NoError(t, err)
	assert.Equal(t, http.StatusOK, response.StatusCode)
}

// It says nothing any more, and does not close either: as a machine does that has lost its power.
func TestTransport_GivesUpAnHTTP2ConnectionOnWhichNothingComesBack(t *testing.T) {
	over := make(chan struct{})
	defer close(over)
	backend := newH2Peer(t, func(p *h2Peer) {
		p.request()
		<-over
	})
	front := newFront(t, backend, setting{
		options: Options{ResponseHeaderTimeout: time.Hour},
		around: func(stage http.Handler) http.Handler {
			config := stage.(*proxy).http2.transport.HTTP2
			for _, d := range []*time.Duration{&config.SendPingTimeout, &config.PingTimeout} {
				require.Positive(t, *d)
				require.LessOrEqual(t, *d, time.Minute)
			}
			config.SendPingTimeout, config.PingTimeout = 10*time.Millisecond, 50*time.Millisecond
			return stage
		},
	})
	response, _ := front.get(t, "/")
	assert.Equal(t, http.StatusBadGateway, response.StatusCode)
	failure := front.state(t).Failure
	require.NotNil(t, failure)
	assert.True(t, failure.Repeatable)
	require.Eventually(t, func() bool { return front.connections.Counts().Open == 0 }, patience, time.Millisecond)
}

func TestHTTP2Client_KeepsTheLimitsThatItIsGiven(t *testing.T) {
	cs := newConnections(t, ConnectionOptions{})
	c := newHTTP2Client(Options{Connections: cs, ResponseHeaderTimeout: 2 * time.Second, ContinueTimeout: 3 * time.Second})
	assert.Equal(t, 2*time.Second, c.transport.ResponseHeaderTimeout)
	assert.Equal(t, 3*time.Second, c.transport.ExpectContinueTimeout)
	_, _, err := c.acquire(t.Context(), cs.shelf(key{scheme: pipeline.H2C, address: refusing(t).Address}), time.Time{})
	assert.ErrorContains(t, err, "connection refused")
}
