package entrypoint

import (
	"context"
	"fmt"
	"time"
)

// lastWords is how long Shutdown waits for the handlers of requests that it has cut off, so that their lines still reach
// the access log.
const lastWords = 2 * time.Second

// A CutOffError says that an entrypoint was closed before all of its requests had ended.
type CutOffError struct {
	// Name is the entrypoint's.
	Name string
	// Requests counts those that were cut off, upgraded connections included.
	Requests int
}

func (e *CutOffError) Error() string {
	if e.Requests == 1 {
		return e.Name + ": 1 request was cut off"
	}
	return fmt.Sprintf("%s: %d requests were cut off", e.Name, e.Requests)
}

// Shutdown stops accepting at once, and waits until the requests in flight have ended, upgraded connections too. Clients
// are told: over HTTP/1.1 by "Connection: close", over HTTP/2 by GOAWAY. Connections without a request are closed.
//
// When ctx ends, or Close is called, the rest is cut off and the error is a [*CutOffError] that says how many.
func (e *Entrypoint) Shutdown(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.ending, cancel)()

	_ = e.listener.Close()
	e.listener.drain()
	e.http2.Drain()
	if e.requests.wait(ctx) == nil && e.connections.wait(ctx) == nil {
		return e.Close()
	}
	err := e.Close()
	last, cancelLast := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancelLast()
	_ = e.requests.wait(last)
	return err
}

// Close closes the port and every connection at once. The error is a [*CutOffError] where requests were in flight.
func (e *Entrypoint) Close() error {
	e.once.Do(func() {
		e.cut = e.requests.inFlight()
		e.end()
		_ = e.listener.Close()
		e.listener.closeAll()
		e.http2.Close()
	})
	if e.cut > 0 {
		return &CutOffError{Name: e.name, Requests: e.cut}
	}
	return nil
}
