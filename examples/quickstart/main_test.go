package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// bin has the three programs, built as "make demo" does.
var bin string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if bin, err = os.MkdirTemp("", "tricot-demo-"); err != nil {
			panic(err)
		}
		defer os.RemoveAll(bin)
		build := exec.Command("go", "build", "-o", bin, "../../cmd/tricot", "../backend", ".")
		if output, err := build.CombinedOutput(); err != nil {
			panic(string(output))
		}
		return m.Run()
	}())
}

func TestDemo_DoesWhatItPrints(t *testing.T) {
	t.Parallel()
	demo := startDemo(t, freePorts(t))
	demo.awaitTour()
	client, err := trusting(demo.root(), demo.ports)
	require.NoError(t, err)
	defer client.CloseIdleConnections()
	secure := func(path string) string {
		address := url("https", demo.ports.HTTPS, path)
		require.Contains(t, demo.said(), address, "is what the tour says")
		return address
	}
	say := func(address string) string {
		response, err := client.Get(address)
		require.NoError(t, err)
		defer response.Body.Close()
		require.Equal(t, http.StatusOK, response.StatusCode)
		line, err := bufio.NewReader(response.Body).ReadString('\n')
		require.NoError(t, err)
		name, _, _ := strings.Cut(line, ":")
		return name
	}

	// HTTPS, verified against the local root.
	assert.Contains(t, []string{"one", "two"}, say(secure("/")))

	// Plain HTTP is sent to HTTPS.
	plain := url("http", demo.ports.HTTP, "/page?from=http")
	assert.Contains(t, demo.said(), "'"+plain+"'")
	response := roundTrip(t, demo.ports.HTTP, plain)
	assert.Equal(t, http.StatusPermanentRedirect, response.StatusCode)
	assert.Equal(t, url("https", demo.ports.HTTPS, "/page?from=http"), response.Header.Get("Location"))

	// Both services take turns.
	turns := strings.TrimSuffix(secure("/?request=[1-4]"), "[1-4]")
	var answers []string
	for n := range 4 {
		answers = append(answers, say(turns+strconv.Itoa(n)))
	}
	assert.NotEqual(t, answers[0], answers[1])
	assert.Equal(t, answers[:2], answers[2:])

	// A path that one of them serves alone.
	alone := strings.TrimSuffix(secure("/two?request=[1-4]"), "[1-4]")
	for n := range 4 {
		assert.Equal(t, "two", say(alone+strconv.Itoa(n)))
	}

	// A header that a tag sets.
	response, err = client.Head(secure("/"))
	require.NoError(t, err)
	assert.Contains(t, []string{"one", "two"}, response.Header.Get("X-Served-By"))

	// A compressed answer.
	request, err := http.NewRequest(http.MethodGet, secure("/page"), nil)
	require.NoError(t, err)
	request.Header.Set("Accept-Encoding", "gzip")
	response, err = client.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	assert.Equal(t, "gzip", response.Header.Get("Content-Encoding"))
	small, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	whole, err := gzip.NewReader(bytes.NewReader(small))
	require.NoError(t, err)
	page, err := io.ReadAll(whole)
	require.NoError(t, err)
	assert.Greater(t, len(page), 3*len(small))

	// Events, as they happen.
	response, err = client.Get(secure("/events"))
	require.NoError(t, err)
	defer response.Body.Close()
	event, err := bufio.NewReader(response.Body).ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "id: 1\n", event)

	// Rules that change while it runs.
	services := filepath.Join(demo.state, "services.yaml")
	assert.Contains(t, demo.said(), "edit "+services)
	text, err := os.ReadFile(services)
	require.NoError(t, err)
	edited := strings.ReplaceAll(string(text), "tricot localhost/two 200", "tricot localhost/moved 200")
	require.NotEqual(t, string(text), edited)
	require.NoError(t, os.WriteFile(services, []byte(edited), 0o644))
	require.Eventually(t, func() bool {
		return say(url("https", demo.ports.HTTPS, "/two")) == "one"
	}, 5*time.Second, 10*time.Millisecond)
	assert.Equal(t, "two", say(url("https", demo.ports.HTTPS, "/moved")))

	assert.Equal(t, 0, demo.interrupt())
}

