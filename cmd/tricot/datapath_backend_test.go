package main_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// accepting starts a backend that runs serve with each connection, which is closed after it.
func accepting(t *testing.T, serve func(conn net.Conn)) backend {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				serve(conn)
			})
		}
	})
	t.Cleanup(all.Wait)
	t.Cleanup(func() { _ = listener.Close() })
	return backend{listener.Addr().String()}
}

// speaking starts a backend that runs speak on each connection with the head of each request, until that is false.
func speaking(t *testing.T, speak func(conn net.Conn, head string) bool) backend {
	t.Helper()
	return accepting(t, func(conn net.Conn) {
		_ = conn.SetDeadline(time.Now().Add(2 * patience))
		for from := bufio.NewReader(conn); ; {
			var head strings.Builder
			for !strings.HasSuffix(head.String(), "\r\n\r\n") {
				line, err := from.ReadString('\n')
				if err != nil {
					return
				}
				head.WriteString(line)
			}
			if !speak(conn, head.String()) {
				_ = conn.(*net.TCPConn).CloseWrite()
				_, _ = io.Copy(io.Discard, from)
				return
			}
		}
	})
}

// After each odd answer the same client connection, or another one, asks for a path of its own, and must get the answer
// to that.
func TestStrict_GivesNobodyWhatAnOddBackendSaysToAnother(t *testing.T) {
	t.Parallel()
	const odd = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nodd"
	answers := map[string]string{
		"/two-lengths":         "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: " + fmt.Sprint(len(odd)) + "\r\n\r\n" + odd,
		"/same-length-twice":   "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n" + odd,
		"/length-and-chunks":   "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + odd,
		"/chunked-twice":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + odd,
		"/fold":                "HTTP/1.1 200 OK\r\nX-Test: a\r\n Content-Length: 0\r\n\r\n" + odd,
		"/bare-lf":             "HTTP/1.1 200 OK\nContent-Length: 0\n\n" + odd,
		"/bare-cr":             "HTTP/1.1 200 OK\r\nX-Test: a\rb\r\nContent-Length: 0\r\n\r\n" + odd,
		"/space-before-colon":  "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n" + odd,
		"/nul":                 "HTTP/1.1 200 OK\r\nX-Test: a\x00b\r\nContent-Length: 0\r\n\r\n" + odd,
		"/no-http":             "SSH-2.0-OpenSSH_9.2\r\n",
		"/http2":               "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n" + odd,
		"/unasked-101":         "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: odd\r\n\r\n" + odd,
		"/flood-of-1xx":        strings.Repeat("HTTP/1.1 103 Early Hints\r\nX-Test: a\r\n\r\n", 10_000) + odd,
		"/endless-head":        "HTTP/1.1 200 OK\r\n" + strings.Repeat("X-Test: a\r\n", 100_000),
		"/endless-line":        "HTTP/1.1 200 OK\r\nX-Test: " + strings.Repeat("a", 1<<20),
		"/head-cut":            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n",
		"/nothing":             "",
		"/body-cut":            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nodd",
		"/chunks-cut":          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nodd\r\n",
		"/chunk-too-long":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nodder\r\n0\r\n\r\n",
		"/chunk-size-none":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
		"/trailer-with-space":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nodd\r\n0\r\nX-Test : a\r\n\r\n",
		"/answer-behind":       "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst" + odd,
		"/answer-behind-empty": "HTTP/1.1 204 No Content\r\n\r\n" + odd,
	}
	whole := map[string]string{"/answer-behind": "first", "/answer-behind-empty": ""}
	cut := map[string]bool{"/body-cut": true, "/chunks-cut": true, "/chunk-too-long": true, "/chunk-size-none": true,
		"/trailer-with-space": true}
	odds := speaking(t, func(conn net.Conn, head string) bool {
		path := strings.Fields(head)[1]
		if answer, ok := answers[path]; ok {
			_, _ = io.WriteString(conn, answer)
			return path == "/answer-behind" || path == "/answer-behind-empty"
		}
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(path), path)
		return true
	})
	p := start(t, nil, odds.service(t, "odd", "tricot app.test"))
	overEach(t, func(t *testing.T, protocol protocol) {
		client := p.client(t, protocol)
		n := 0
		for path := range answers {
			response, err := client.Do(newRequest(t, http.MethodGet, "https://app.test"+path, nil))
			var body []byte
			if err == nil {
				body, err = io.ReadAll(response.Body)
				_ = response.Body.Close()
			}
			want, isWhole := whole[path]
			switch {
			case cut[path]:
				assert.Error(t, err, path)
			case isWhole:
				require.NoError(t, err, path)
				assert.Equal(t, want, string(body), path)
			default:
				require.NoError(t, err, path)
				assert.Equal(t, http.StatusBadGateway, response.StatusCode, path)
				assert.NotContains(t, string(body), "odd", path)
			}
			for range 3 {
				n++
				own := fmt.Sprintf("/own/%s/%d", strings.ReplaceAll(string(protocol), "/", ""), n)
				assert.Equal(t, own, get(t, client, "https://app.test"+own).body, "after "+path)
			}
		}
	})
}

