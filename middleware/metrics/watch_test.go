package metrics

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

func TestMetrics_ShowUpgradedConnections(t *testing.T) {
	for name, switching := range map[string]func(http.ResponseWriter) (net.Conn, error){
		"with a head": func(w http.ResponseWriter) (net.Conn, error) {
			w.WriteHeader(http.StatusSwitchingProtocols)
			conn, _, err := http.NewResponseController(w).Hijack()
			return conn, err
		},
		"by hand": func(w http.ResponseWriter) (net.Conn, error) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, err = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
			}
			return conn, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			counts := New()
			end := make(chan struct{})
			server := serve(t, counts, answering(func(w http.ResponseWriter, r *http.Request) {
				state := pipeline.StateOf(r)
				state.Sent, state.Answered = state.Received, state.Received.Add(time.Millisecond)
				conn, err := switching(w)
				if !assert.NoError(t, err) {
					return
				}
				defer conn.Close()
				<-end
			}))
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			require.NoError(t, err)
			defer conn.Close()
			_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
			require.NoError(t, err)
			_, err = bufio.NewReader(conn).ReadString('\n')
			require.NoError(t, err)
			assert.Equal(t, 1.0, values(t, counts)["tricot_upgraded_connections_open"])
			close(end)
			got := await(t, counts, 1)
			assert.Zero(t, got["tricot_upgraded_connections_open"])
			assert.Equal(t, 1.0, got["tricot_upgraded_connections_total (none)"])
			assert.Equal(t, 1.0, got["tricot_requests_total 101 (none) GET"])
			assert.Equal(t, 0.001, got["tricot_request_duration_seconds (none) sum"], "up to the answer")
		})
	}
}

func TestMetrics_AnUpgradeThatIsRefusedIsNone(t *testing.T) {
	counts := New()
	server := serve(t, counts, answering(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "no")
		w.(http.Flusher).Flush()
	}))
	request, err := http.NewRequest(http.MethodGet, server.URL, nil)
	require.NoError(t, err)
	request.Header.Set("Connection", "upgrade")
	request.Header.Set("Upgrade", "echo")
	response, err := server.Client().Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	got := await(t, counts, 1)
	assert.Zero(t, got["tricot_upgraded_connections_open"])
	assert.Zero(t, got["tricot_upgraded_connections_total (none)"])
}

func TestMetrics_CountContentThatIsReadOnlyInPart(t *testing.T) {
	counts := New()
	server := serve(t, counts, answering(func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadFull(r.Body, make([]byte, 5))
		assert.NoError(t, err)
	}))
	ask(t, server, "POST", "a", "/", io.MultiReader(strings.NewReader("0123456789")))
	assert.Equal(t, 5.0, await(t, counts, 1)["tricot_request_content_bytes_total (none)"])
}

func TestMetrics_LeaveARequestThatSaysItsLengthAsItIs(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("0123456789"))
	was := r.Body
	New().Stage(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		assert.True(t, was == r.Body)
	})).ServeHTTP(httptest.NewRecorder(), r)
}
