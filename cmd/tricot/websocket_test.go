package main_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// echoMessages is a WebSocket backend that sends each message back, and says with which code the client closed.
func echoMessages(closed chan<- websocket.StatusCode) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"echo"}})
		if err != nil {
			return
		}
		defer conn.CloseNow()
		conn.SetReadLimit(4 << 20)
		for {
			kind, message, err := conn.Read(r.Context())
			if err != nil {
				closed <- websocket.CloseStatus(err)
				return
			}
			if err := conn.Write(r.Context(), kind, message); err != nil {
				return
			}
		}
	}
}

func TestWebSocket_PassesMessagesBothWaysAndTheClose(t *testing.T) {
	t.Parallel()
	closed := make(chan websocket.StatusCode, 1)
	// The stages that wrap the response stand in between.
	p := start(t, config{"middleware.compress.enabled": true},
		serve(t, echoMessages(closed)).service(t, "web", "tricot app.test", "tricot-add-header X-Served-By web"))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	conn, response, err := websocket.Dial(ctx, "wss://app.test/socket", &websocket.DialOptions{
		HTTPClient:   p.client(t, http1),
		Subprotocols: []string{"echo"},
		HTTPHeader:   http.Header{"Accept-Encoding": {"gzip"}},
	})
	require.NoError(t, err)
	defer conn.CloseNow()
	conn.SetReadLimit(4 << 20)
	assert.Equal(t, "echo", conn.Subprotocol())
	assert.Equal(t, "web", response.Header.Get("X-Served-By"))

	for _, message := range [][]byte{[]byte("hello"), {}, bytes.Repeat([]byte("0123456789abcdef"), 1<<16)} {
		require.NoError(t, conn.Write(ctx, websocket.MessageBinary, message))
		kind, answer, err := conn.Read(ctx)
		require.NoError(t, err)
		require.Equal(t, websocket.MessageBinary, kind)
		require.True(t, bytes.Equal(message, answer))
	}

	require.NoError(t, conn.Close(websocket.StatusGoingAway, "bye"))
	assert.Equal(t, websocket.StatusGoingAway, <-closed)
}

func TestWebSocket_EndsForTheBackendWhenTheClientIsCutOff(t *testing.T) {
	t.Parallel()
	closed := make(chan websocket.StatusCode, 1)
	p := start(t, nil, serve(t, echoMessages(closed)).service(t, "web", "tricot app.test"))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "wss://app.test/", &websocket.DialOptions{HTTPClient: p.client(t, http1)})
	require.NoError(t, err)

	require.NoError(t, conn.CloseNow())

	select {
	case code := <-closed:
		assert.Equal(t, websocket.StatusCode(-1), code, "no close frame")
	case <-time.After(patience):
		require.FailNow(t, "the backend's connection stays open")
	}
}

func TestWebSocket_RefusalOfTheBackendReachesTheClient(t *testing.T) {
	t.Parallel()
	p := start(t, nil, serve(t, func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "not here", http.StatusForbidden)
	}).service(t, "web", "tricot app.test"))
	_, response, err := websocket.Dial(t.Context(), "wss://app.test/", &websocket.DialOptions{HTTPClient: p.client(t, http1)})
	require.Error(t, err)
	require.NotNil(t, response)
	assert.Equal(t, http.StatusForbidden, response.StatusCode)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	assert.Equal(t, "not here\n", string(body))
}
