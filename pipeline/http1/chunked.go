package http1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
)

const (
	// maxChunkLine is for a chunk's size with its extension, of which nobody has use for more.
	maxChunkLine = 1 << 10 // bytes
	// maxTrailers is for a trailer section.
	maxTrailers = 64 << 10 // bytes
	// extensionAllowance is how much of extensions a body may have beside as much again as its content: chunks of one
	// byte with a line of a thousand would cost more than they bring.
	extensionAllowance = 16 << 10 // bytes
)

// A ChunkedReader reads chunked content (RFC 9112, section 7.1). Read gives [io.EOF] when the trailer section has been
// read too. It never reads beyond that, and never waits for a chunk while it has content to give. Any other error stays.
// It is for one goroutine. The zero value is made ready by Reset.
type ChunkedReader struct {
	r       *bufio.Reader
	trailer http.Header // nil until there is one
	left    uint64      // of the chunk
	excess  int64       // of the lines of chunks over what they brought
	inside  bool        // a chunk has begun, and its CRLF has not been read
	err     error
}

// Reset makes it read a body that begins here.
func (c *ChunkedReader) Reset(r *bufio.Reader) { *c = ChunkedReader{r: r} }

// Trailer gives the fields of the trailer section, after [io.EOF]; nil where there are none.
func (c *ChunkedReader) Trailer() http.Header { return c.trailer }

func (c *ChunkedReader) Read(p []byte) (n int, err error) {
	for c.err == nil {
		if c.left > 0 {
			if len(p) == 0 || n > 0 && c.r.Buffered() == 0 {
				return n, nil
			}
			read, err := c.r.Read(p[:min(uint64(len(p)), c.left)])
			n, p, c.left = n+read, p[read:], c.left-uint64(read)
			c.excess = max(c.excess-int64(read), 0)
			if err != nil {
				c.err = cutOff(err, true)
			}
			continue
		}
		if n > 0 && !c.lineBuffered() {
			return n, nil
		}
		c.err = c.next()
	}
	return n, c.err
}

// lineBuffered says whether the next chunk's line can be read without waiting; that of the last one only with the whole
// trailer section, such that the end comes with the last content.
func (c *ChunkedReader) lineBuffered() bool {
	buffered, _ := c.r.Peek(c.r.Buffered())
	if c.inside {
		if len(buffered) < len(crlf) {
			return false
		}
		buffered = buffered[len(crlf):]
	}
	if len(buffered) > 0 && buffered[0] == '0' {
		return bytes.Contains(buffered, []byte(blankLine))
	}
	return bytes.IndexByte(buffered, '\n') >= 0
}

// next ends the chunk before and begins another. At the end of the body it is [io.EOF].
func (c *ChunkedReader) next() error {
	if c.inside {
		end, err := c.r.Peek(len(crlf))
		if err != nil {
			return cutOff(err, true)
		}
		if string(end) != crlf {
			return malformed("a chunk is longer than its size")
		}
		_, _ = c.r.Discard(len(crlf))
		c.inside = false
	}
	line, err := c.r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull), len(line) > maxChunkLine:
		return ErrTooLarge
	case err != nil:
		return cutOff(err, true)
	case len(line) < len(crlf) || line[len(line)-2] != '\r':
		return errBareLF
	}
	size, extension, err := chunkSize(line[:len(line)-len(crlf)])
	if err != nil {
		return err
	}
	c.excess += int64(extension)
	if c.excess > extensionAllowance {
		return ErrTooLarge
	}
	if size == 0 {
		return c.readTrailer()
	}
	c.left, c.inside = size, true
	return nil
}

func (c *ChunkedReader) readTrailer() error {
	if end, err := c.r.Peek(len(crlf)); err != nil {
		return cutOff(err, true)
	} else if string(end) == crlf {
		_, _ = c.r.Discard(len(crlf))
		return io.EOF
	}
	lines, _, err := ReadHead(c.r, nil, maxTrailers)
	if err != nil {
		return cutOff(err, true)
	}
	trailer := make(http.Header)
	if err := ParseFields(string(lines), trailer); err != nil {
		return err
	}
	c.trailer = trailer
	return io.EOF
}

var errChunkSize = malformed("a chunk's size is no hexadecimal number")

// chunkSize reads a chunk's line, and gives how many bytes of it are extensions.
func chunkSize(line []byte) (size uint64, extension int, err error) {
	digits := 0
	for digits < len(line) {
		digit, ok := hexDigit(line[digits])
		if !ok {
			break
		}
		if digits == 15 { // 2^60 bytes are enough for everybody, and a reader with less room for the number sees another
			return 0, 0, errChunkSize
		}
		size = size<<4 | digit
		digits++
	}
	if digits == 0 {
		return 0, 0, errChunkSize
	}
	rest := line[digits:]
	if len(rest) > 0 && !isExtension(rest) {
		return 0, 0, malformed("a chunk's extension is malformed")
	}
	return size, len(rest), nil
}

func hexDigit(c byte) (uint64, bool) {
	switch {
	case '0' <= c && c <= '9':
		return uint64(c - '0'), true
	case 'a' <= c && c <= 'f':
		return uint64(c-'a') + 10, true
	case 'A' <= c && c <= 'F':
		return uint64(c-'A') + 10, true
	}
	return 0, false
}

// isExtension checks the grammar of section 7.1.1: any number of ";name" and ";name=value", the value a token or a quoted
// string, with white space around the signs.
func isExtension(s []byte) bool {
	for len(s) > 0 {
		s = skipSpace(s)
		if len(s) == 0 || s[0] != ';' {
			return false
		}
		name, rest := cutToken(skipSpace(s[1:]))
		if name == 0 {
			return false
		}
		s = rest
		if rest = skipSpace(rest); len(rest) == 0 || rest[0] != '=' {
			continue
		}
		rest = skipSpace(rest[1:])
		var value int
		if value, s = cutToken(rest); value == 0 {
			if s = cutQuoted(rest); s == nil {
				return false
			}
		}
	}
	return true
}

func skipSpace(s []byte) []byte {
	for len(s) > 0 && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	return s
}

func cutToken(s []byte) (length int, rest []byte) {
	for length < len(s) && isToken(s[length]) {
		length++
	}
	return length, s[length:]
}

// cutQuoted gives what follows a quoted string (RFC 9110, section 5.6.4), nil where there is none.
func cutQuoted(s []byte) []byte {
	if len(s) == 0 || s[0] != '"' {
		return nil
	}
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return s[i+1:]
		case c == '\\':
			i++
			if i == len(s) || s[i] < ' ' && s[i] != '\t' || s[i] == 0x7f {
				return nil
			}
		case c < ' ' && c != '\t' || c == 0x7f:
			return nil
		}
	}
	return nil
}

// AppendChunk writes the line before a chunk of this size, which must not be 0. The chunk ends with CRLF.
func AppendChunk(to []byte, size int) []byte {
	to = strconv.AppendUint(to, uint64(size), 16)
	return append(to, "\r\n"...)
}
