package exchange

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// A Watcher can see a client leave, and need not look before somebody wants to know.
type Watcher interface {
	// Asked is called once at most, with the lock of the [Context] held, when somebody first asks. It must not wait, and
	// not call the Context; what it starts may.
	Asked()
}

// Context is the context of a request. It is embedded, and ready when its fields are set. It ends with Cancel, and never by
// itself: its owner calls that when the handler has returned, and before that when the client is found to have left.
//
// Contexts that are derived from it need no goroutine. Nothing is allocated before somebody waits for the end. The methods
// may be called by many goroutines at once, the fields must not be changed once the first has been called.
type Context struct {
	Local   net.Addr     // under [http.LocalAddrContextKey]
	Server  *http.Server // under [http.ServerContextKey]; nil: nothing
	Watcher Watcher      // nil: the owner sees the client leave in any case

	mu    sync.Mutex
	err   error         // not nil: it has ended
	done  chan struct{} // nil where nobody asked for it
	after []*after
	asked bool // somebody wants to know whether the client leaves
}

// after is a function that waits for the end.
type after struct{ f func() }

// Deadline says that there is none.
func (c *Context) Deadline() (time.Time, bool) { return time.Time{}, false }

// Value gives what net/http's server has in a request's context.
func (c *Context) Value(key any) any {
	switch key {
	case http.LocalAddrContextKey:
		return c.Local
	case http.ServerContextKey:
		if c.Server != nil {
			return c.Server
		}
	}
	return nil
}

// Done is closed at the end.
func (c *Context) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.err != nil {
			close(c.done)
		}
	}
	c.ask()
	return c.done
}

// Err is [context.Canceled] from the end on.
func (c *Context) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ask()
	return c.err
}

// AfterFunc is what package context looks for in a context that is not its own, so that those which are derived from this
// one need no goroutine. f is called in a goroutine of its own at the end. stop says whether it has kept f from that.
func (c *Context) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		go f()
		return func() bool { return false }
	}
	c.ask()
	a := &after{f}
	c.after = append(c.after, a)
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		for i, other := range c.after {
			if other == a {
				c.after = append(c.after[:i], c.after[i+1:]...)
				return true
			}
		}
		return false
	}
}

// Cancel ends it. A further call does nothing.
func (c *Context) Cancel() {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = context.Canceled
	if c.done != nil {
		close(c.done)
	}
	waiting := c.after
	c.after = nil
	c.mu.Unlock()
	for _, a := range waiting {
		go a.f()
	}
}

// ask tells the watcher, the first time. The lock must be held.
func (c *Context) ask() {
	if !c.asked && c.err == nil {
		c.asked = true
		if c.Watcher != nil {
			c.Watcher.Asked()
		}
	}
}
