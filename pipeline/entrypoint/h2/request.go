package h2

import (
	"log/slog"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/tricot-proxy/tricot/pipeline/entrypoint/exchange"
	"github.com/tricot-proxy/tricot/pipeline/http1"
)

// head is what a request's block has, beside its fields.
type head struct {
	method, scheme, authority, path string
	has                             pseudo
	malformed                       string // why it is; empty where it is not
	tooLarge                        bool
}

// pseudo is a set of pseudo-header fields (RFC 9113, section 8.3).
type pseudo uint8

const (
	hasMethod pseudo = 1 << iota
	hasScheme
	hasAuthority
	hasPath
)

// refusal is the answer to what is no request, though HTTP/2 is spoken.
type refusal struct {
	status int
	reason string
}

func (r *refusal) serve(w *response) {
	http.Error(w, strconv.Itoa(r.status)+" "+http.StatusText(r.status)+": "+r.reason, r.status)
}

// takeHead takes a block: it opens a stream, or it is the trailers of one.
func (c *conn) takeHead(id uint32, ended bool, block []byte) error {
	if id%2 == 0 {
		return failure(protocolError, "a stream of the server's")
	}
	c.mu.Lock()
	s := c.streams[id]
	known := !c.isIdle(id)
	late := known && (id > c.lastID || c.resets.has(id))
	code := c.admit(id)
	c.mu.Unlock()
	switch {
	case s != nil:
		return c.takeTrailers(s, ended, block)
	case late:
		return c.discardHead(block)
	case known:
		return failure(protocolError, "HEADERS on a stream that is closed, or below the last") // section 5.1.1
	case code != noError:
		return c.refuseHead(id, code, block)
	}
	s = c.newStream(id)
	h, err := c.readHead(block)
	if err != nil {
		return err
	}
	if h.malformed == "" {
		s.read(&h, c.fields, ended)
	}
	c.dropFields()
	if h.malformed != "" {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.refuse(id, protocolError, h.malformed)
	}
	if s.refusal != nil {
		c.debug("request refused", slog.Int("status", s.refusal.status), slog.String("reason", s.refusal.reason))
	}
	c.open(s, ended)
	return nil
}

// admit says whether there is room for a stream that is not known yet. The lock must be held.
func (c *conn) admit(id uint32) errorCode {
	if !c.isIdle(id) {
		return noError
	}
	if c.drained >= final {
		c.ignored = id
		return refusedStream
	}
	c.lastID = id
	if len(c.streams) >= maxStreams || c.busy >= maxStreams {
		return refusedStream
	}
	return noError
}

// refuseHead refuses a stream before it has begun. After a GOAWAY that did not name it, it need not be told (section 6.8).
func (c *conn) refuseHead(id uint32, code errorCode, block []byte) error {
	if err := c.discardHead(block); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.drained >= final {
		return nil
	}
	if c.refused++; c.refused > 4*maxStreams {
		return failure(enhanceYourCalm, "streams that are reset and asked for again")
	}
	c.debug("stream refused", slog.String("reason", "too many streams"), slog.Uint64("stream", uint64(id)))
	c.reset(id, code)
	return c.outbox.reply()
}

// discardHead reads a block for the sake of the tables.
func (c *conn) discardHead(block []byte) error {
	_, err := c.readHead(block)
	c.dropFields()
	return err
}

// dropFields lets go of the fields of the head that was read last, and of much room.
func (c *conn) dropFields() {
	const keep = 64
	if cap(c.fields) > keep {
		c.fields = nil
		return
	}
	clear(c.fields)
	c.fields = c.fields[:0]
}

