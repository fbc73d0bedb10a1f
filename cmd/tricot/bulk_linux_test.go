package main_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// residentLimit is how much memory the proxy may need at any time, in bytes.
const residentLimit = 100 << 20

func TestBulk_OfAGibibyteEachWayNeedsLittleMemory(t *testing.T) {
	t.Parallel()
	// One after the other, each with a proxy of its own: they keep all cores busy.
	for _, protocol := range []protocol{http1, http2} {
		t.Run(string(protocol), func(t *testing.T) {
			p := start(t, nil, startBulkBackend(t).service(t, "web", "tricot app.test"))
			client := exec.CommandContext(t.Context(), bulk, "client", "-tricot", p.httpsAddress, "-root", p.root(),
				"-http2="+strconv.FormatBool(protocol == http2))
			said, err := client.CombinedOutput()
			require.NoError(t, err, string(said))
			assert.Less(t, peakResident(t, p.cmd.Process.Pid), residentLimit)
		})
	}
}

// startBulkBackend starts the backend of testdata/bulk, for as long as the test runs.
func startBulkBackend(t *testing.T) backend {
	t.Helper()
	cmd := exec.Command(bulk, "backend")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	address, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	return backend{strings.TrimSpace(address)}
}

// peakResident gives the most bytes of memory that a process ever had resident.
func peakResident(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	for line := range strings.Lines(string(status)) {
		if size, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kibibytes, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(size), " kB"))
			require.NoError(t, err)
			t.Logf("resident at most: %d MiB", kibibytes>>10)
			return kibibytes << 10
		}
	}
	require.FailNow(t, "no VmHWM")
	return 0
}