func TestBackend_ThatClosedItsIdleConnectionsFailsNoRequest(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var open []net.Conn
	closing := speaking(t, func(conn net.Conn, _ string) bool {
		mu.Lock()
		open = append(open, conn)
		mu.Unlock()
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		return true
	})
	p := start(t, nil, closing.service(t, "web", "tricot app.test"))
	client := p.client(t, http2)
	for n := range 30 {
		method := []string{http.MethodGet, http.MethodPost}[n%2]
		reply := send(t, client, newRequest(t, method, "https://app.test/", nil))
		require.Equal(t, http.StatusOK, reply.StatusCode, "%s %d", method, n)
		mu.Lock()
		for _, conn := range open { // as a backend does that restarts
			// Close alone would wait for the goroutine that reads, and so come after the next request now and then: that
			// one nobody can save.
			_ = conn.(*net.TCPConn).CloseWrite()
			_ = conn.Close()
		}
		open = nil
		mu.Unlock()
	}
}

func TestBackend_ThatComesBackServesThoseWhoAsk(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	run := func() *http.Server {
		listener, err := net.Listen("tcp", address)
		require.NoError(t, err)
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			_, _ = w.Write(body)
		})}
		go func() { _ = server.Serve(listener) }()
		return server
	}
	server := run()
	p := start(t, nil, backend{address}.service(t, "web", "tricot app.test"))
	client := p.client(t, http1)
	for range 5 {
		for range 3 {
			reply := send(t, client, newRequest(t, http.MethodPost, "https://app.test/", strings.NewReader("body")))
			require.Equal(t, http.StatusOK, reply.StatusCode)
			require.Equal(t, "body", reply.body)
		}
		require.NoError(t, server.Close())
		server = run()
	}
	require.NoError(t, server.Close())
}

func TestWebSocket_PassesBothPorts(t *testing.T) {
	t.Parallel()
	closed := make(chan websocket.StatusCode, 2)
	p := start(t, config{"middleware.redirect.enabled": false},
		serve(t, echoMessages(closed)).service(t, "web", "tricot app.test"))
	for url, client := range map[string]*http.Client{"ws://app.test/": p.plainClient(t), "wss://app.test/": p.client(t, http1)} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		conn, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: client, Subprotocols: []string{"echo"}})
		require.NoError(t, err, url)
		for _, message := range []string{"one", strings.Repeat("long", 5000), ""} {
			require.NoError(t, conn.Write(ctx, websocket.MessageText, []byte(message)))
			_, answer, err := conn.Read(ctx)
			require.NoError(t, err, url)
			require.Equal(t, message, string(answer))
		}
		require.NoError(t, conn.Close(websocket.StatusNormalClosure, ""))
		assert.Equal(t, websocket.StatusNormalClosure, <-closed)
	}
}
