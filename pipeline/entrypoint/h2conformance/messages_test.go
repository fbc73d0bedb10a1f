package h2conformance

import (
	"slices"
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
