package h2

import "sync"

// keepOut is what a buffer that had to grow is not kept beyond.
const keepOut = 2 * full

// pools are the buffers that are used again.
type pools struct {
	in      sync.Pool // of *inBuffer
	out     sync.Pool // of *outBuffer
	blocks  sync.Pool // of *contentBlock
	drafts  sync.Pool // of *draft
	content sync.Pool // of *contentBuffer
}

func (p *pools) init() {
	p.in.New = func() any { return new(inBuffer) }
	p.out.New = func() any { return &outBuffer{make([]byte, 0, enough+maxRecord)} }
	p.blocks.New = func() any { return new(contentBlock) }
	p.drafts.New = func() any { return new(draft) }
	p.content.New = func() any { return new(contentBuffer) }
}

func (p *pools) putOut(b *outBuffer) {
	if cap(b.bytes) <= keepOut {
		b.bytes = b.bytes[:0]
		p.out.Put(b)
	}
}
