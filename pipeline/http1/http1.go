// Package http1 is HTTP/1.1 as it stands on the wire (RFC 9112): heads, fields, the framing of content, chunks. It reads
// what clients and backends send, and writes what they get; it knows no connections and no time-outs.
//
// It is strict, for whoever reads a message otherwise than the one before or behind it can be made to see a request that
// the other does not (request smuggling). Everything of which RFC 9112 lets a recipient choose between an error and a
// guess is an error here:
//
//   - a line that ends in LF alone, a CR anywhere else (section 2.2), and any other control character but a tab in a
//     value (RFC 9110, section 5.5);
//   - a field line that begins with a space or tab, or continues the one before (sections 2.2 and 5.2), a name that is
//     empty or has anything but token characters, such as a space before the colon (section 5.1);
//   - Transfer-Encoding together with Content-Length, in HTTP/1.0, more than once, or as anything but "chunked" (section
//     6.1); Content-Length more than once, even with the same value, or as anything but digits (section 6.3);
//   - a chunk's size or extension that does not follow the grammar (section 7.1), and a line of them without end.
//
// The one thing it forgives is an empty line before a message (section 2.2), which it leaves to its caller.
package http1

import "errors"

// ErrTooLarge says that a head, a trailer section or the line of a chunk is longer than its reader takes.
var ErrTooLarge = errors.New("longer than it may be")

// A SyntaxError says what of a message is not HTTP. It never has a field's value in it.
type SyntaxError struct{ Reason string }

func (e *SyntaxError) Error() string { return e.Reason }

func malformed(reason string) error { return &SyntaxError{Reason: reason} }
