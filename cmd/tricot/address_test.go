package main_test

import (
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// nextPort runs through ports below those that the kernel hands out by itself, so that no connection takes one between
// the look whether it is free and Tricot's use of it. Two test processes start at different places, and the tests of other
// packages, which run at the same time, take others: examples from here to 14999, consultest from there on.
var nextPort = func() *atomic.Uint32 {
	var next atomic.Uint32
	next.Store(uint32(os.Getpid()) * 251)
	return &next
}()

const firstPort, ports = 10000, 3500

// freeAddress gives an address on loopback that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range ports {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(firstPort+int(nextPort.Add(1)%ports)))
		if listener, err := net.Listen("tcp", address); err == nil {
			require.NoError(t, listener.Close())
			return address
		}
	}
	require.FailNow(t, "no free port")
	return ""
}

// portOf gives the port of an address.
func portOf(t *testing.T, address string) int {
	t.Helper()
	_, text, err := net.SplitHostPort(address)
	require.NoError(t, err)
	port, err := strconv.Atoi(text)
	require.NoError(t, err)
	return port
}