func TestDemo_EndsAllOfItOnCtrlC(t *testing.T) {
	t.Parallel()
	demo := startDemo(t, freePorts(t))
	demo.awaitTour()
	for _, p := range demo.ports.named() {
		require.True(t, listens(*p.port), p.what)
	}

	assert.Equal(t, 0, demo.interrupt())

	assert.NoError(t, demo.ports.free(), "nobody listens any more")
	demo.assertNoProcessLeft()
}

func TestDemo_EndsAllOfItWhenItsGroupIsInterrupted(t *testing.T) {
	t.Parallel()
	demo := startDemo(t, freePorts(t))
	demo.awaitTour()

	require.NoError(t, syscall.Kill(-demo.cmd.Process.Pid, syscall.SIGINT), "as a terminal does")

	assert.Equal(t, 0, demo.exitCode())
	demo.assertNoProcessLeft()
}

func TestDemo_KeepsTheRootFromOneStartToTheNext(t *testing.T) {
	t.Parallel()
	ports := freePorts(t)
	first := startDemo(t, ports)
	first.awaitTour()
	root, err := os.ReadFile(first.root())
	require.NoError(t, err)
	require.Equal(t, 0, first.interrupt())

	second := startDemoIn(t, first.state, ports)
	second.awaitTour()
	again, err := os.ReadFile(second.root())
	require.NoError(t, err)
	assert.Equal(t, string(root), string(again))
}

func TestDemo_NamesEveryPortThatIsTakenAndStartsNothing(t *testing.T) {
	t.Parallel()
	ports := freePorts(t)
	for _, port := range []int{ports.HTTPS, ports.Two} {
		taken, err := net.Listen("tcp", loopback(port))
		require.NoError(t, err)
		defer taken.Close()
	}
	demo := startDemo(t, ports)

	assert.Equal(t, 1, demo.exitCode())
	assert.Equal(t, 2, strings.Count(demo.said(), "\n"), demo.said())
	assert.Contains(t, demo.said(), "port "+strconv.Itoa(ports.HTTPS)+" is needed for Tricot's HTTPS")
	assert.Contains(t, demo.said(), "port "+strconv.Itoa(ports.Two)+" is needed for backend two")
	assert.NoDirExists(t, demo.state)
}

func TestDemo_EndsWithWhatAChildSaidThatEndedByItself(t *testing.T) {
	t.Parallel()
	tricot := filepath.Join(t.TempDir(), "tricot")
	require.NoError(t, os.WriteFile(tricot, []byte("#!/bin/sh\necho it is no good >&2\nexit 3\n"), 0o755))
	demo := startDemo(t, freePorts(t), "-tricot", tricot)

	assert.Equal(t, 1, demo.exitCode())
	assert.Contains(t, demo.said(), "tricot ended by itself (exit status 3); what it said last:\nit is no good\n")
	demo.assertNoProcessLeft()
}

func TestConfiguration_IsTheFilesAsTheyAreOnTheDefaultPorts(t *testing.T) {
	directory := t.TempDir()
	require.NoError(t, writeConfiguration(directory, defaultPorts))
	for _, name := range []string{"tricot.yaml", "services.yaml"} {
		want, err := os.ReadFile(name)
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(directory, name))
		require.NoError(t, err)
		assert.Equal(t, string(want), string(got))
	}
}

