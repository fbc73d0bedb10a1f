package entrypoint

import (
	"errors"
	"net"
	"strconv"
	"syscall"
)

// listenError says in one line why a port cannot be opened and what to do about it.
type listenError struct {
	setting string // such as "https.bind_addr"
	addr    string
	err     error // of net.Listen
}

func (e *listenError) Error() string { return e.setting + " " + e.addr + ": " + e.reason() }

func (e *listenError) Unwrap() error { return e.err }

func (e *listenError) reason() string {
	host, port, _ := net.SplitHostPort(e.addr)
	var (
		malformed *net.AddrError
		unknown   *net.DNSError
	)
	switch {
	case errors.Is(e.err, syscall.EADDRINUSE):
		return "another program listens there already"
	case errors.Is(e.err, syscall.EACCES), errors.Is(e.err, syscall.EPERM):
		if n, err := strconv.Atoi(port); err == nil && n >= 1024 {
			return "the system denies the right to listen there"
		}
		return "no right to a port below 1024: give the program that right (setcap cap_net_bind_service=+ep FILE), " +
			"lower sysctl net.ipv4.ip_unprivileged_port_start, or choose a port from 1024 on"
	case errors.Is(e.err, syscall.EADDRNOTAVAIL):
		return "this machine has no address " + host
	case errors.Is(e.err, syscall.EAFNOSUPPORT):
		return "this machine does not speak the protocol of that address"
	case errors.As(e.err, &malformed):
		return malformed.Err + ": host:port is wanted, such as 0.0.0.0:443 or [::]:443"
	case errors.As(e.err, &unknown):
		return "no address is known for " + unknown.Name + ": " + unknown.Err
	default:
		return e.err.Error()
	}
}
