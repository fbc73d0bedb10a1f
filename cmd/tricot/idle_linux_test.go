package main_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// BenchmarkIdleConnections tells what an idle keep-alive connection over TLS costs Tricot: the resident memory that
// 10,000 of them add, divided by their number. Each has come with a full handshake and has had one request. The garbage of
// that is in it, of which the runtime gives little back in the minutes after; what the kernel has for a socket is not.
//
//	go test -run '^$' -bench IdleConnections -benchtime 1x ./cmd/tricot
func BenchmarkIdleConnections(b *testing.B) {
	const connections = 10_000
	raiseOpenFiles(b, connections+1000)
	for _, protocol := range []protocol{http1, http2} {
		b.Run(string(protocol), func(b *testing.B) {
			for b.Loop() {
				p, address := startForIdle(b)
				p.openIdle(b, address, protocol, 100)() // what the first ones need is not theirs
				before := p.status(b, "VmRSS")
				closeAll := p.openIdle(b, address, protocol, connections)
				b.ReportMetric(float64(p.status(b, "VmRSS")-before)*1024/connections, "resident-B/conn")
				b.ReportMetric(float64(before), "before-KiB")
				closeAll()
				p.end()
			}
			b.ReportMetric(0, "ns/op") // has the look at the process in it
		})
	}
}

// raiseOpenFiles lets this process and those that it starts have so many files open.
func raiseOpenFiles(b *testing.B, files uint64) {
	b.Helper()
	var limit unix.Rlimit
	require.NoError(b, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	if limit.Cur >= files {
		return
	}
	limit.Cur, limit.Max = files, max(limit.Max, files)
	require.NoError(b, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit), "%d open files are needed (ulimit -n)", files)
}

// startForIdle starts Tricot with one backend for app.test, waits until it serves, and gives its HTTPS address.
func startForIdle(b *testing.B) (p *benchmarked, address string) {
	b.Helper()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "idle") }))
	b.Cleanup(backend.Close)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	address = free.Addr().String()
	require.NoError(b, free.Close())

	dir := b.TempDir()
	services := filepath.Join(dir, "services.yaml")
	host, port, err := net.SplitHostPort(backend.Listener.Addr().String())
	require.NoError(b, err)
	require.NoError(b, os.WriteFile(services, fmt.Appendf(nil,
		"services:\n  - {name: web, address: %s, port: %s, tags: [tricot app.test]}\n", host, port), 0o600))
	p = &benchmarked{log: &output{}, client: &http.Client{}}
	p.cmd = exec.Command(binary, "--providers", "file", "--file-path", services, "--http-bind-addr=", "--admin-bind-addr=", "--https-bind-addr", address,
		"--middleware-redirect-enabled=false", "--middleware-access-log-enabled=false", "--entrypoint-idle-timeout", "1h",
		"--certs-issuer", "local", "--certs-store", "dir", "--certs-dir", filepath.Join(dir, "certs"))
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	require.NoError(b, startWithParent(p.cmd))
	b.Cleanup(func() {
		p.end()
		if b.Failed() {
			b.Log("Tricot said:\n" + p.log.String())
		}
	})
	require.Eventually(b, func() bool { return strings.Contains(p.log.String(), "certificate issued") && accepts(address) },
		2*patience, 10*time.Millisecond, "Tricot does not serve")
	return p, address
}

// openIdle opens connections and makes a request on each, a few at a time, and gives what closes them all.
func (p *benchmarked) openIdle(b *testing.B, address string, protocol protocol, count int) (closeAll func()) {
	b.Helper()
	const openers, perSource = 8, 2000 // the ports of one source address might not do
	var protocols http.Protocols
	protocols.SetHTTP1(protocol == http1)
	protocols.SetHTTP2(protocol == http2)
	clients := make([]*http.Transport, count) // each has one connection
	for n := range clients {
		dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+n/perSource))}}
		clients[n] = &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, "tcp", address)
			},
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
			Protocols:       &protocols,
		}
	}
	closeAll = func() {
		for _, client := range clients {
			client.CloseIdleConnections()
		}
	}
	b.Cleanup(closeAll)
	var group errgroup.Group
	group.SetLimit(openers)
	for n, client := range clients {
		group.Go(func() error {
			if err := askOnce(client); err != nil {
				return fmt.Errorf("connection %d: %w", n, err)
			}
			return nil
		})
	}
	require.NoError(b, group.Wait())
	return closeAll
}

// askOnce makes a request and reads its answer whole, so that the connection can be used again.
func askOnce(client *http.Transport) error {
	request, err := http.NewRequest(http.MethodGet, "https://app.test/", nil)
	if err != nil {
		return err
	}
	response, err := client.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && string(body) != "idle" {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	return err
}
