package transport

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/tricot-proxy/tricot/pipeline"
)

// dialing is a connection in the making.
type dialing struct {
	done chan struct{} // closed at the end
	// After that: err is nil where there is a connection that others may have, left says that it ended because the one
	// request did for which it was begun.
	err  error
	left bool
}

// acquire gives a connection on which one request more has its place, made after a given time, and one that it finds
// rather than a new one. It is to be released. Where the backend speaks HTTP/1.1 only, the error is [errChoseHTTP1]; the
// connection over which to do so may come with it.
func (c *http2Client) acquire(ctx context.Context, s *shelf, since time.Time) (*sharedConnection, *connection, error) {
	for {
		if found := c.connections.reserve(s, c, since, time.Now()); found != nil {
			return found, nil, nil
		}
		other, own := s.shared.dial(c)
		if own {
			return c.open(ctx, s, other)
		}
		select {
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case <-other.done:
		}
		if other.err != nil && !other.left {
			return nil, nil, other.err
		}
	}
}

// open makes a connection for a request, and lets those that wait know of it.
func (c *http2Client) open(ctx context.Context, s *shelf, d *dialing) (*sharedConnection, *connection, error) {
	err := errPanicked // somebody's own way to dial may, and nobody is to wait for it then
	defer func() {
		if err != nil {
			s.shared.dialled(c, d, err, ctx.Err() != nil)
		}
	}()
	var made *sharedConnection
	var first *connection
	if made, first, err = c.connect(ctx, s); err != nil {
		return nil, first, err
	}
	c.connections.put(&s.shared, made)
	c.introduce(&s.shared, made, d)
	return made, nil, nil
}

const (
	// unsettledStreams is how many streams net/http takes a connection to have room for before the backend has said so.
	unsettledStreams = 100
	// settingsGrace is how long others wait for that.
	settingsGrace = 100 * time.Millisecond
)

// introduce lets others have a connection when the backend has said how many streams it takes: where it takes few, those
// who came first would have to wait for them to end. Where it takes no more than what net/http assumes before, this says
// nothing about it.
func (c *http2Client) introduce(r *row, made *sharedConnection, d *dialing) {
	var once sync.Once
	known := func() {
		once.Do(func() {
			made.http2.SetStateHook(nil) // first, for it would be called with the row locked
			r.grow(made)
			r.dialled(c, d, nil, false)
		})
	}
	if made.http2.Available() >= unsettledStreams {
		known()
		return
	}
	late := time.AfterFunc(c.grace, known)
	made.http2.SetStateHook(func(*http.ClientConn) {
		late.Stop()
		known()
	})
}

// dial gives the connection in the making, and whether the caller is to make it, and to say so with dialled.
func (r *row) dial(owner *http2Client) (d *dialing, own bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if d := r.dialing[owner]; d != nil {
		return d, false
	}
	if r.dialing == nil {
		r.dialing = make(map[*http2Client]*dialing)
	}
	d = &dialing{done: make(chan struct{})}
	r.dialing[owner] = d
	return d, true
}

func (r *row) dialled(owner *http2Client, d *dialing, err error, left bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.dialing, owner)
	d.err, d.left = err, left
	close(d.done)
}

// connect makes a connection that has a place for one request.
func (c *http2Client) connect(ctx context.Context, s *shelf) (*sharedConnection, *connection, error) {
	dialled, err := c.connections.dial(ctx, s.key, protocolHTTP2, protocolHTTP1)
	if err != nil {
		return nil, nil, err
	}
	scheme, conn := "http", net.Conn(dialled.tcp)
	if s.key.scheme == pipeline.HTTPS {
		if dialled.protocol() != protocolHTTP2 {
			dialled.shelf = s
			return nil, dialled, errChoseHTTP1
		}
		scheme, conn = "https", dialled.Conn
	}
	http2, err := c.transport.NewClientConn(context.WithValue(ctx, dialledKey{}, conn), scheme, s.key.address)
	if err == nil {
		err = http2.Reserve()
	}
	if err != nil {
		dialled.cut()
		return nil, nil, fmt.Errorf("speak HTTP/2: %w", err)
	}
	return &sharedConnection{owner: c, http2: http2, cut: dialled.cut, born: dialled.born}, nil, nil
}
