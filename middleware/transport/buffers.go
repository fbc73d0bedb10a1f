package transport

import (
	"bufio"
	"sync"

	"github.com/tricot-proxy/tricot/pipeline/http1"
)

const (
	// headBuffer is what each request to a backend holds for as long as it lasts, twice: for the request and for the
	// answer. Most answers fit into it whole.
	headBuffer = 4 << 10
	// maxHeld is how long a body may be that is read as a whole before the backend gets any of it.
	maxHeld = 64 << 10
	// bulkBuffer is for content on its way. It has room for two TLS records; twice as much was no faster.
	bulkBuffer = 32 << 10
	// chunkBuffer is where large chunked content is taken out of its chunks.
	chunkBuffer = 32 << 10
)

// buffers are what one request over HTTP/1.1 needs besides its connection.
type buffers struct {
	in      *bufio.Reader // from the connection
	out     []byte        // the request's head, and a body that is held
	scratch []byte        // for heads that in has no room for
	answer  answer
}

type bulk [bulkBuffer]byte

// pools are where buffers come from and go to.
type pools struct{ exchanges, buffers, bulk, chunks sync.Pool }

func newPools() *pools {
	return &pools{
		exchanges: sync.Pool{New: func() any { return new(exchange) }},
		buffers: sync.Pool{New: func() any {
			return &buffers{in: bufio.NewReaderSize(nil, headBuffer), out: make([]byte, 0, headBuffer),
				answer: answer{fields: make([]http1.Field, 0, 32)}}
		}},
		bulk:   sync.Pool{New: func() any { return new(bulk) }},
		chunks: sync.Pool{New: func() any { return bufio.NewReaderSize(nil, chunkBuffer) }},
	}
}

// put takes buffers back, without what they may hold on to.
func (p *pools) put(b *buffers) {
	b.in.Reset(nil)
	b.answer.clear()
	if cap(b.out) <= maxHeld+2*headBuffer {
		p.buffers.Put(b)
	}
}
