package main_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestReload_ClosesTheIdleConnectionsOfABackendThatLeaves(t *testing.T) {
	t.Parallel()
	closed := make(chan string, 100)
	named := func(name string) backend {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, name)
		}))
		server.Config.IdleTimeout = time.Hour
		server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateClosed {
				closed <- name
			}
		}
		server.Start()
		t.Cleanup(server.Close)
		return backend{server.Listener.Addr().String()}
	}
	stays := named("stays").service(t, "stays", "tricot stays.test")
	leaves := named("leaves").service(t, "leaves", "tricot leaves.test")
	p := start(t, config{"middleware.transport.idle_timeout": "1h"}, stays, leaves)
	client := p.client(t, http1)
	for _, name := range []string{"stays", "leaves"} {
		assert.Equal(t, name, get(t, client, "https://"+name+".test/").body)
	}
	p.writeServices(stays)
	select {
	case name := <-closed:
		assert.Equal(t, "leaves", name)
	case <-time.After(2 * patience):
		assert.Fail(t, "no connection was closed")
	}
	assert.Equal(t, "stays", get(t, client, "https://stays.test/").body)
	assert.Empty(t, closed, "and none but that")
}
