package h2

import (
	"runtime"
	"sync"
)

const (
	// enough is how much waits at most before who adds to it sends it: two records of TLS, which leave in one system call.
	enough = 2 * maxRecord
	// full is how much waits at most while something is sent; who has more waits, too.
	full = 4 * maxRecord
	// maxReplies is how many answers to control frames may wait for a client that does not read them.
	maxReplies = 1000
)

// outbox is what waits to be sent. One goroutine sends at a time. Those that have something to send add it, and send it
// themselves where nobody does. The connection's lock is held wherever it is used.
type outbox struct {
	conn    *conn
	buffer  *outBuffer // nil: nothing waits
	state   sending
	again   bool      // somebody wants what was added meanwhile to be sent, too
	stopped sync.Cond // told when the state becomes atRest
	room    queue     // of streams for which there is too much in it
	replies int       // to control frames, among what waits
}

type sending int

const (
	atRest sending = iota
	soon           // somebody will, in a moment
	now
)

type outBuffer struct{ bytes []byte }

func (o *outbox) init(c *conn) {
	o.conn = c
	o.stopped.L = &c.mu
}

// frames is where further frames go.
func (o *outbox) frames() *[]byte {
	if o.buffer == nil {
		o.buffer = o.conn.server.pools.out.Get().(*outBuffer)
	}
	return &o.buffer.bytes
}

func (o *outbox) length() int {
	if o.buffer == nil {
		return 0
	}
	return len(o.buffer.bytes)
}

// reply counts the answer to a control frame, and is an error where the client has too many unread.
func (o *outbox) reply() error {
	o.replies++
	o.flushSoon()
	if o.replies > maxReplies {
		return failure(enhanceYourCalm, "answers to control frames that are not read")
	}
	return nil
}

// flush sends what waits, unless somebody else is about to. It releases the lock meanwhile.
func (o *outbox) flush() {
	switch o.state {
	case now:
		o.again = true
	case atRest:
		o.sendOnce()
	}
}

// flushLast sends what waits after who calls it has added its last. Before that, all who can run add theirs.
func (o *outbox) flushLast() {
	switch o.state {
	case now:
		o.again = true
	case atRest:
		o.state = soon
		o.conn.mu.Unlock()
		runtime.Gosched()
		o.conn.mu.Lock()
		o.sendOnce()
	}
}

// flushSoon has somebody else send what waits.
func (o *outbox) flushSoon() {
	switch o.state {
	case now:
		o.again = true
	case atRest:
		o.state = soon
		o.conn.server.workers.do((*sender)(o))
	}
}

// sendOnce sends what waits at the moment, and has somebody else go on where more has come that is wanted: a handler must
// not be kept for the others.
func (o *outbox) sendOnce() {
	o.send()
	if !o.again || o.length() == 0 {
		o.rest()
		return
	}
	o.state = soon
	o.conn.server.workers.do((*sender)(o))
}

// empty sends all that waits, and waits for who does.
func (o *outbox) empty() {
	for o.state != atRest {
		o.stopped.Wait()
	}
	o.sendAll()
}

// sender is the task of sending.
type sender outbox

func (s *sender) run() {
	o := (*outbox)(s)
	o.conn.mu.Lock()
	defer o.conn.mu.Unlock()
	o.sendAll()
}

// sendAll sends until nothing waits that is wanted.
func (o *outbox) sendAll() {
	for more := true; more && o.conn.err == nil && o.length() > 0; more = o.again {
		o.send()
	}
	o.rest()
}

// send sends what waits at the moment.
func (o *outbox) send() {
	buffer := o.buffer
	if buffer == nil || o.conn.err != nil {
		o.again = false
		return
	}
	o.state, o.again, o.buffer, o.replies = now, false, nil, 0
	o.conn.mu.Unlock()
	err := o.conn.write(buffer.bytes)
	o.conn.server.pools.putOut(buffer)
	o.conn.mu.Lock()
	if err != nil {
		o.conn.failLocked(err)
	}
	o.conn.passOn()
}

func (o *outbox) rest() {
	o.state, o.again = atRest, false
	o.stopped.Broadcast()
}

// write writes to the client.
func (c *conn) write(p []byte) error {
	gatherer, ok := c.below.(Gatherer)
	if !ok || len(p) <= maxRecord {
		_, err := c.client.Write(p)
		return err
	}
	gatherer.Hold()
	_, err := c.client.Write(p)
	if released := gatherer.Release(); err == nil {
		err = released
	}
	return err
}
