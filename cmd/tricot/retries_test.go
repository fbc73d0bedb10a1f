package main_test

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A backend that could not be reached has no work from a request, so balance.retries does not count it.
func TestRetries_DoNotBoundHowManyBackendsMayRefuse(t *testing.T) {
	t.Parallel()
	for _, retries := range []int{0, 1, 2} {
		t.Run(fmt.Sprint(retries), func(t *testing.T) {
			t.Parallel()
			services := []service{naming(t, "up").service(t, "up", "tricot app.test 50")}
			for n := range 6 { // all of a higher priority, so that each is asked before
				services = append(services, refusing(t).service(t, fmt.Sprintf("down-%d", n), fmt.Sprintf("tricot app.test %d", 60+n/2)))
			}
			p := start(t, config{"balance.retries": retries}, services...)
			client := p.client(t, http1)
			for _, method := range []string{http.MethodPost, http.MethodGet} { // the first one before any backend is left out
				reply := send(t, client, newRequest(t, method, "https://app.test/", strings.NewReader("content")))
				require.Equal(t, http.StatusOK, reply.StatusCode)
				assert.Equal(t, "up", reply.body)
			}
		})
	}
}

// Backends that got the request before they failed are counted.
func TestRetries_BoundHowManyBackendsGetARequest(t *testing.T) {
	t.Parallel()
	for _, retries := range []int{0, 1, 2} {
		t.Run(fmt.Sprint(retries), func(t *testing.T) {
			t.Parallel()
			var got atomic.Int64
			failing := func() backend {
				return speaking(t, func(net.Conn, string) bool { got.Add(1); return false })
			}
			services := []service{naming(t, "up").service(t, "up", "tricot app.test 50")}
			for n := range 4 {
				services = append(services, failing().service(t, fmt.Sprintf("failing-%d", n), "tricot app.test"))
			}
			p := start(t, config{"balance.retries": retries}, services...)
			reply := get(t, p.client(t, http2), "https://app.test/")
			assert.Equal(t, http.StatusBadGateway, reply.StatusCode)
			assert.EqualValues(t, 1+retries, got.Load(), "backends that got it")

			got.Store(0)
			reply = send(t, p.client(t, http2), newRequest(t, http.MethodPost, "https://app.test/", strings.NewReader("content")))
			assert.Equal(t, http.StatusBadGateway, reply.StatusCode)
			assert.EqualValues(t, 1, got.Load(), "a POST is not repeated")
		})
	}
}
