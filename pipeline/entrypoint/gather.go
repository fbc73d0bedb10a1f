package entrypoint

import "sync"

// gatherLimit is how much a connection holds back at most: two records of TLS, with what encryption adds to each, which is
// what the transport stage writes at once. More brought nothing, and a client that is slow to read holds as much.
const gatherLimit = 2 * (16<<10 + 256) // bytes

// gathered is what is written to a connection below TLS and waits for more. Only one goroutine writes at a time, as package
// tls does; another one may hold and release.
type gathered struct {
	mu      sync.Mutex
	holding bool
	buffer  *gatherBuffer // nil: nothing waits
}

type gatherBuffer struct {
	length int
	bytes  [gatherLimit]byte
}

func newGatherPool() *sync.Pool { return &sync.Pool{New: func() any { return new(gatherBuffer) }} }

// Hold lets what is written wait for Release, or until there is too much of it.
func (c *conn) Hold() {
	c.gathered.mu.Lock()
	defer c.gathered.mu.Unlock()
	c.gathered.holding = true
}

// Release sends what waits.
func (c *conn) Release() error {
	c.gathered.mu.Lock()
	defer c.gathered.mu.Unlock()
	c.gathered.holding = false
	return c.send()
}

func (c *conn) Write(p []byte) (int, error) {
	g := &c.gathered
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.buffer != nil && g.buffer.length+len(p) > gatherLimit {
		if err := c.send(); err != nil {
			return 0, err
		}
	}
	if !g.holding || len(p) > gatherLimit {
		return c.write(p)
	}
	if g.buffer == nil {
		g.buffer = c.listener.gatherBuffers.Get().(*gatherBuffer)
	}
	g.buffer.length += copy(g.buffer.bytes[g.buffer.length:], p)
	return len(p), nil
}

// send empties the buffer. The lock must be held.
func (c *conn) send() error {
	b := c.gathered.buffer
	if b == nil {
		return nil
	}
	_, err := c.write(b.bytes[:b.length])
	b.length = 0
	c.gathered.buffer = nil
	c.listener.gatherBuffers.Put(b)
	return err
}