// readHead reads a block: its fields into c.fields. The error is the connection's.
func (c *conn) readHead(block []byte) (head, error) {
	var h head
	size := 0
	d := c.decoder
	d.Reset(block)
	for f, ok := d.Next(); ok; f, ok = d.Next() {
		size += len(f.Name) + len(f.Value) + 32 // section 6.5.2
		switch {
		case size > c.server.options.MaxHeaderBytes, len(c.fields) >= http1.MaxFields:
			h.tooLarge = true
		case !f.Valid:
			h.blame("a field that is none: " + strconv.Quote(f.Name))
		case f.Canonical == "":
			h.takePseudo(f.Name, f.Value, len(c.fields) > 0)
		case isConnectionSpecific(f.Canonical), f.Canonical == "Te" && f.Value != "trailers":
			h.blame("a field of HTTP/1.1 connections: " + f.Name)
		default:
			c.fields = append(c.fields, line{f.Canonical, f.Value})
		}
	}
	if err := d.Err(); err != nil {
		return h, failure(compressionError, err.Error())
	}
	return h, nil
}

// blame takes note of what is wrong; the first is enough.
func (h *head) blame(reason string) {
	if h.malformed == "" {
		h.malformed = reason
	}
}

func (h *head) takePseudo(name, value string, late bool) {
	var field *string
	var bit pseudo
	switch name {
	case ":method":
		field, bit = &h.method, hasMethod
	case ":scheme":
		field, bit = &h.scheme, hasScheme
	case ":authority":
		field, bit = &h.authority, hasAuthority
	case ":path":
		field, bit = &h.path, hasPath
	default:
		h.blame("an unknown pseudo-header field: " + strconv.Quote(name))
		return
	}
	if h.has&bit != 0 || late {
		h.blame("a pseudo-header field twice, or behind others: " + name)
		return
	}
	h.has |= bit
	*field = value
}

