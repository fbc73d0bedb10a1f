package main_test

import (
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/acme/acmetest"
)

// Errors of the CA are repeated within a try, up to three times. A second try comes two and a half seconds after the first
// at the soonest, and each further one later and later.
const (
	requestsOfATry = 3
	soonestTry     = 2500 * time.Millisecond
)

func TestACME_TroubleWithANameHoldsUpNoOtherAndEndsByItself(t *testing.T) {
	t.Parallel()
	ca := acmetest.Start(t, acmetest.Options{})
	mend := ca.Fail(acmetest.Fault{Endpoint: acmetest.NewOrder, Name: "bad.example.com", Status: http.StatusInternalServerError})
	ca.Fail(acmetest.Fault{
		Endpoint: acmetest.NewOrder, Name: "limited.example.com", Times: 1,
		Status: http.StatusTooManyRequests, Problem: "rateLimited", Detail: "too many of them", RetryAfter: "6",
	})
	begin := time.Now()
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
	limited := ca.NewOrders()["limited.example.com"]
	if time.Since(begin) < 6*time.Second {
		assert.Equal(t, 1, limited, "Retry-After says when it may be asked for again")
	}

	p.awaitSigned(ca, "limited.example.com")
	tries := ca.NewOrders()["bad.example.com"]
	assert.LessOrEqual(t, tries, requestsOfATry*atMost(begin, soonestTry))
	mend()
	eventually(t, 4*patience, func() bool { return ca.Orders()["bad.example.com"] > 0 }, "it is not tried again")
	p.awaitSigned(ca, "bad.example.com")
	orders := ca.Orders()
	assert.LessOrEqual(t, orders["elsewhere.example.com"], atMost(begin, 30*time.Second),
		"a name that could not be validated is left alone for half a minute at least")
	delete(orders, "elsewhere.example.com")
	assert.Equal(t, once("bad.example.com", "limited.example.com", "good.example.com"), orders)
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
	begin := time.Now()
	p := startOnACME(t, ca, config{"log.level": "debug"}, web.service(t, "web", tags...))
	for _, name := range names {
		p.awaitLog("ERROR", "name="+name)
		p.awaitLog("still no certificate for a name", "name="+name)
		p.showsSelfSigned(name)
	}
	// Of all that have failed the CA is spared most: who finds it away says so to the others.
	assert.LessOrEqual(t, int(connections.Load()), len(names)*requestsOfATry*atMost(begin, soonestTry))
	assert.Len(t, p.logLines("ERROR"), len(names), "trouble is said once for each name")
	closed()
	ca.Restart()
	for _, name := range names { // some have tried several times by now
		eventually(t, 4*patience, func() bool { return ca.Orders()[name] > 0 }, "it is not tried again")
	}
	p.awaitSigned(ca, names...)
	assert.Equal(t, once(names...), ca.Orders())
	assert.Equal(t, 1, ca.Accounts())
}

func TestACME_WhatTheCAsDirectoryAsksForIsObeyedForAllNames(t *testing.T) {
	t.Parallel()
	const pause = 4 * time.Second
	ca := acmetest.Start(t, acmetest.Options{})
	mend := ca.Fail(acmetest.Fault{Endpoint: acmetest.Directory, Status: http.StatusServiceUnavailable, RetryAfter: "4"})
	names := []string{"a.example.com", "b.example.com", "c.example.com"}
	begin := time.Now()
	p := startOnACME(t, ca, nil, naming(t, "web").service(t, "web",
		"tricot a.example.com", "tricot b.example.com", "tricot c.example.com"))
	for _, name := range names {
		p.awaitLog("ERROR", "name="+name, "HTTP 503", "not before")
		p.showsSelfSigned(name)
	}
	p.eventually(func() bool { return ca.Requests(acmetest.Directory) > 1 }, "the directory is not asked for again")
	requests, asked := ca.Requests(""), ca.Requests(acmetest.Directory) // in this order: there may be more by now
	assert.LessOrEqual(t, asked, atMost(begin, pause), "Retry-After holds for all names")
	assert.LessOrEqual(t, requests, asked, "nothing else is asked for")
	mend()
	eventually(t, 4*patience, func() bool { return len(ca.Orders()) == len(names) }, "they are not tried again")
	p.awaitSigned(ca, names...)
	assert.Equal(t, once(names...), ca.Orders())
	assert.Len(t, p.logLines("ERROR"), len(names), "trouble is said once for each name")
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
