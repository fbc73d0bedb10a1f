package consultest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestServer_SaysThatAPortIsTakenWhicheverItIs(t *testing.T) {
	t.Parallel()
	for _, which := range []struct {
		name string
		port func(ports) int
	}{
		{"api", func(p ports) int { return p.api }},
		{"serf", func(p ports) int { return p.serf }},
		{"rpc", func(p ports) int { return p.rpc }},
	} {
		t.Run(which.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(Binary(t), t.TempDir(), inMemory, Options{})
			var err error
			s.ports, err = freePorts()
			require.NoError(t, err)
			s.client, s.transport, err = s.newClient("")
			require.NoError(t, err)
			held, err := net.Listen("tcp", loopback(which.port(s.ports)))
			require.NoError(t, err)
			defer held.Close()
			require.ErrorIs(t, s.run(), errClash)

			require.NoError(t, s.start(), "with other ports it starts")
			s.stop()
		})
	}
}

func TestServer_SaysWhyItDoesNotStart(t *testing.T) {
	t.Parallel()
	s := newServer(Binary(t), t.TempDir(), inMemory, Options{HCL: `no_such_setting = 1`})
	require.ErrorIs(t, s.start(), errEnded)
	assert.Contains(t, string(s.logFrom(0)), "no_such_setting")
}

// TestChild is the test binary that TestConsul_DiesWithItsTestBinary kills.
func TestChild(t *testing.T) {
	if os.Getenv("CONSULTEST_CHILD") == "" {
		return // the parent runs it
	}
	agent := Dev(t, Options{})
	fmt.Printf("consul %d\n", agent.server.process.cmd.Process.Pid)
	_, _ = io.Copy(io.Discard, os.Stdin) // until it is killed
}

func TestConsul_DiesWithItsTestBinaryOnLinux(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		return // the kernel has no such service
	}
	child := exec.Command(os.Args[0], "-test.run=^TestChild$")
	child.Env = append(os.Environ(), "CONSULTEST_CHILD=1", "TMPDIR="+t.TempDir())
	input, err := child.StdinPipe()
	require.NoError(t, err)
	defer input.Close()
	output, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	var pid int
	_, err = fmt.Fscanf(output, "consul %d\n", &pid)
	require.NoError(t, child.Process.Kill())
	require.NoError(t, err)
	_ = child.Wait()
	require.Eventually(t, func() bool { return gone(pid) }, 10*time.Second, 5*time.Millisecond)
}

// gone says whether a process has ended; that nobody may have waited for it does not matter.
func gone(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err != nil || strings.Contains(string(status), "State:\tZ")
}