// isConnectionSpecific is for the fields that HTTP/2 does without (section 8.2.2).
func isConnectionSpecific(name string) bool {
	switch name {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

// check says what is wrong with the pseudo-header fields as such (section 8.3.1).
func (h *head) check() {
	switch {
	case h.method == "":
		h.blame("no :method")
	case h.method == http.MethodConnect:
		if h.has != hasMethod|hasAuthority || h.authority == "" { // section 8.5
			h.blame("CONNECT with more than an :authority, or without one")
		}
	case h.scheme != "https" && h.scheme != "http":
		h.blame("a :scheme that is not HTTP's, or none")
	case h.path == "":
		h.blame("no :path")
	}
}

// read makes the request of its head. What is wrong is in h.malformed or s.refusal.
func (s *stream) read(h *head, fields []line, ended bool) {
	s.response.init(h.method)
	// WithContext is the only way to a request's context; what it makes stays on the stack.
	s.request = *(&http.Request{
		Proto: "HTTP/2.0", ProtoMajor: 2, Method: h.method, URL: &s.url, Body: http.NoBody, RemoteAddr: s.conn.remote, TLS: s.conn.tls,
	}).WithContext(&s.life)
	if h.tooLarge {
		s.refuse(http.StatusRequestHeaderFieldsTooLarge, "the head of the request is longer than it may be")
		return
	}
	if h.check(); h.malformed != "" {
		return
	}
	r := &s.request
	r.Header = makeHeader(fields)
	s.readTarget(h)
	s.readHost(h.authority)
	s.response.mayTrail = len(r.Header["Te"]) > 0 // which can say nothing else (RFC 9113, section 8.2.2)
	s.readLength(ended)
	s.readExpect()
	if !ended {
		s.announceTrailers()
		r.Body = &s.body
	}
}

// refuse has the request answered with an error; the first one is.
func (s *stream) refuse(status int, reason string) {
	if s.refusal == nil {
		s.refusal = &refusal{status, reason}
	}
}

func (s *stream) refuseBad(reason string) { s.refuse(http.StatusBadRequest, reason) }

// makeHeader makes a header of field lines.
func makeHeader(fields []line) http.Header {
	header := make(http.Header, len(fields))
	values := make([]string, len(fields))
	for _, f := range fields {
		before := header[f.name]
		if before != nil {
			header[f.name] = append(before, f.value)
			continue
		}
		// Without room behind it, so that whoever appends gets a copy.
		values[0] = f.value
		header[f.name] = values[:1:1]
		values = values[1:]
	}
	if cookies := header["Cookie"]; len(cookies) > 1 { // RFC 9113, section 8.2.3
		header["Cookie"] = []string{strings.Join(cookies, "; ")}
	}
	return header
}

// readTarget makes the URL. What has no place in HTTP/1.1 must not get where it might be written so.
func (s *stream) readTarget(h *head) {
	r := &s.request
	if !http1.IsToken(h.method) { // RFC 9110, section 9.1
		s.refuseBad("a method that is no token")
		return
	}
	if h.method == http.MethodConnect {
		r.RequestURI, r.URL.Host = h.authority, h.authority
		return
	}
	r.RequestURI = h.path
	if form, err := http1.TargetForm(h.method, h.path); err != nil || form == http1.Absolute {
		s.refuseBad("a :path that is none") // RFC 9113, section 8.3.1
		return
	}
	if err := exchange.ParseTarget(&s.url, h.path); err != nil {
		s.refuseBad("a :path that cannot be decoded")
	}
}

// readHost takes the host from :authority or, where there is none, from the Host field. There is one at most, and it is the
// same (RFC 9110, section 7.2).
func (s *stream) readHost(authority string) {
	r := &s.request
	r.Host = authority
	if hosts, ok := r.Header["Host"]; ok {
		if len(hosts) > 1 || authority != "" && hosts[0] != authority {
			s.refuseBad("a Host that is not the :authority, or more than one")
		}
		r.Host = hosts[0]
		delete(r.Header, "Host")
	}
	if r.Host != "" && !http1.IsHost(r.Host) {
		s.refuseBad("an :authority or Host that is no host")
	}
}

// readLength takes note of the length that is announced.
func (s *stream) readLength(ended bool) {
	r := &s.request
	if !ended {
		r.ContentLength = -1
	}
	lengths, ok := r.Header["Content-Length"]
	if !ok {
		return
	}
	length, err := http1.ParseLength(lengths[0])
	if len(lengths) > 1 || err != nil || ended && length != 0 {
		s.refuseBad("a Content-Length that is not the content's, or more than one")
		return
	}
	r.ContentLength, s.declared = length, length
}

// readExpect takes note of a client that waits to be asked for the content (RFC 9110, section 10.1.1).
func (s *stream) readExpect() {
	expected, ok := s.request.Header["Expect"]
	if !ok {
		return
	}
	if len(expected) != 1 || !strings.EqualFold(expected[0], "100-continue") {
		s.refuse(http.StatusExpectationFailed, `only "100-continue" can be expected`)
		return
	}
	s.response.mayContinue.Store(s.request.ContentLength != 0)
}

// announceTrailers moves what the Trailer field announces to where net/http has it.
func (s *stream) announceTrailers() {
	r := &s.request
	announced, ok := r.Header["Trailer"]
	if !ok {
		return
	}
	delete(r.Header, "Trailer")
	for name := range exchange.Elements(announced) {
		if name = textproto.CanonicalMIMEHeaderKey(name); httpguts.ValidTrailerHeader(name) {
			if r.Trailer == nil {
				r.Trailer = make(http.Header)
			}
			r.Trailer[name] = nil
		}
	}
}

// takeTrailers takes the block that ends a request (section 8.1).
func (c *conn) takeTrailers(s *stream, ended bool, block []byte) error {
	h, err := c.readHead(block)
	if err != nil {
		return err
	}
	var trailer []line
	for _, f := range c.fields {
		if httpguts.ValidTrailerHeader(f.name) {
			trailer = append(trailer, f)
		}
	}
	c.dropFields()
	switch {
	case h.has != 0:
		h.blame("pseudo-header fields in trailers")
	case h.tooLarge:
		h.blame("trailers that are longer than they may be")
	case !ended:
		h.blame("trailers that do not end the stream")
	}
	c.mu.Lock()
	switch {
	case s.remoteClosed:
		defer c.mu.Unlock()
		return c.refuse(s.id, streamClosed, "HEADERS on a stream that the client has ended")
	case h.malformed == "" && s.declared >= 0 && s.received != s.declared:
		h.blame("a Content-Length that is not the content's")
	}
	if h.malformed != "" {
		defer c.mu.Unlock()
		return c.refuse(s.id, protocolError, h.malformed)
	}
	c.mu.Unlock()
	c.endRemote(s, trailer)
	return nil
}
