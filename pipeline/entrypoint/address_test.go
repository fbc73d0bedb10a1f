package entrypoint

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestListen_SaysThatThePortIsTaken(t *testing.T) {
	other, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer other.Close()
	options, _ := secure(t, protocol)
	options.Addr = other.Addr().String()
	_, err = Listen(options)
	assert.EqualError(t, err, "https.bind_addr "+options.Addr+": another program listens there already")
	assert.ErrorIs(t, err, syscall.EADDRINUSE)
}

func TestListen_SaysWhatIsWrongWithAnAddress(t *testing.T) {
	const wanted = ": host:port is wanted, such as 0.0.0.0:443 or [::]:443"
	for addr, want := range map[string]string{
		"192.0.2.1:0":       "http.bind_addr 192.0.2.1:0: this machine has no address 192.0.2.1",
		"127.0.0.1":         "http.bind_addr 127.0.0.1: missing port in address" + wanted,
		"127.0.0.1:70000":   "http.bind_addr 127.0.0.1:70000: invalid port" + wanted,
		"::1:80":            "http.bind_addr ::1:80: too many colons in address" + wanted,
		"nowhere.invalid:0": "http.bind_addr nowhere.invalid:0: no address is known for nowhere.invalid",
	} {
		options, _ := plain(protocol)
		options.Addr = addr
		_, err := Listen(options)
		require.Error(t, err, addr)
		assert.Contains(t, err.Error(), want)
		assert.NotContains(t, err.Error(), "\n")
	}
}

func TestListenError_SaysWhatToDoAboutAMissingRight(t *testing.T) {
	denied := &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", syscall.EACCES)}
	for addr, want := range map[string]string{
		"0.0.0.0:443": "https.bind_addr 0.0.0.0:443: no right to a port below 1024: give the program that right " +
			"(setcap cap_net_bind_service=+ep FILE), lower sysctl net.ipv4.ip_unprivileged_port_start, " +
			"or choose a port from 1024 on",
		"0.0.0.0:https": "https.bind_addr 0.0.0.0:https: no right to a port below 1024: give the program that right " +
			"(setcap cap_net_bind_service=+ep FILE), lower sysctl net.ipv4.ip_unprivileged_port_start, " +
			"or choose a port from 1024 on",
		"0.0.0.0:8443": "https.bind_addr 0.0.0.0:8443: the system denies the right to listen there",
	} {
		err := error(&listenError{setting: "https.bind_addr", addr: addr, err: denied})
		assert.EqualError(t, err, want)
		assert.ErrorIs(t, err, syscall.EACCES)
	}
}

func TestListenError_ShowsTheSystemsErrorWhereItKnowsNoBetter(t *testing.T) {
	err := &listenError{setting: "http.bind_addr", addr: ":80", err: errors.New("no more sockets")}
	assert.EqualError(t, err, "http.bind_addr :80: no more sockets")
}

func TestListen_RefusesOptionsThatMakeNoSense(t *testing.T) {
	for want, spoil := range map[string]func(*Options){
		"http: read-header time-out 0s: must be positive":      func(o *Options) { o.ReadHeaderTimeout = 0 },
		"http: idle time-out -1s: must be positive":            func(o *Options) { o.IdleTimeout = -time.Second },
		"http: handshake time-out 0s: must be positive":        func(o *Options) { o.HandshakeTimeout = 0 },
		"http: progress time-out 0s: must be positive":         func(o *Options) { o.ProgressTimeout = 0 },
		"http: header limit -1: must not be negative":          func(o *Options) { o.MaxHeaderBytes = -1 },
		"http: connection limit -1: must not be negative":      func(o *Options) { o.MaxConnections = -1 },
		"http: header limit -2147483648: must not be negative": func(o *Options) { o.MaxHeaderBytes = -1 << 31 },
	} {
		options, _ := plain(protocol)
		spoil(&options)
		_, err := Listen(options)
		assert.EqualError(t, err, want)
	}
}
