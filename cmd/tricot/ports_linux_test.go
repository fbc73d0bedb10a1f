package main_test

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestPort_WithoutTheRightToItIsOneLineAndExitCode1(t *testing.T) {
	t.Parallel()
	p := newProxy(t, config{"log.level": "warn", "http.bind_addr": "0.0.0.0:80", "https.bind_addr": "",
		"middleware.redirect.enabled": false})
	p.launchWithoutLowPorts()

	assert.Equal(t, 1, p.exitCode())
	assertOneLine(t, p.log(), "http.bind_addr", "0.0.0.0:80", "no right to a port below 1024")
}

// launchWithoutLowPorts starts Tricot without the right to port 80, whoever runs the test.
//
// Where the machine keeps low ports to those with the capability, root gives that up, and others never had it. Where
// everybody may use port 80, as in many containers, Tricot gets a network of its own, in which the kernel's default
// holds, and no right to it.
func (p *proxy) launchWithoutLowPorts() {
	p.t.Helper()
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	require.NoError(p.t, err)
	first, err := strconv.Atoi(strings.TrimSpace(string(text)))
	require.NoError(p.t, err)

	if first <= 80 {
		// A user that is not root within the namespace has none of its capabilities once the program runs.
		const nobody = 65534
		p.cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: nobody, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: nobody, HostID: os.Getgid(), Size: 1}},
		}
		p.launch()
		return
	}
	if os.Geteuid() != 0 {
		p.launch()
		return
	}
	p.launchBy(startWithoutLowPorts)
}

// startWithoutLowPorts takes the capability out of the bounding set. That is the thread's, and a child has the one of the
// thread that starts it. The thread ends with the goroutine that it is locked to.
func startWithoutLowPorts(cmd *exec.Cmd) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_NET_BIND_SERVICE, 0, 0, 0)
		if err == nil {
			err = cmd.Start()
		}
		started <- err
	}()
	return <-started
}
