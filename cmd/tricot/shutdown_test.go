package main_test

import (
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// held is a backend that keeps a request, half answered, until it is released.
type held struct{ release chan struct{} }

func hold() held { return held{make(chan struct{})} }

func (h held) serve(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, "first, ")
	_ = http.NewResponseController(w).Flush()
	select {
	case <-h.release:
		_, _ = io.WriteString(w, "second")
	case <-r.Context().Done():
	}
}

// ask sends the request that is held, and returns when the first half of the answer is there. The channel gives what
// came of the second.
func (h held) ask(t *testing.T, client *http.Client) <-chan string {
	t.Helper()
	response := open(t, client, newRequest(t, http.MethodGet, "https://app.test/", nil))
	_, err := io.ReadFull(response.Body, make([]byte, len("first, ")))
	require.NoError(t, err)
	rest := make(chan string, 1)
	go func() {
		body, err := io.ReadAll(response.Body)
		if err != nil {
			rest <- "cut"
			return
		}
		rest <- string(body)
	}()
	return rest
}

func (p *proxy) awaitClosed() {
	p.t.Helper()
	for _, address := range []string{p.httpAddress, p.httpsAddress} {
		p.eventually(func() bool { return !accepts(address) }, "still listens at "+address)
	}
}

func TestShutdown_StopsAcceptingAndLetsRequestsInFlightFinish(t *testing.T) {
	t.Parallel()
	overEach(t, func(t *testing.T, protocol protocol) {
		for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
			held := hold()
			p := start(t, nil, serve(t, held.serve).service(t, "web", "tricot app.test"))
			result := held.ask(t, p.client(t, protocol))

			p.signal(signal)
			p.awaitClosed()
			p.mustRun()
			close(held.release)

			assert.Equal(t, "second", <-result)
			assert.Equal(t, 0, p.exitCode())
		}
	})
}

func TestShutdown_DoesNotWaitForIdleConnections(t *testing.T) {
	t.Parallel()
	p := start(t, nil, naming(t, "web").service(t, "web", "tricot app.test"))
	get(t, p.client(t, http1), "https://app.test/")
	get(t, p.client(t, http2), "https://app.test/")
	get(t, p.plainClient(t), "http://app.test/")
	// Neither for one that never said anything.
	silent, err := net.Dial("tcp", p.httpsAddress)
	require.NoError(t, err)
	defer silent.Close()

	began := time.Now()
	assert.Equal(t, 0, p.stop())
	assert.Less(t, time.Since(began), 8*time.Second, "the silent one has 10 s for its handshake")
}

func TestShutdown_EndsAtOnceOnASecondSignal(t *testing.T) {
	t.Parallel()
	overEach(t, func(t *testing.T, protocol protocol) {
		held := hold()
		p := start(t, config{"shutdown.timeout": "1h"}, serve(t, held.serve).service(t, "web", "tricot app.test"))
		result := held.ask(t, p.client(t, protocol))

		p.signal(syscall.SIGTERM)
		p.awaitClosed()
		p.mustRun()
		p.signal(syscall.SIGTERM)

		assert.Equal(t, 1, p.exitCode())
		assert.Equal(t, "cut", <-result)
	})
}

func TestShutdown_CutsOffWhatTakesLongerThanItsTimeout(t *testing.T) {
	t.Parallel()
	overEach(t, func(t *testing.T, protocol protocol) {
		held := hold()
		p := start(t, config{"shutdown.timeout": "200ms"}, serve(t, held.serve).service(t, "web", "tricot app.test"))
		result := held.ask(t, p.client(t, protocol))

		began := time.Now()
		assert.Equal(t, 0, p.stop())
		assert.GreaterOrEqual(t, time.Since(began), 200*time.Millisecond)
		assert.Equal(t, "cut", <-result)
	})
}

func TestShutdown_IsCleanFromTheMomentThatThePortIsOpen(t *testing.T) {
	t.Parallel()
	p := newProxy(t, nil)
	p.launch()
	for !accepts(p.httpAddress) { // without a rest: the moment is short
		p.mustRun()
	}
	assert.Equal(t, 0, p.stop())
}
