package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
)

// ports are those that the demonstration listens on, on loopback.
type ports struct {
	HTTP, HTTPS, Admin int // Tricot
	One, Two           int // the backends
}

// defaultPorts are those of tricot.yaml and services.yaml.
var defaultPorts = ports{HTTP: 8080, HTTPS: 8443, Admin: 9335, One: 9001, Two: 9002}

type namedPort struct {
	port       *int
	flag, what string
}

func (p *ports) named() []namedPort {
	return []namedPort{
		{&p.HTTP, "http", "Tricot's plain HTTP"},
		{&p.HTTPS, "https", "Tricot's HTTPS"},
		{&p.Admin, "admin", "Tricot's admin page"},
		{&p.One, "one", "backend one"},
		{&p.Two, "two", "backend two"},
	}
}

// free says which ports cannot be listened on, all of them at once, before anything is started.
func (p *ports) free() error {
	var taken []error
	for _, p := range p.named() {
		listener, err := net.Listen("tcp", loopback(*p.port))
		if err != nil {
			taken = append(taken, fmt.Errorf("port %d is needed for %s: %w; end what uses it, or choose another with -%s",
				*p.port, p.what, err, p.flag))
			continue
		}
		_ = listener.Close()
	}
	return errors.Join(taken...)
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