func TestConfiguration_HasThePortsThatWereAskedFor(t *testing.T) {
	directory := t.TempDir()
	require.NoError(t, writeConfiguration(directory, ports{HTTP: 1, HTTPS: 2, Admin: 5, One: 3, Two: 4}))
	for name, want := range map[string][]string{
		"tricot.yaml":   {"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:5"},
		"services.yaml": {"port: 3", "port: 4"},
	} {
		text, err := os.ReadFile(filepath.Join(directory, name))
		require.NoError(t, err)
		assert.Equal(t, want, regexp.MustCompile(`127\.0\.0\.1:\d+|port: \d+`).FindAllString(string(text), -1))
	}
}

// A runningDemo is the built program, in a process group of its own.
type runningDemo struct {
	t     *testing.T
	cmd   *exec.Cmd
	ports ports
	state string
	ended chan struct{}

	mu     sync.Mutex
	output bytes.Buffer
}

func startDemo(t *testing.T, ports ports, further ...string) *runningDemo {
	t.Helper()
	return startDemoIn(t, filepath.Join(t.TempDir(), "state"), ports, further...)
}

func startDemoIn(t *testing.T, state string, ports ports, further ...string) *runningDemo {
	t.Helper()
	args := []string{"-tricot", filepath.Join(bin, "tricot"), "-backend", filepath.Join(bin, "backend"), "-state", state}
	for _, p := range ports.named() {
		args = append(args, "-"+p.flag, strconv.Itoa(*p.port))
	}
	demo := &runningDemo{t: t, ports: ports, state: state, ended: make(chan struct{})}
	demo.cmd = exec.Command(filepath.Join(bin, "quickstart"), append(args, further...)...)
	demo.cmd.Stdout, demo.cmd.Stderr = demo, demo
	demo.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, demo.cmd.Start())
	go func() {
		_ = demo.cmd.Wait()
		close(demo.ended)
	}()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the demo said:\n" + demo.said())
		}
		select {
		case <-demo.ended:
		default:
			_ = syscall.Kill(-demo.cmd.Process.Pid, syscall.SIGKILL)
			<-demo.ended
		}
	})
	return demo
}

func (d *runningDemo) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.output.Write(p)
}

func (d *runningDemo) said() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.output.String()
}

func (d *runningDemo) root() string { return filepath.Join(d.state, rootCertificate) }

func (d *runningDemo) awaitTour() {
	d.t.Helper()
	require.Eventually(d.t, func() bool {
		return strings.Contains(d.said(), "Ctrl-C ends all of it.")
	}, 30*time.Second, 10*time.Millisecond)
}

// interrupt gives the exit code.
func (d *runningDemo) interrupt() int {
	d.t.Helper()
	require.NoError(d.t, d.cmd.Process.Signal(syscall.SIGINT))
	return d.exitCode()
}

func (d *runningDemo) exitCode() int {
	d.t.Helper()
	select {
	case <-d.ended:
	case <-time.After(20 * time.Second):
		require.FailNow(d.t, "the demo does not end")
	}
	return d.cmd.ProcessState.ExitCode()
}

// assertNoProcessLeft looks for any process in the demo's group, which its children share.
func (d *runningDemo) assertNoProcessLeft() {
	d.t.Helper()
	assert.ErrorIs(d.t, syscall.Kill(-d.cmd.Process.Pid, 0), syscall.ESRCH)
}

// freePorts takes them from below those that the kernel hands out by itself, so that no connection of another test gets
// one before the demo does, and from among none that the tests of other packages take.
func freePorts(t *testing.T) ports {
	t.Helper()
	var ports ports
	for _, p := range ports.named() {
		for *p.port == 0 {
			port := 13500 + rand.IntN(1000)
			listener, err := net.Listen("tcp", loopback(port))
			if err != nil {
				continue
			}
			defer listener.Close()
			*p.port = port
		}
	}
	return ports
}

func listens(port int) bool {
	conn, err := net.Dial("tcp", loopback(port))
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}

// roundTrip sends one request to a port and follows no redirect.
func roundTrip(t *testing.T, port int, address string) *http.Response {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, loopback(port))
	}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequest(http.MethodGet, address, nil)
	require.NoError(t, err)
	response, err := transport.RoundTrip(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response
}
