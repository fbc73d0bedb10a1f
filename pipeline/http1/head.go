package http1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
)

// ReadHead reads a head to its end: the start line and all field lines, each with its CRLF, and without the empty line
// that follows them. It is good until r or scratch is used again: where r's buffer holds all of it, that is where it
// lies, otherwise it is put together in scratch, which may be nil and comes back for the next time.
//
// A head of more than limit bytes is [ErrTooLarge]. An end of r is [io.EOF] before the first byte, [io.ErrUnexpectedEOF]
// after it. A line that does not end in CRLF is a [*SyntaxError].
func ReadHead(r *bufio.Reader, scratch []byte, limit int) (head, kept []byte, err error) {
	for seen := 0; ; {
		buffered, _ := r.Peek(r.Buffered())
		if i := bytes.Index(buffered[seen:], []byte(blankLine)); i >= 0 {
			n := seen + i + len(crlf)
			if n > limit {
				return nil, scratch, ErrTooLarge
			}
			_, _ = r.Discard(n + len(crlf))
			return buffered[:n], scratch, nil
		}
		if len(buffered) == r.Size() {
			return readLongHead(r, scratch[:0], limit)
		}
		if bytes.IndexByte(buffered[seen:], '\n') >= 0 { // something has to be refused without waiting for more of it
			if err := checkLines(buffered[:bytes.LastIndexByte(buffered, '\n')+1]); err != nil {
				return nil, scratch, err
			}
		}
		seen = max(len(buffered)-len(blankLine)+1, 0)
		if len(buffered) >= limit+len(crlf) {
			return nil, scratch, ErrTooLarge
		}
		if _, err := r.Peek(len(buffered) + 1); err != nil {
			return nil, scratch, cutOff(err, len(buffered) > 0)
		}
	}
}

const (
	crlf      = "\r\n"
	blankLine = "\r\n\r\n"
)

// readLongHead reads a head that is longer than r's buffer.
func readLongHead(r *bufio.Reader, head []byte, limit int) ([]byte, []byte, error) {
	for begin := 0; ; {
		part, err := r.ReadSlice('\n')
		head = append(head, part...)
		if len(head) > limit+len(crlf) {
			return nil, head, ErrTooLarge
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil:
			return nil, head, cutOff(err, true)
		}
		line := head[begin:]
		if err := checkLines(line); err != nil {
			return nil, head, err
		}
		if len(line) == len(crlf) && begin > 0 {
			return head[:begin], head, nil
		}
		begin = len(head)
	}
}

// checkLines refuses an LF without a CR before it. The CR without an LF is found where the lines are parsed.
func checkLines(lines []byte) error {
	for len(lines) > 0 {
		i := bytes.IndexByte(lines, '\n')
		if i < 0 {
			return nil
		}
		if i == 0 || lines[i-1] != '\r' {
			return errBareLF
		}
		lines = lines[i+1:]
	}
	return nil
}

var errBareLF = malformed("a line ends in LF without CR")

// cutOff makes an end in the middle of something an unexpected one.
func cutOff(err error, begun bool) error {
	if begun && errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// CutLine takes the first line off a head, without its CRLF: the start line, off what [ReadHead] gave.
func CutLine(head string) (line, rest string, err error) {
	end := strings.IndexByte(head, '\n')
	if end < 1 || head[end-1] != '\r' {
		return "", "", errBareLF
	}
	return head[:end-1], head[end+1:], nil
}
