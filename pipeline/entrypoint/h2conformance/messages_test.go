package h2conformance

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"
)

func TestHTTP2_RefusesMalformedMessages(t *testing.T) { runEach(t, messages()) }

// messages has RFC 9113, section 8. Each case that refuses a head lets nothing reach the handler.
func messages() []section {
	head := request("GET", "/")
	without := func(name string) []field {
		return slices.DeleteFunc(slices.Clone(head), func(f field) bool { return f.name == name })
	}
	instead := func(name, value string) []field { return append(without(name), field{name, value}) }
	refused := func(name string, fields ...field) example {
		return example{name: name, send: []frame{getOf(1, fields...)}, want: malformed(1)}
	}
	with := func(name, fieldName, value string) example {
		return refused(name, append(request("GET", "/"), field{fieldName, value})...)
	}
	trailers := func(flags http2.Flags, fields ...field) []frame {
		return []frame{post(1), data(1, 0, "test"), headers(1, flags, block(fields...))}
	}
	// of is one with another :path, :method or :authority.
	nowhere := []field{{":method", "GET"}, {":scheme", "https"}, {":path", "/"}}
	of := func(name, method, path string) example { return refused(name, request(method, path)...) }
	from := func(name string, fields ...field) example {
		return refused(name, append(slices.Clone(nowhere), fields...)...)
	}
	withBody := func(name, body string, fields ...field) example {
		return example{name: name, send: []frame{post(1, fields...), data(1, endStream, body)}, want: malformed(1)}
	}
	return []section{
		{"8.1 Framing", []example{
			{
				name: "trailers without END_STREAM",
				send: trailers(endHeaders, field{"x-test", "ok"}), want: malformed(1), calls: 1,
			},
		}},
		{"8.1.1 Malformed messages", []example{
			{
				name: "content-length below DATA",
				send: []frame{post(1, field{"content-length", "1"}), data(1, endStream, "test")}, want: malformed(1), calls: 1,
			},
			{
				name: "content-length below DATA of several frames",
				send: []frame{post(1, field{"content-length", "1"}), data(1, 0, "test"), data(1, endStream, "test")},
				want: malformed(1), calls: 1,
			},
			{
				name: "content-length below DATA, the last of several frames",
				send: []frame{post(1, field{"content-length", "5"}), data(1, 0, "test"), data(1, endStream, "test")},
				want: malformed(1), calls: 1,
			},
			{
				name: "content-length above DATA",
				send: []frame{post(1, field{"content-length", "5"}), data(1, endStream, "test")}, want: malformed(1), calls: 1,
			},
			{
				name: "content-length above DATA, and trailers",
				send: []frame{
					post(1, field{"content-length", "5"}), data(1, 0, "test"),
					headers(1, endStream|endHeaders, block(field{"x-sum", "42"})),
				},
				want: malformed(1), calls: 1,
			},
			with("a length and END_STREAM in HEADERS", "content-length", "5"),
			with("a length that is none", "content-length", "-1"),
			withBody("a length that is no number and an empty body", "", field{"content-length", "0x4"}),
			withBody("a length that is no number", "test", field{"content-length", "four"}),
			withBody("a length with a sign", "test", field{"content-length", "+4"}),
			withBody("a list of lengths", "test", field{"content-length", "4, 4"}),
			withBody("an empty length", "test", field{"content-length", ""}),
			withBody("a length beyond 63 bits", "test", field{"content-length", strings.Repeat("9", 20)}),
			withBody("two lengths that differ", "test", field{"content-length", "4"}, field{"content-length", "40"}),
			withBody("two lengths that do not differ", "test", field{"content-length", "4"}, field{"content-length", "4"}),
		}},
		{"8.2.1 Field validity", []example{
			with("a name in upper case", "X-TEST", "ok"),
			with("an empty name", "", "ok"),
			with("a space in a name", "x test", "ok"),
			with("a colon in a name", "x:test", "ok"),
			with("a line break in a name", "x-test: ok\r\nx-next", "ok"),
			with("a character beyond ASCII in a name", "x-t\xe9st", "ok"),
			with("NUL in a value", "x-test", "o\x00k"),
			with("CR in a value", "x-test", "o\rk"),
			with("LF in a value", "x-test", "o\nk"),
			with("white space around a value", "x-test", " \tok "),
			with("white space before a value", "x-test", " ok"),
			with("white space behind a value", "x-test", "ok\t"),
			with("nothing but white space", "x-test", " "),
			with("a request in a value", "x-test", "ok\r\n\r\nGET /next HTTP/1.1\r\nHost: app.example.com\r\n\r\n"),
		}},
		// h2spec takes the reset only, and not the 400 that section 8.1.1 allows.
		{"8.2.2 Connection-specific fields", []example{
			with("connection", "connection", "keep-alive"),
			with("connection that names a field", "connection", "x-forwarded-for"),
			with("keep-alive", "keep-alive", "timeout=5"),
			with("proxy-connection", "proxy-connection", "keep-alive"),
			with("transfer-encoding", "transfer-encoding", "chunked"),
			with("transfer-encoding identity", "transfer-encoding", "identity"),
			with("upgrade", "upgrade", "websocket"),
			with("te with more than trailers", "te", "trailers, deflate"),
			with("te without trailers", "te", "gzip"),
			{
				name: "transfer-encoding on a request with a body",
				send: []frame{post(1, field{"transfer-encoding", "chunked"}), data(1, endStream, "0\r\n\r\n")},
				want: malformed(1),
			},
			{
				name: "transfer-encoding in trailers",
				send: trailers(endStream|endHeaders, field{"transfer-encoding", "chunked"}), want: malformed(1), calls: 1,
			},
			{name: "te with trailers is none", send: []frame{get(1, field{"te", "trailers"})}, want: answered(1), calls: 1},
		}},
		{"8.3 Control data", []example{
			with("an unknown pseudo-header field", ":test", "ok"),
			with("the response's", ":status", "200"),
			{
				name: "in trailers", send: trailers(endStream|endHeaders, field{":method", "POST"}),
				want: malformed(1), calls: 1,
			},
			refused("after another field", append([]field{{"x-test", "ok"}}, head...)...),
			refused("some after another field", slices.Insert(slices.Clone(head), 2, field{"x-test", "ok"})...),
		}},
		{"8.3.1 Request pseudo-header fields", []example{
			refused("an empty :path", instead(":path", "")...),
			refused("no :method", without(":method")...),
			refused("no :scheme", without(":scheme")...),
			refused("no :path", without(":path")...),
			with("a second :method", ":method", "GET"),
			with("a second :scheme", ":scheme", "https"),
			with("a second :path", ":path", "/"),
			with("a second :authority", ":authority", "other.example.com"),
			refused("an empty :method", instead(":method", "")...),
			refused("a :scheme that is not HTTP's", instead(":scheme", "ftp")...),
			refused("a :path without its slash", instead(":path", "index.html")...),
			refused("a :path with a line break", instead(":path", "/ HTTP/1.1\r\nHost: other.example.com")...),
			refused("a :method with a line break", instead(":method", "GET / HTTP/1.1\r\nx-test:")...),
			refused("an :authority with a line break", instead(":authority", "app.example.com\r\nx-test:")...),
			// A path begins with "/"; "*" is for OPTIONS, and the absolute form for nobody.
			of("an asterisk of GET", "GET", "*"),
			of("an absolute URI as :path", "GET", "https://other.example.com/x"),
			of("another scheme's URI as :path", "GET", "mailto:x"),
			// RFC 3986, section 3.3: neither a space nor a fragment is in a path. With a space the request line of HTTP/1.1
			// has one part too many.
			of("a space in :path", "GET", "/x HTTP/1.1"),
			of("a fragment in :path", "GET", "/x#y"),
			// RFC 9110, section 9.1: a method is a token.
			of("a space in :method", "GET /admin", "/"),
			of("a colon in :method", "x-test:", "/"),
			from("a space in :authority", field{":authority", "a b"}),
			// RFC 9110, section 7.2: there is one Host, and it is the :authority (a SHOULD, without which two could differ).
			from("several Host without :authority", field{"host", "a.example.com"}, field{"host", "b.example.com"}),
			with("a Host that differs from :authority", "host", "other.example.com"),
			refused("an :authority with user information", instead(":authority", "admin@app.example.com")...),
		}},
		{"8.4 Server push", []example{
			{
				name: "PUSH_PROMISE of a client",
				send: []frame{getWaiting(1), {http2.FramePushPromise, endHeaders, 1, number(2) + basic()}},
				want: connectionError(http2.ErrCodeProtocol), calls: 1,
			},
		}},
		{"8.5 CONNECT", []example{
			refused("with :path", append(request("CONNECT", "/"), field{"x-test", "ok"})...),
			refused("without :authority", field{":method", "CONNECT"}),
			// RFC 8441, section 3: only after the server's SETTINGS_ENABLE_CONNECT_PROTOCOL.
			refused("with :protocol", append(request("CONNECT", "/"), field{":protocol", "websocket"})...),
		}},
	}
}
