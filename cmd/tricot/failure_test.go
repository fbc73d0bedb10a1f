package main_test

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestClient_ThatLeavesEndsTheRequestOfTheBackend(t *testing.T) {
	t.Parallel()
	overEach(t, func(t *testing.T, protocol protocol) {
		for name, answering := range map[string]bool{"before the answer": false, "in the middle of it": true} {
			t.Run(name, func(t *testing.T) {
				entered, left := make(chan struct{}), make(chan struct{})
				p := start(t, nil, serve(t, func(w http.ResponseWriter, r *http.Request) {
					if answering {
						_, _ = io.WriteString(w, "the first part")
						_ = http.NewResponseController(w).Flush()
					}
					close(entered)
					<-r.Context().Done()
					close(left)
				}).service(t, "web", "tricot app.test"))
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				go func() {
					<-entered
					leave()
				}()
				response, err := p.client(t, protocol).Do(newRequest(t, http.MethodGet, "https://app.test/", nil).WithContext(ctx))
				if err == nil {
					_, err = io.ReadAll(response.Body)
					_ = response.Body.Close()
				}
				require.ErrorIs(t, err, context.Canceled)
				select {
				case <-left:
				case <-time.After(patience):
					require.FailNow(t, "the backend's request goes on")
				}
			})
		}
	})
}

func TestBackend_ThatDiesInTheMiddleGivesACutResponse(t *testing.T) {
	t.Parallel()
	part := []byte(strings.Repeat("x", 5000))
	for name, head := range map[string]string{
		"with a length": "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1000000\r\n\r\n",
		"in chunks":     "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, config{"middleware.compress.enabled": true},
				dying(t, head, part).service(t, "web", "tricot app.test"))
			overEach(t, func(t *testing.T, protocol protocol) {
				for _, coding := range []string{"identity", "gzip", "br", "zstd"} {
					request := newRequest(t, http.MethodGet, "https://app.test/", nil, "Accept-Encoding", coding)
					response, err := p.client(t, protocol).Do(request)
					if err != nil {
						continue // cut even before the head
					}
					_, err = io.ReadAll(response.Body)
					_ = response.Body.Close()
					assert.Error(t, err, coding)
				}
			})
		})
	}
}

func TestBackend_ThatRefusesGives502AndALineThatNamesIt(t *testing.T) {
	t.Parallel()
	gone := refusing(t)
	p := start(t, nil, gone.service(t, "web", "tricot app.test"))
	overEach(t, func(t *testing.T, protocol protocol) {
		reply := get(t, p.client(t, protocol), "https://app.test/")
		assert.Equal(t, http.StatusBadGateway, reply.StatusCode)
		assert.Contains(t, reply.Header.Get("Content-Type"), "text/plain")
		assert.Less(t, len(reply.body), 200)
		assert.NotContains(t, reply.body, gone.address, "which is nobody's business")
		p.awaitLog(gone.address, "connection refused")
	})
}

func TestBackend_ThatDoesNotAnswerInTimeGives504AndALineThatNamesIt(t *testing.T) {
	t.Parallel()
	slow := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	p := start(t, config{"middleware.transport.response_header_timeout": "100ms"}, slow.service(t, "web", "tricot app.test"))
	overEach(t, func(t *testing.T, protocol protocol) {
		reply := get(t, p.client(t, protocol), "https://app.test/")
		assert.Equal(t, http.StatusGatewayTimeout, reply.StatusCode)
		assert.Contains(t, reply.Header.Get("Content-Type"), "text/plain")
		p.awaitLog(slow.address, "WARN")
	})
}

func TestBackend_ThatTalksNonsenseGives502(t *testing.T) {
	t.Parallel()
	p := start(t, nil, dying(t, "SSH-2.0-OpenSSH_9.2\r\n", nil).service(t, "web", "tricot app.test"))
	assert.Equal(t, http.StatusBadGateway, get(t, p.client(t, http2), "https://app.test/").StatusCode)
}

func TestBackend_ThatIsDownFailsNoRequestWhileAnotherWorks(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	p := start(t, nil,
		refusing(t).service(t, "down", "tricot app.test"),
		up.service(t, "up", "tricot app.test"))
	overEach(t, func(t *testing.T, protocol protocol) {
		client := p.client(t, protocol)
		for n := range 50 {
			// Even a POST: the backend that refuses has got nothing of it.
			body := strconv.Itoa(n)
			reply := send(t, client, newRequest(t, http.MethodPost, "https://app.test/", strings.NewReader(body)))
			require.Equal(t, http.StatusOK, reply.StatusCode)
			require.Equal(t, body, reply.body)
		}
	})
}
