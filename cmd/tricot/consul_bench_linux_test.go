package main_test

import (
	"bufio"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/providers/consul/consultest"
)

// BenchmarkConsul_TenThousandServices tells what a catalog of 10,000 services costs, 100 of them with a tag for Tricot:
// the connections to Consul, over plain HTTP and over HTTPS, the resident memory, now and at most, and the time from the
// start of the process to the first table, as its log has it. Over plain HTTP each request that waits is a connection:
// beside those of the tagged services there are one for the list of services and one for the node, and perhaps a few
// that have just been used.
//
//	go test -run '^$' -bench Consul_Ten ./cmd/tricot
func BenchmarkConsul_TenThousandServices(b *testing.B) {
	const services, tagged = 10_000, 100
	for _, scheme := range []string{"http", "https"} {
		b.Run(scheme, func(b *testing.B) {
			options := consultest.Options{}
			if scheme == "https" {
				options.TLS = consultest.NewTLS(b)
			}
			agent := consultest.Dev(b, options)
			fill(b, agent.Client(), services, tagged)
			agentURL, err := url.Parse(agent.HTTP)
			require.NoError(b, err)
			port, err := strconv.Atoi(agentURL.Port())
			require.NoError(b, err)
			var first time.Duration
			for b.Loop() {
				p := startBenchmarked(b, agent, options.TLS)
				first = p.awaitRules(b, tagged)
				if scheme == "http" {
					for limit := time.Now().Add(patience); p.connections(b, port) < tagged; {
						require.True(b, time.Now().Before(limit), "there are %d connections", p.connections(b, port))
					}
				}
				b.ReportMetric(float64(p.connections(b, port)), "connections")
				b.ReportMetric(float64(p.status(b, "VmRSS")), "resident-KiB")
				b.ReportMetric(float64(p.status(b, "VmHWM")), "most-resident-KiB")
				p.end()
			}
			b.ReportMetric(float64(first)/float64(time.Millisecond), "first-table-ms")
			b.ReportMetric(0, "ns/op") // has the look at the process in it
		})
	}
}

// status gives a line of /proc/PID/status that is a number of KiB.
func (p *benchmarked) status(b *testing.B, name string) int {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	require.NoError(b, err)
	for line := range strings.Lines(string(status)) {
		if size, found := strings.CutPrefix(line, name+":"); found {
			number, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(size), " kB"))
			require.NoError(b, err)
			return number
		}
	}
	b.Fatalf("no %s", name)
	return 0
}

// connections counts those that Tricot has established to a port.
func (p *benchmarked) connections(b *testing.B, port int) int {
	b.Helper()
	process := fmt.Sprintf("/proc/%d", p.cmd.Process.Pid)
	descriptors, err := filepath.Glob(process + "/fd/*")
	require.NoError(b, err)
	its := map[string]bool{}
	for _, descriptor := range descriptors {
		if link, err := os.Readlink(descriptor); err == nil { // else it was closed meanwhile
			its[link] = true
		}
	}
	file, err := os.Open(process + "/net/tcp") // has those of all processes
	require.NoError(b, err)
	defer file.Close()
	count, remote := 0, fmt.Sprintf(":%04X", port)
	for lines := bufio.NewScanner(file); lines.Scan(); {
		// The fields are those of proc_pid_net(5): among them the remote address, the state and the inode.
		const remoteField, stateField, inodeField, established = 2, 3, 9, "01"
		fields := strings.Fields(lines.Text())
		if len(fields) > inodeField && strings.HasSuffix(fields[remoteField], remote) && fields[stateField] == established &&
			its["socket:["+fields[inodeField]+"]"] {
			count++
		}
	}
	return count
}
