// Package metrics is the stage that counts requests, and the [prometheus.Collector] that shows the counts.
//
// It needs nothing, and sets nothing but a body of the request that counts, where the request does not say how long it is.
// It reads the state that the other stages leave, and is meant to stand ahead of all that may answer: behind access_log.
//
// # Metrics
//
//	tricot_requests_total{host,method,code}                   requests that have ended
//	tricot_requests_in_flight                                 those that have not, upgraded connections included
//	tricot_request_duration_seconds{host}                     from the head of the request to the end of the response
//	tricot_request_backend_duration_seconds{host}             the backend's part of it
//	tricot_request_own_duration_seconds                       Tricot's own part of it
//	tricot_request_content_bytes_total{host}                  content that clients sent; up to 64 KiB as announced
//	tricot_response_content_bytes_total{host}                 content that clients got, compressed where it was
//	tricot_request_retries_total{host}                        backends that were asked in vain, the last ones not counted
//	tricot_upgraded_connections_total{host}                   connections that became tunnels (101)
//	tricot_upgraded_connections_open                          those that have not ended
//
// The label host is that of the rule that a request matched, such as "*.example.com", so that clients cannot make series. It
// is [NoRoute] where none did, or where an earlier stage answered: a redirect to HTTPS, a challenge. method is one of GET,
// HEAD, POST, PUT, PATCH, DELETE, OPTIONS and other. code is that of the response as the client got it; 499: the client
// left before there was one; other: none, for the response was aborted before its head.
//
// # Whose time it is
//
// The backend's part is from handing it the request to the head of its answer, or to the end where it gave none. What
// follows the head is as much the client's time as the backend's, and counts for neither. Of a request that several
// backends were asked for it is that of the last one.
//
// Tricot's own part is what a request waits in Tricot before a backend has it: finding the route, picking the backend. For
// a request that no backend is asked for it is all of the time. A request that several backends were asked for has none:
// before the last one it waited for the others.
//
// An upgraded connection counts up to the answer that upgraded it.
package metrics

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/tricot-proxy/tricot/pipeline"
)

// Name is what settings and logs call the stage.
const Name = "metrics"

// NoRoute is the label of requests that matched no rule. It is no host that a rule may have.
const NoRoute = "(none)"

// forgetAfter is how long the counts of a host are kept that no rule names any more: long enough for a rule to come back
// after a failed deployment and for every Prometheus to have read the last ones.
const forgetAfter = time.Hour

// believed is the longest content whose announced length is counted. Longer content is counted as it is read: a client can
// announce what it never sends.
const believed = 64 << 10

// Requests are the counts of all requests. It is a [prometheus.Collector], and may be used by many goroutines at once.
type Requests struct {
	now          func() time.Time
	descriptions descriptions

	hosts    hosts
	own      histogram
	inFlight atomic.Int64
	upgraded atomic.Int64 // open
}

// New gives counts at zero.
func New() *Requests {
	c := &Requests{now: time.Now, descriptions: describe()}
	c.hosts.init()
	return c
}

// Stage gives the stage that counts. A request costs it no allocation, unless its content is long or of no known length or it asks
// for an upgrade.
func (c *Requests) Stage(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		state, w, r := pipeline.Enter(w, r)
		x := exchange{counts: c, state: state, r: r, method: methodOf(r.Method), aborted: true}
		x.content = r.ContentLength
		if (r.ContentLength < 0 || r.ContentLength > believed) && r.Body != nil {
			x.content = -1
			x.body = &body{ReadCloser: r.Body}
			r.Body = x.body
		}
		if _, ok := r.Header["Upgrade"]; ok {
			x.upgrade = &upgrade{ResponseWriter: w, open: &c.upgraded}
			w = x.upgrade
		}
		c.inFlight.Add(1)
		defer x.end() // a response that is cut short is a panic, which passes through here as it came
		next.ServeHTTP(w, r)
		x.aborted = false
	})
}

// exchange is one request while it lasts.
type exchange struct {
	counts  *Requests
	state   *pipeline.State
	r       *http.Request
	method  method
	content int64    // of the request, in bytes; below 0: unknown
	body    *body    // counts it then
	upgrade *upgrade // nil where none is asked for
	aborted bool
}

func (x *exchange) end() {
	c, state := x.counts, x.state
	c.inFlight.Add(-1)
	end := c.now()
	upgraded := x.upgrade != nil && x.upgrade.begun
	if upgraded {
		c.upgraded.Add(-1)
		if !state.Answered.IsZero() {
			end = state.Answered
		}
	}

	name := NoRoute
	if state.Route != nil {
		name = state.Route.Host
	}
	host := c.hosts.of(name)
	host.total.observe(end.Sub(state.Received))
	switch {
	case state.Sent.IsZero():
		c.own.observe(end.Sub(state.Received))
	case state.Tries <= 1:
		c.own.observe(state.Sent.Sub(state.Received))
	}
	if !state.Sent.IsZero() {
		answered := state.Answered
		if answered.IsZero() {
			answered = end
		}
		host.backend.observe(answered.Sub(state.Sent))
	}
	content := x.content
	if x.body != nil {
		content = x.body.read.Load()
	}
	if content > 0 {
		host.received.Add(uint64(content))
	}
	if state.Bytes > 0 {
		host.sent.Add(uint64(state.Bytes))
	}
	if state.Tries > 1 {
		host.retries.Add(uint64(state.Tries - 1))
	}
	if upgraded {
		host.upgraded.Add(1)
	}
	host.requests.of(series{x.method, codeOf(state.Outcome(x.r.Context(), x.aborted))}).Add(1)
}
