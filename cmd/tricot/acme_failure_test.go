package main_test

import (
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/acme/acmetest"
)

// Errors of the CA are repeated within a try, up to three times; a try comes 5 s at most after the first, and then later
// and later.
const requestsOfATry = 3

func TestACME_TroubleWithANameHoldsUpNoOtherAndEndsByItself(t *testing.T) {
	t.Parallel()
	ca := acmetest.Start(t, acmetest.Options{})
	mend := ca.Fail(acmetest.Fault{Endpoint: acmetest.NewOrder, Name: "bad.example.com", Status: http.StatusInternalServerError})
	ca.Fail(acmetest.Fault{
		Endpoint: acmetest.NewOrder, Name: "limited.example.com", Times: 1,
		Status: http.StatusTooManyRequests, Problem: "rateLimited", Detail: "too many of them", RetryAfter: "6",
	})
	p := newProxy(t, onACME(ca, config{"certs.parallel": 1}), naming(t, "web").service(t, "web",
		"tricot bad.example.com", "tricot limited.example.com", "tricot elsewhere.example.com", "tricot good.example.com"))
	here := acmetest.Forward(func(*http.Request) string { return p.httpAddress })
	ca.Answer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Host, "elsewhere.") { // the name leads to a machine that knows nothing of the challenge
			http.NotFound(w, r)
			return
		}
		here.ServeHTTP(w, r)
	}))
	p.launch()
	p.awaitListening()
	p.awaitSigned(ca, "good.example.com")
	for name, says := range map[string]string{
		"bad.example.com": "HTTP 500", "limited.example.com": "too many of them", "elsewhere.example.com": "404",
	} {
		p.awaitLog("ERROR", "name="+name, says)
		p.showsSelfSigned(name)
	}
	assert.Equal(t, 1, ca.NewOrders()["limited.example.com"], "Retry-After says when it may be asked for again")

	p.awaitSigned(ca, "limited.example.com")
	assert.LessOrEqual(t, ca.NewOrders()["bad.example.com"], 3*requestsOfATry)
	mend()
	p.awaitSigned(ca, "bad.example.com")
	assert.Equal(t, once("bad.example.com", "limited.example.com", "elsewhere.example.com", "good.example.com"), ca.Orders(),
		"a name that could not be validated is left alone for half a minute at least")
	for _, name := range []string{"bad.example.com", "limited.example.com"} {
		p.awaitLog("a name has its certificate after all", "name="+name)
	}
	assert.Len(t, p.logLines("ERROR"), 3, "trouble is said once")
}

func TestACME_WhileTheCAIsAwayItIsAskedSeldomAndThenAllGoesOn(t *testing.T) {
	t.Parallel()
	ca := acmetest.Start(t, acmetest.Options{})
	directory, err := url.Parse(ca.Directory())
	require.NoError(t, err)
	ca.Stop()
	connections := &atomic.Int64{}
	closed := hangUpAt(t, directory.Host, connections)

	web := naming(t, "web")
	names := []string{"a.example.com", "b.example.com", "c.example.com", "d.example.com", "e.example.com"}
	var tags []string
	for _, name := range names {
		tags = append(tags, "tricot "+name)
	}
	p := startOnACME(t, ca, config{"log.level": "debug"}, web.service(t, "web", tags...))
	for _, name := range names {
		p.awaitLog("ERROR", "name="+name)
		p.awaitLog("still no certificate for a name", "name="+name)
		p.showsSelfSigned(name)
	}
	// All of them have failed twice, of which the CA is spared most: who finds it away says so to the others.
	assert.LessOrEqual(t, connections.Load(), int64(2*len(names)*requestsOfATry))
	assert.Len(t, p.logLines("ERROR"), len(names), "trouble is said once for each name")
	closed()
	ca.Restart()
	p.awaitSigned(ca, names...)
	assert.Equal(t, once(names...), ca.Orders())
	assert.Equal(t, 1, ca.Accounts())
}

// hangUpAt accepts connections at an address, counts them and closes them.
func hangUpAt(t *testing.T, address string, count *atomic.Int64) (end func()) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	require.NoError(t, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			count.Add(1)
			_ = conn.Close()
		}
	}()
	end = func() {
		_ = listener.Close()
		<-ended
	}
	t.Cleanup(end)
	return end
}
