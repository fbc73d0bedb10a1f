package transport

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
)

// newH2CBackend speaks HTTP/2 without TLS from the first byte, and nothing else.
func newH2CBackend(t *testing.T, handler http.HandlerFunc) *pipeline.Backend {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return &pipeline.Backend{Scheme: pipeline.H2C, Address: server.Listener.Addr().String()}
}

func TestTransport_SpeaksHTTP2WithoutTLSToBackendsThatWantIt(t *testing.T) {
	backend := newH2CBackend(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, strings.Join([]string{r.Proto, r.Host, r.RequestURI, r.Header.Get("X-Forwarded-For"), string(body)}, " "))
	})
	each(t, func(t *testing.T, secure bool) {
		front := newFront(t, backend, setting{secure: secure})
		ask := func() {
			request := front.request(t, "POST", "/a%2Fb?c", strings.NewReader("body"))
			request.Host = "app.example"
			_, body := front.do(t, request)
			assert.Equal(t, "HTTP/2.0 app.example /a%2Fb?c 127.0.0.1 body", body)
		}
		ask()
		// net/http gives a connection to its first request, and puts it where further ones find it a little later.
		opened, until := uint64(0), time.Now().Add(patience)
		for opened != front.connections.Counts().Opened {
			require.True(t, time.Now().Before(until), "each request has a connection of its own")
			opened = front.connections.Counts().Opened
			ask()
		}
		require.Eventually(t, func() bool { return front.connections.Counts().Open == 1 }, patience, time.Millisecond)
		front.connections.Retain(func(scheme, _ string) bool { return scheme != pipeline.H2C })
		assert.Eventually(t, func() bool { return front.connections.Counts().Open == 0 }, patience, 1e6)
	})
}

// A message of gRPC is a byte for compression, four for the length, and the content; here it is enough that it is one
// piece, and that the fields are gRPC's.
const grpcMessage = "\x00\x00\x00\x00\x02hi"

func TestTransport_CarriesGRPC(t *testing.T) {
	backend := newH2CBackend(t, func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "trailers", r.Header.Get("Te"))
		assert.Equal(t, "application/grpc", r.Header.Get("Content-Type"))
		w.Header().Set("Content-Type", "application/grpc")
		switch r.URL.Path {
		case "/trailers-only":
			w.Header().Set("Grpc-Status", "12")
			w.Header().Set("Grpc-Message", "unimplemented")
		case "/echo":
			w.Header().Set("Trailer", "Grpc-Status")
			_ = http.NewResponseController(w).Flush()
			buf := make([]byte, len(grpcMessage))
			for {
				if _, err := io.ReadFull(r.Body, buf); err != nil {
					break
				}
				_, _ = w.Write(buf)
				_ = http.NewResponseController(w).Flush()
			}
			w.Header().Set("Grpc-Status", "0")
			w.Header().Set(http.TrailerPrefix+"Grpc-Details-Bin", "AAA")
		}
	})
	front := newFront(t, backend, setting{secure: true})
	call := func(path string, body io.Reader) *http.Response {
		request := front.request(t, "POST", path, body)
		request.Header.Set("Te", "trailers")
		request.Header.Set("Content-Type", "application/grpc")
		response, err := front.Client().Do(request)
		require.NoError(t, err)
		t.Cleanup(func() { response.Body.Close() })
		assert.Equal(t, "HTTP/2.0", response.Proto)
		assert.Equal(t, "application/grpc", response.Header.Get("Content-Type"))
		return response
	}
	t.Run("a stream both ways", func(t *testing.T) {
		up, feed := io.Pipe()
		defer feed.Close()
		response := call("/echo", up)
		answer := bufio.NewReader(response.Body)
		got := make([]byte, len(grpcMessage))
		for range 3 {
			_, err := io.WriteString(feed, grpcMessage)
			require.NoError(t, err)
			_, err = io.ReadFull(answer, got)
			require.NoError(t, err)
			assert.Equal(t, grpcMessage, string(got))
		}
		require.NoError(t, feed.Close())
		_, err := answer.ReadByte()
		assert.Equal(t, io.EOF, err)
		assert.Equal(t, http.Header{"Grpc-Status": {"0"}, "Grpc-Details-Bin": {"AAA"}}, response.Trailer)
	})
	t.Run("an answer of trailers only", func(t *testing.T) {
		response := call("/trailers-only", strings.NewReader(grpcMessage))
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		assert.Empty(t, body)
		assert.Equal(t, "12", response.Header.Get("Grpc-Status"), "where the fields are both head and trailers")
		assert.Equal(t, "unimplemented", response.Header.Get("Grpc-Message"))
	})
}

func TestTransport_SaysSoWhereABackendSpeaksNoHTTP2(t *testing.T) {
	backend := newRawBackend(t, func(c *wire) {
		c.send("HTTP/1.1 400 Bad Request\r\n\r\n")
		_ = c.Conn.(*net.TCPConn).CloseWrite()
		c.rest()
	})
	backend.Scheme = pipeline.H2C
	front := newFront(t, backend, setting{})
	response, _ := front.get(t, "/")
	assert.Equal(t, http.StatusBadGateway, response.StatusCode)
	require.NotNil(t, front.state(t).Failure)
}

func TestTransport_CutsAnHTTP2AnswerThatStandsStill(t *testing.T) {
	backend := newH2CBackend(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "begun")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	each(t, func(t *testing.T, secure bool) {
		front := newFront(t, backend, setting{secure: secure, options: Options{ProgressTimeout: 50 * time.Millisecond}})
		response, err := front.Client().Do(front.request(t, http.MethodGet, "/", nil))
		require.NoError(t, err)
		defer response.Body.Close()
		_, err = io.ReadAll(response.Body)
		require.Error(t, err)
		failure := front.state(t).Failure
		require.NotNil(t, failure)
		assert.Equal(t, http.StatusGatewayTimeout, failure.Status)
	})
}
