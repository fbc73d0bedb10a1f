package h2conformance

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
)

// reading is a request and what the handler must read in it.
type reading struct {
	name string
	send []frame
	want func(*testing.T, call)
}

func TestHTTP2_GivesTheHandlerEachRequestAsItIs(t *testing.T) { readEach(t, understood()) }

// readEach sends each request on a connection of its own, and one more after it: nothing of the first may be taken for
// another request, or for a part of it.
func readEach(t *testing.T, readings []reading) {
	s := serve(t)
	for _, r := range readings {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			c := s.dial(t)
			c.send(r.send...)
			c.await(answered(1))
			c.send(get(3, field{"x-last", "yes"}))
			c.await(answered(3))
			calls := s.callsOn(c)
			require.Len(t, calls, 2)
			r.want(t, calls[0])
			assert.Equal(t, call{
				method: "GET", host: authority, target: "/", header: http.Header{"X-Last": {"yes"}},
			}, calls[1])
		})
	}
}

// understood has odd requests that are none the less right.
func understood() []reading {
	nowhere := []field{{":method", "GET"}, {":scheme", "https"}, {":path", "/"}}
	target := func(want string) func(*testing.T, call) {
		return func(t *testing.T, got call) { assert.Equal(t, want, got.target) }
	}
	from := func(host string) func(*testing.T, call) {
		return func(t *testing.T, got call) { assert.Equal(t, host, got.host) }
	}
	return []reading{
		{"the asterisk of OPTIONS", []frame{getOf(1, request("OPTIONS", "*")...)}, target("*")},
		{"a path that begins with two slashes", []frame{getOf(1, request("GET", "//other.example.com/x")...)},
			func(t *testing.T, got call) {
				assert.Equal(t, "//other.example.com/x", got.target)
				assert.Equal(t, authority, got.host)
			}},
		{"a path with dots and escapes", []frame{getOf(1, request("GET", "/a/../%2e%2e/%2F?q=%00")...)},
			target("/a/../%2e%2e/%2F?q=%00")},
		{"CONNECT", []frame{getOf(1, field{":method", "CONNECT"}, field{":authority", "other.example.com:443"})},
			func(t *testing.T, got call) {
				assert.Equal(t, "CONNECT", got.method)
				assert.Equal(t, "other.example.com:443", got.host)
			}},
		{"a Host without :authority",
			[]frame{getOf(1, append(nowhere, field{"host", "old.example.com"})...)}, from("old.example.com")},
		{"neither Host nor :authority", []frame{getOf(1, nowhere...)}, from("")},
		// It came over TLS all the same, and the handler is told so: it finds the name of the connection there.
		{"a :scheme that is not the connection's",
			[]frame{getOf(1,
				field{":method", "GET"}, field{":scheme", "http"}, field{":authority", authority}, field{":path", "/"})},
			target("/")},
		// Section 8.2.3.
		{"cookies in pieces", []frame{get(1, field{"cookie", "a=1"}, field{"x-test", "ok"}, field{"cookie", "b=2"})},
			func(t *testing.T, got call) { assert.Equal(t, []string{"a=1; b=2"}, got.header["Cookie"]) }},
		{"te with trailers", []frame{get(1, field{"te", "trailers"})},
			func(t *testing.T, got call) { assert.Equal(t, []string{"trailers"}, got.header["Te"]) }},
		{"a body of the length that was said",
			[]frame{post(1, field{"content-length", "8"}), data(1, 0, "test"), data(1, 0, ""), data(1, endStream, "test")},
			func(t *testing.T, got call) {
				assert.EqualValues(t, 8, got.contentLength)
				assert.Equal(t, "testtest", got.body)
				assert.NoError(t, got.bodyError)
			}},
		{"a body of a length that was not said", []frame{post(1), data(1, endStream, "test")},
			func(t *testing.T, got call) {
				assert.EqualValues(t, -1, got.contentLength)
				assert.Equal(t, "test", got.body)
				assert.NoError(t, got.bodyError)
			}},
		{"a body that looks like a request",
			[]frame{post(1, field{"content-length", "0"}, field{"x-test", "ok"}), data(1, endStream, "")},
			func(t *testing.T, got call) {
				assert.Zero(t, got.contentLength)
				assert.Empty(t, got.body)
				assert.NoError(t, got.bodyError)
			}},
		{"a chunked body that is none", []frame{post(1), data(1, endStream, "0\r\n\r\nGET /next HTTP/1.1\r\n\r\n")},
			func(t *testing.T, got call) {
				assert.Equal(t, "0\r\n\r\nGET /next HTTP/1.1\r\n\r\n", got.body)
				assert.NoError(t, got.bodyError)
			}},
		{"trailers that were announced",
			[]frame{
				post(1, field{"trailer", "x-sum"}), data(1, 0, "test"),
				headers(1, endStream|endHeaders, block(field{"x-sum", "42"})),
			},
			func(t *testing.T, got call) { assert.Equal(t, http.Header{"X-Sum": {"42"}}, got.trailer) }},
		{"trailers that were not announced",
			[]frame{post(1), data(1, 0, "test"), headers(1, endStream|endHeaders, block(field{"x-sum", "42"}))},
			func(t *testing.T, got call) { assert.Equal(t, http.Header{"X-Sum": {"42"}}, got.trailer) }},
		{"trailers that are framing or routing",
			[]frame{
				post(1, field{"trailer", "transfer-encoding, content-length"}), data(1, 0, "test"),
				headers(1, endStream|endHeaders, block(field{"content-length", "9"}, field{"host", "other.example.com"})),
			},
			func(t *testing.T, got call) {
				assert.Empty(t, got.trailer)
				assert.NotContains(t, got.header, "Content-Length")
				assert.Equal(t, authority, got.host)
			}},
	}
}

func TestHTTP2_GivesTheHandlerNoMoreOfABodyThanWasSaid(t *testing.T) {
	s := serve(t)
	connection := s.dial(t)
	connection.send(post(1, field{"content-length", "3"}), data(1, endStream, "test"))
	connection.await(streamError(1, http2.ErrCodeProtocol))
	connection.send(get(3))
	connection.await(answered(3))
	// The handler is let go, and has to see that the body is not whole.
	require.Eventually(t, func() bool {
		for _, call := range s.callsOn(connection) {
			if call.method == "POST" {
				return call.bodyError != nil && call.body == ""
			}
		}
		return false
	}, patience, waitStep)
}
