package h1

import (
	"bufio"
	"io"
	"net"
)

const (
	readBuffer = 4 << 10 // bytes; a longer head and content are read past it
	// writeBuffer is the content of a TLS record at its longest (RFC 8446, section 5.1). Answers up to that length are
	// sent with a Content-Length and in one piece.
	writeBuffer = 16 << 10
	// writeSlack is room behind that for what ends a chunk and begins the next.
	writeSlack = 64
	// keepBuffer is what a buffer that had to grow is not kept beyond.
	keepBuffer = 64 << 10
)

// buffers are what a connection needs while it has a request, and has not between requests.
type buffers struct {
	reader *bufio.Reader
	out    []byte      // what waits to be sent
	long   []byte      // a head that is longer than the reader's buffer
	tail   [2]byte     // the end of a chunk
	fields []field     // those of the answer, while they are sorted
	parts  [3][]byte   // of one write
	vector net.Buffers // them, again
}

type field struct {
	name   string
	values []string
}

func newBuffers() *buffers {
	return &buffers{reader: bufio.NewReaderSize(nil, readBuffer), out: make([]byte, 0, writeBuffer+writeSlack)}
}

// takeBuffers makes sure that the connection has buffers.
func (c *conn) takeBuffers() {
	if c.buffers == nil {
		c.buffers = c.server.buffers.Get().(*buffers)
		c.buffers.reader.Reset((*source)(c))
		c.buffers.out = c.buffers.out[:0]
	}
}

// keepReader gives all buffers back but the reader, which it returns.
func (c *conn) keepReader() *bufio.Reader {
	reader := c.buffers.reader
	c.buffers.reader = bufio.NewReaderSize(nil, readBuffer)
	c.giveBuffers()
	return reader
}

// giveBuffers gives them back. Nobody may read or write any more.
func (c *conn) giveBuffers() {
	b := c.buffers
	if b == nil {
		return
	}
	c.buffers = nil
	b.reader.Reset(noReader{})
	if cap(b.out) > keepBuffer {
		b.out = make([]byte, 0, writeBuffer+writeSlack)
	}
	if cap(b.long) > keepBuffer {
		b.long = nil
	}
	c.server.buffers.Put(b)
}

// noReader is what a pooled reader reads from.
type noReader struct{}

func (noReader) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }
