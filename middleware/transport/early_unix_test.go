//go:build unix

package transport

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
)

// unreached is a time-out that no test waits for: what comes after more than a test's patience fails it.
const unreached = 2 * patience

// eachUpload runs a test with both schemes and all ways to send a body. A long one is as long as is said.
func eachUpload(t *testing.T, long int64, test func(t *testing.T, scheme string, upload func(*front) (client *wire, sum <-chan string))) {
	for _, scheme := range []string{pipeline.HTTP, pipeline.HTTPS} {
		for _, u := range []struct {
			name   string
			length int64
			chunks bool
		}{{"held", maxHeld, false}, {"streamed", long, false}, {"in chunks", long, true}} {
			t.Run(scheme+"/"+u.name, func(t *testing.T) {
				test(t, scheme, func(f *front) (*wire, <-chan string) { return sendUpload(t, f, u.length, u.chunks) })
			})
		}
	}
}

// sendUpload begins to send a body of random bytes, and gives their sum when it is through.
func sendUpload(t *testing.T, f *front, length int64, chunks bool) (*wire, <-chan string) {
	t.Helper()
	c := f.connect(t)
	framing := fmt.Sprintf("Content-Length: %d\r\n\r\n", length)
	if chunks {
		framing = fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n", length)
	}
	sums := make(chan string, 1)
	go func() {
		c.send("POST / HTTP/1.1\r\nHost: a\r\n" + framing)
		sum := sha256.New()
		if _, err := io.CopyN(io.MultiWriter(c.Conn, sum), bufio.NewReaderSize(rand.Reader, bulkBuffer), length); err != nil {
			return
		}
		if chunks {
			c.send("\r\n0\r\n\r\n")
		}
		sums <- fmt.Sprintf("%x", sum.Sum(nil))
	}()
	return c, sums
}

