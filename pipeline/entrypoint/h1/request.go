package h1

import (
	"net/http"
	"net/textproto"
	"net/url"
	"strings"

	"github.com/tricot-proxy/tricot/pipeline"
	shared "github.com/tricot-proxy/tricot/pipeline/entrypoint/exchange"
	"github.com/tricot-proxy/tricot/pipeline/http1"
)

// exchange is one request with its answer: all that is made for it, in one allocation. Whoever keeps the request keeps all
// of it, so nothing here is used again for another one.
type exchange struct {
	conn     *conn
	request  http.Request
	url      url.URL
	life     life
	body     body
	response response
}

// readRequest reads the next request's head. The error is a [*refusal], one of package http1, or of the connection.
func (c *conn) readRequest() (*exchange, error) {
	c.inHead = true
	if err := c.skipEmptyLine(); err != nil {
		return nil, err
	}
	b := c.buffers
	head, long, err := http1.ReadHead(b.reader, b.long, c.server.options.MaxHeaderBytes)
	b.long = long
	if err != nil {
		return nil, err
	}
	c.inHead = false
	c.requests++
	line, lines, err := http1.CutLine(string(head)) // the one copy, whose memory all strings of the request share
	if err != nil {
		return nil, err
	}
	x := &exchange{conn: c}
	x.body.exchange, x.response.exchange = x, x
	x.life.init(x)
	// WithContext is the only way to a request's context; what it makes stays on the stack.
	x.request = *(&http.Request{Header: make(http.Header), URL: &x.url, Body: http.NoBody, RemoteAddr: c.remote, TLS: c.tls}).
		WithContext(&x.life)
	if err := x.readLine(line); err != nil {
		return nil, err
	}
	if err := http1.ParseFields(lines, x.request.Header); err != nil {
		return nil, err
	}
	if err := x.readHost(); err != nil {
		return nil, err
	}
	if err := x.frame(); err != nil {
		return nil, err
	}
	return x, x.expect()
}

// skipEmptyLine forgives one before a request, which some clients send after the content of the one before (RFC 9112,
// section 2.2).
func (c *conn) skipEmptyLine() error {
	r := c.buffers.reader
	first, err := r.Peek(1)
	if err != nil {
		return err
	}
	if first[0] != '\r' {
		return nil
	}
	if first, err = r.Peek(2); err != nil {
		return err
	}
	if first[1] == '\n' {
		_, err = r.Discard(2)
	}
	return err
}

// readLine reads the request line.
func (x *exchange) readLine(line string) error {
	l, err := http1.ParseRequestLine(line)
	if err != nil {
		return err
	}
	if l.Major != 1 {
		return &refusal{http.StatusHTTPVersionNotSupported, "HTTP/1.1 is spoken here"}
	}
	r := &x.request
	r.Method, r.RequestURI = l.Method, l.Target
	r.Proto, r.ProtoMajor, r.ProtoMinor = l.Version, l.Major, l.Minor
	if _, err := http1.TargetForm(l.Method, l.Target); err != nil {
		return err
	}
	if err := shared.ParseTarget(&x.url, l.Target); err != nil {
		return &refusal{http.StatusBadRequest, "a target that cannot be decoded"}
	}
	return nil
}

// readHost takes the request's host from its target or, where that has none, from the Host field (RFC 9112, section 3.2).
func (x *exchange) readHost() error {
	r := &x.request
	hosts := r.Header["Host"]
	switch {
	case len(hosts) > 1:
		return &refusal{http.StatusBadRequest, "more than one Host"}
	case len(hosts) == 0 && r.ProtoMinor > 0:
		return &refusal{http.StatusBadRequest, "no Host"}
	case len(hosts) == 1 && !http1.IsHost(hosts[0]):
		return &refusal{http.StatusBadRequest, "a Host that is none"}
	}
	r.Host = r.URL.Host
	if len(hosts) == 1 {
		if r.Host == "" {
			r.Host = hosts[0]
		}
		delete(r.Header, "Host")
	}
	return nil
}

// frame finds out how the request's content ends, and whether the connection does with it.
func (x *exchange) frame() error {
	r := &x.request
	length, err := http1.RequestLength(r.Header, r.ProtoMinor)
	if err != nil {
		return err
	}
	r.ContentLength = length
	w := &x.response
	w.length, w.isHead, w.isOld = -1, r.Method == http.MethodHead, r.ProtoMinor == 0
	if connection := r.Header["Connection"]; connection != nil {
		w.asksClose = pipeline.HasToken(connection, "close")
		w.asksKeep = w.isOld && !w.asksClose && pipeline.HasToken(connection, "keep-alive")
	}
	w.asksClose = w.asksClose || w.isOld && !w.asksKeep
	r.Close = w.asksClose
	if length == 0 {
		x.body.ended.Store(true)
		return nil
	}
	r.Body = &x.body
	if length == http1.Chunked {
		delete(r.Header, "Transfer-Encoding")
		r.TransferEncoding = []string{"chunked"}
		x.body.chunks.Reset(x.conn.buffers.reader)
		return x.announceTrailers()
	}
	x.body.left = length
	return nil
}

// announceTrailers moves what the Trailer field announces to where net/http has it.
func (x *exchange) announceTrailers() error {
	announced, ok := x.request.Header["Trailer"]
	if !ok {
		return nil
	}
	delete(x.request.Header, "Trailer")
	trailer := make(http.Header)
	for name := range shared.Elements(announced) {
		switch name = textproto.CanonicalMIMEHeaderKey(name); name {
		case "Transfer-Encoding", "Trailer", "Content-Length":
			return &refusal{http.StatusBadRequest, "a trailer announced that is none"}
		}
		trailer[name] = nil
	}
	if len(trailer) > 0 {
		x.request.Trailer = trailer
	}
	return nil
}

// expect takes note of a client that waits to be asked for the content (RFC 9110, section 10.1.1). One that speaks
// HTTP/1.0 does not.
func (x *exchange) expect() error {
	expected, ok := x.request.Header["Expect"]
	if !ok {
		return nil
	}
	if len(expected) != 1 || !strings.EqualFold(expected[0], "100-continue") {
		return &refusal{http.StatusExpectationFailed, `only "100-continue" can be expected`}
	}
	if !x.response.isOld && x.request.ContentLength != 0 {
		x.response.expects, x.response.mayContinue = true, true
	}
	return nil
}
