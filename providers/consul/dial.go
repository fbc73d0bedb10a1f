package consul

import (
	"context"
	"net"
	"sync"
	"time"
)

const dialTimeout = 5 * time.Second

// keepAlive has the kernel notice after half a minute that the machine at the other end has vanished.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}

func dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: dialTimeout, KeepAliveConfig: keepAlive}
	return dialer.DialContext(ctx, network, address)
}

// dialPlain is for plain HTTP.
func dialPlain(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &asking{Conn: conn, asked: make(chan struct{})}, nil
}

// An asking connection reads nothing before something has been written. An agent that has too many connections answers a
// new one with 429 before it is asked; the transport of net/http, which looks for what is unasked, would log that by
// itself and make a broken connection of it.
type asking struct {
	net.Conn
	once  sync.Once
	asked chan struct{} // closed by the first write, and by Close
}

func (a *asking) Read(p []byte) (int, error) {
	<-a.asked
	return a.Conn.Read(p)
}

func (a *asking) Write(p []byte) (int, error) {
	n, err := a.Conn.Write(p)
	a.once.Do(func() { close(a.asked) })
	return n, err
}

func (a *asking) Close() error {
	err := a.Conn.Close()
	a.once.Do(func() { close(a.asked) })
	return err
}