// sumOf reads a request, and gives the sum of its body.
func sumOf(c *wire) string {
	request, err := http.ReadRequest(bufio.NewReader(c.Conn))
	if err != nil {
		return ""
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, request.Body); err != nil {
		return ""
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

// begin gets a connection to where the client may write.
func begin(c *wire) {
	if secure, ok := c.Conn.(*tls.Conn); ok {
		_ = secure.Handshake()
	}
}

// watched is a connection that says how many writes wait for the other side.
type watched struct {
	*net.TCPConn
	writing *atomic.Int64
}

func (w watched) Write(p []byte) (int, error) {
	w.writing.Add(1)
	defer w.writing.Add(-1)
	return w.TCPConn.Write(p)
}

func TestTransport_PassesOnAnAnswerWhileTheBackendTakesNothing(t *testing.T) {
	eachUpload(t, 64<<20, func(t *testing.T, scheme string, upload func(*front) (*wire, <-chan string)) {
		over := make(chan struct{})
		backend := newTightBackend(t, scheme, func(c *wire) {
			begin(c)
			c.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
			<-over
		})
		t.Cleanup(func() { close(over) })
		var writing atomic.Int64
		cs := newConnections(t, ConnectionOptions{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialSmall(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return watched{conn.(*net.TCPConn), &writing}, nil
		}})
		front := newFront(t, backend, setting{
			options: Options{ProgressTimeout: unreached, Connections: cs},
			around: func(next http.Handler) http.Handler {
				next.(*proxy).limits.leaving = leaving // nothing is
				return next
			},
		})
		client, _ := upload(front)
		response, err := http.ReadResponse(client.Reader, nil)
		require.NoError(t, err)
		assert.Equal(t, http.StatusRequestEntityTooLarge, response.StatusCode)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		assert.Equal(t, "no", string(body))
		client.Conn.Close()
		assert.Nil(t, front.state(t).Failure)
		assert.Zero(t, cs.Counts().Open, "half of a request is still to come on it")
		require.Eventually(t, func() bool { return writing.Load() == 0 }, patience, time.Millisecond)
	})
}

func TestTransport_PassesOnInformationalResponsesWhileTheBackendTakesNothing(t *testing.T) {
	eachUpload(t, 1<<20, func(t *testing.T, scheme string, upload func(*front) (*wire, <-chan string)) {
		hinted := make(chan struct{})
		backend := newTightBackend(t, scheme, func(c *wire) {
			begin(c)
			c.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
			<-hinted
			c.send(ok(sumOf(c)))
			c.rest()
		})
		cs := newConnections(t, ConnectionOptions{Dial: dialSmall})
		front := newFront(t, backend, setting{options: Options{ProgressTimeout: unreached, Connections: cs}})
		client, sum := upload(front)
		head := client.head()
		close(hinted)
		assert.Contains(t, head, "103 Early Hints")
		response, err := http.ReadResponse(client.Reader, nil)
		require.NoError(t, err)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		assert.Equal(t, receive(t, sum, "end of the upload"), string(body))
		front.state(t)
		assert.Equal(t, 1, cs.Counts().Idle, "what was sent as a whole may be followed by another")
	})
}

func TestTransport_CarriesBothWaysAtOnceWhenTheBackendAnswersBeforeItReads(t *testing.T) {
	eachUpload(t, 1<<20, func(t *testing.T, scheme string, upload func(*front) (*wire, <-chan string)) {
		seen := make(chan struct{})
		backend := newTightBackend(t, scheme, func(c *wire) {
			begin(c)
			c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nearly\r\n")
			<-seen
			sum := sumOf(c)
			c.send(fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(sum), sum))
			c.rest()
		})
		front := newFront(t, backend, setting{options: Options{
			ProgressTimeout: unreached, Connections: newConnections(t, ConnectionOptions{Dial: dialSmall}),
		}})
		client, sum := upload(front)
		response, err := http.ReadResponse(client.Reader, nil)
		require.NoError(t, err)
		early := make([]byte, 5)
		_, err = io.ReadFull(response.Body, early)
		close(seen)
		require.NoError(t, err)
		assert.Equal(t, "early", string(early))
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		assert.Equal(t, receive(t, sum, "end of the upload"), string(body))
		assert.Nil(t, front.state(t).Failure)
	})
}

func TestTransport_SendsAllOfAnUploadThatWasHeldUp(t *testing.T) {
	eachUpload(t, 1<<20, func(t *testing.T, scheme string, upload func(*front) (*wire, <-chan string)) {
		backend := newTightBackend(t, scheme, func(c *wire) {
			begin(c)
			<-time.After(5 * haste)
			c.send(ok(sumOf(c)))
			c.rest()
		})
		cs := newConnections(t, ConnectionOptions{Dial: dialSmall})
		front := newFront(t, backend, setting{options: Options{ProgressTimeout: unreached, Connections: cs}})
		client, sum := upload(front)
		response, err := http.ReadResponse(client.Reader, nil)
		require.NoError(t, err)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		assert.Equal(t, receive(t, sum, "end of the upload"), string(body))
		front.state(t)
		assert.Equal(t, 1, cs.Counts().Idle, "what was sent as a whole may be followed by another")
	})
}

func TestTransport_EndsARequestWhoseBackendResetsWhileItTakesNothing(t *testing.T) {
	eachUpload(t, 1<<20, func(t *testing.T, scheme string, upload func(*front) (*wire, <-chan string)) {
		backend := newTightBackend(t, scheme, func(c *wire) {
			begin(c)
			<-time.After(5 * haste)
			below := c.Conn
			if secure, ok := below.(*tls.Conn); ok {
				below = secure.NetConn()
			}
			_ = below.(*net.TCPConn).SetLinger(0)
			_ = below.Close()
		})
		cs := newConnections(t, ConnectionOptions{Dial: dialSmall})
		front := newFront(t, backend, setting{options: Options{ProgressTimeout: unreached, Connections: cs}})
		client, _ := upload(front)
		response, err := http.ReadResponse(client.Reader, nil)
		require.NoError(t, err)
		assert.Equal(t, http.StatusBadGateway, response.StatusCode)
		client.Conn.Close()
		failure := front.state(t).Failure
		require.NotNil(t, failure)
		assert.Equal(t, http.StatusBadGateway, failure.Status, failure.Err)
		assert.Zero(t, cs.Counts().Open)
	})
}
