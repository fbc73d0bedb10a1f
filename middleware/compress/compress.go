// Package compress is the stage that compresses responses: br, zstd or gzip, as the client's Accept-Encoding weighs
// them (RFC 9110, sections 12.4.2 and 12.5.3), where the response's MIME type is on a list.
//
// A response keeps the coding that it has where
//   - it has no Content-Type, or one that is not on the list; its parameters do not count,
//   - its Content-Length is there and below [Options.MinLength],
//   - its status is 1xx, 204, 205, 206 or 304, it has a Content-Range, or it answers HEAD or CONNECT,
//   - it has a Content-Encoding already,
//   - it or its request says Cache-Control: no-transform (RFC 9111, sections 5.2.1.6 and 5.2.2.6).
//
// A response that is compressed loses what is true of the plain bytes only: Content-Length, Accept-Ranges and digests of
// the content (RFC 9530); its strong ETag becomes a weak one (RFC 9110, section 8.8.1). Vary: Accept-Encoding is
// added to each response whose type is on the list, compressed or not, and to a 304 that does not tell its type, so that
// a cache that has one form of it never takes it for the other (RFC 9110, section 12.5.5).
//
// What the handler flushes reaches the client at once and can be decoded up to there. A handler that panics leaves the
// stream without its end, so that the client sees that something is missing.
//
// The stage needs no other one and sets nothing in the request's state. The stages after it see the request as it
// came, Accept-Encoding included: a backend may well compress on its own.
//
// Compression over TLS lets an attacker who has his own text placed beside a secret in the same response guess at the
// secret from the response's length (the BREACH attack). That is the reason to have the stage switched off by default,
// and to keep a type off the list whose responses mix the two.
package compress

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Name is what settings and logs call the stage.
const Name = "compress"

// DefaultMIMETypes are the types that are compressed where [Options.MIMETypes] is empty, separated by commas.
const DefaultMIMETypes = "text/html,text/plain,text/css,text/javascript,text/xml," +
	"application/javascript,application/json,application/xml,image/svg+xml,font/ttf"

// DefaultMinLength is in bytes. A response below it fits a packet or so either way.
const DefaultMinLength = 1024

// Options says what is compressed.
type Options struct {
	// MIMETypes are the types to compress, each as type/subtype, in any case; [DefaultMIMETypes] where there are none.
	MIMETypes []string
	// MinLength is the Content-Length in bytes from which on a response is compressed; [DefaultMinLength] where it is
	// 0. A response of unknown length is compressed whatever it turns out to be.
	MinLength int64
}

// New builds the stage. Its handlers may be used by many goroutines at once.
//
// The error names each MIME type that is none, and a negative MinLength.
func New(options Options) (func(http.Handler) http.Handler, error) {
	if len(options.MIMETypes) == 0 {
		options.MIMETypes = strings.Split(DefaultMIMETypes, ",")
	}
	if options.MinLength == 0 {
		options.MinLength = DefaultMinLength
	}
	var wrong []error
	if options.MinLength < 0 {
		wrong = append(wrong, fmt.Errorf("%s: minimum length %d: expected a number of bytes", Name, options.MinLength))
	}
	types := make(map[string]struct{}, len(options.MIMETypes))
	for _, mimeType := range options.MIMETypes {
		canonical, ok := canonicalType(mimeType)
		if !ok {
			wrong = append(wrong, fmt.Errorf("%s: MIME type %q: expected type/subtype, such as text/html", Name, mimeType))
			continue
		}
		types[canonical] = struct{}{}
	}
	if wrong != nil {
		return nil, errors.Join(wrong...)
	}
	return func(next http.Handler) http.Handler {
		return &compressor{next: next, rules: rules{types: types, minLength: options.MinLength}}
	}, nil
}

// canonicalType gives a MIME type in lower case and without the spaces that a list leaves around it. It is false where
// there is anything but type/subtype: a wildcard, a parameter.
func canonicalType(s string) (string, bool) {
	s = strings.ToLower(strings.TrimSpace(s))
	major, minor, ok := strings.Cut(s, "/")
	return s, ok && isTypeName(major) && isTypeName(minor)
}

// isTypeName is RFC 6838, section 4.2: what the registry of types admits, which leaves out "*".
func isTypeName(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case i > 0 && strings.IndexByte("!#$&-^_.+", c) >= 0:
		default:
			return false
		}
	}
	return len(s) > 0
}

type compressor struct {
	next    http.Handler
	rules   rules
	streams streams
}

func (c *compressor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// Not pooled: a handler that keeps its ResponseWriter for too long finds this one closed, and not the one of
	// somebody else's request.
	response := &response{
		next:     w,
		request:  r,
		accepted: acceptedCoding(r),
		rules:    &c.rules,
		streams:  &c.streams,
		length:   unknownLength,
	}
	c.next.ServeHTTP(response, r)
	// Not deferred: after a panic, neither the end of the stream may be written nor its encoder be used again.
	response.end()
}
