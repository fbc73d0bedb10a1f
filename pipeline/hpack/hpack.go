// Package hpack compresses and decompresses the field lines of HTTP/2, as RFC 7541 has it. It is one connection's codec: a
// Decoder for what the peer sends and an Encoder for what we send, each with a dynamic table of its own that has to stay
// the same at both ends. So each block has to pass through it whole, once and in the order of the connection.
//
// It needs whole field blocks, their fragments joined (RFC 9113, section 4.3), and it sets nothing outside itself. What a
// field line means is left to its user; whether its name and value may stand in HTTP/2 at all is told by Field.Valid (RFC
// 9113, section 8.2.1), since that is known once for each entry of a table and not once for each request.
//
// Nothing here is safe for concurrent use, and nothing holds memory before the first entry of a dynamic table.
package hpack

// A Field is one field line, as a Decoder gives it. Its strings may be shared with a table; they never change.
type Field struct {
	// Name is as it was sent; a pseudo-field's with its colon.
	Name  string
	Value string
	// Canonical is Name as http.Header has it ("content-type": "Content-Type"), and empty for a pseudo-field and for a name
	// that is none.
	Canonical string
	// Valid tells whether the field line may stand in HTTP/2: Name is a token in lower case (a pseudo-field's after its
	// colon), and Value has no control characters but HTAB, and no white space at either end.
	Valid bool
	// Sensitive tells that the peer wants the field line never indexed, by anybody on its way (RFC 7541, section 6.2.3).
	Sensitive bool
}

// A DecodingError tells why a block is none. The peer's table and ours may differ from here on, so that it ends the
// connection, with COMPRESSION_ERROR (RFC 9113, section 4.3).
type DecodingError struct {
	Reason string
}

func (e *DecodingError) Error() string { return "decode field block: " + e.Reason }
