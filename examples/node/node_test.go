// Package node_test runs the example as its README says, with a real Consul, a real Node and a Tricot that it builds.
package node_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/providers/consul/consultest"
)

func TestReadme_ItsFiveLinesEndWithAnAnswerOverHTTPS(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(readme), "```sh\n")
	require.True(t, found, "the README has its lines in a block of sh")
	lines, _, _ := strings.Cut(rest, "```\n")
	require.Len(t, strings.Split(strings.TrimSpace(lines), "\n"), 5)

	node(t)
	hostname, err := os.Hostname()
	require.NoError(t, err)
	consul, file := consultest.Configuration(t, consultest.Options{NodeName: hostname})
	path := t.TempDir()
	// The lines run as they stand. All that differs is given by the environment, and to Consul, which takes no ports from
	// there, by further arguments.
	script := fmt.Sprintf("#!/bin/sh\nexec '%s' \"$@\" -config-file='%s'\n", consultest.Binary(t), file)
	require.NoError(t, os.WriteFile(filepath.Join(path, "consul"), []byte(script), 0o700))
	build := exec.Command("go", "build", "-o", path, "../../cmd/tricot")
	output, err := build.CombinedOutput()
	require.NoError(t, err, string(output))
	http, https := freePorts(t)

	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	shell := exec.CommandContext(ctx, "bash", "-c", lines) // sh takes no "%3" where nobody sits at it
	shell.Dir = copied(t)
	shell.Env = append(os.Environ(),
		"PATH="+path+string(filepath.ListSeparator)+os.Getenv("PATH"),
		"TRICOT_CONSUL_HOST="+consul, "CONSUL_HTTP_ADDR="+consul,
		"TRICOT_ADMIN_BIND_ADDR=127.0.0.1:0", "TRICOT_HTTP_BIND_ADDR=127.0.0.1:"+http, "TRICOT_HTTPS_BIND_ADDR=127.0.0.1:"+https,
		"HTTPS_PORT="+https, "PORT=0")
	// All that the lines start is one process group, of which nothing is left afterwards.
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	shell.Cancel = func() error { return syscall.Kill(-shell.Process.Pid, syscall.SIGKILL) }
	var said strings.Builder
	shell.Stdout, shell.Stderr = &said, &said
	require.NoError(t, shell.Start())
	defer func() { _ = syscall.Kill(-shell.Process.Pid, syscall.SIGKILL) }() // an error means that nothing is left
	require.NoError(t, shell.Wait(), &said)

	assert.Contains(t, said.String(), "200 OK, X-Served-By: hello\n")
	assert.Contains(t, said.String(), "Hello from Node: GET https://localhost:"+https+"/\n")
	assert.NotContains(t, said.String(), "does not take the deregistration")
	require.Eventually(t, func() bool {
		return syscall.Kill(-shell.Process.Pid, 0) == syscall.ESRCH
	}, 20*time.Second, 10*time.Millisecond, "the last line ends all")
}

func TestService_IsInTheCatalogFromItsStartToItsEnd(t *testing.T) {
	agent := consultest.Dev(t, consultest.Options{ACL: true})
	token := agent.NewToken(`service "hello" { policy = "write" }`)
	service := exec.Command(node(t), "service.js")
	service.Env = append(os.Environ(), "PORT=0", "CONSUL_HTTP_TOKEN="+token,
		"CONSUL_HTTP_ADDR="+strings.TrimPrefix(agent.HTTP, "http://")) // Consul's own tools take it without a scheme too
	end := start(t, service)

	var entry *api.ServiceEntry
	require.Eventually(t, func() bool {
		entries, _, err := agent.Client().Health().Service("hello", "", true, nil)
		if err == nil && len(entries) == 1 {
			entry = entries[0]
		}
		return entry != nil
	}, 20*time.Second, 10*time.Millisecond)
	assert.Equal(t, []string{"tricot localhost", "tricot-add-header X-Served-By hello"}, entry.Service.Tags)
	response, err := http.Get(fmt.Sprintf("http://%s:%d/health", entry.Service.Address, entry.Service.Port))
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, http.StatusOK, response.StatusCode)

	require.NoError(t, end(), "a signal ends it with exit code 0")
	require.Eventually(t, func() bool { // the agent tells the catalog in its own time
		entries, _, err := agent.Client().Health().Service("hello", "", false, nil)
		return err == nil && len(entries) == 0
	}, 20*time.Second, 10*time.Millisecond, "it is still in the catalog")
}

func TestService_RegistersWhenConsulComesLater(t *testing.T) {
	agent := consultest.Dev(t, consultest.Options{})
	agent.Stop()
	service := exec.Command(node(t), "service.js")
	service.Env = append(os.Environ(), "PORT=0", "CONSUL_HTTP_ADDR="+agent.HTTP)
	end := start(t, service)
	agent.Restart()
	require.Eventually(t, func() bool {
		entries, _, err := agent.Client().Health().Service("hello", "", true, nil)
		return err == nil && len(entries) == 1
	}, 20*time.Second, 10*time.Millisecond)
	require.NoError(t, end())
}

func TestClient_TakesNoCertificateButThoseOfItsAuthority(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler()) // its authority is in no list
	defer server.Close()
	for _, test := range []struct {
		name string
		more []string
		want string
	}{
		{"of another authority", []string{consultest.NewTLS(t).CA, "0"}, "self-signed certificate"},
		{"of none that Node knows", []string{"", "0"}, "self-signed certificate"},
		{"without the file", []string{filepath.Join(t.TempDir(), "root.pem"), "0"}, "no such file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			output, err := exec.Command(node(t), append([]string{"client.js", server.URL}, test.more...)...).CombinedOutput()
			require.Error(t, err, string(output))
			assert.Contains(t, string(output), test.want)
		})
	}
}

// node finds Node, which cannot be built here as Consul can.
func node(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		t.Fatal("node is not on PATH; this installs it: sudo apt-get install --yes nodejs")
	}
	return path
}

// copied gives a folder with what a user has of the example.
func copied(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, file := range []string{"service.js", "client.js", "tricot.yaml"} {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), content, 0o600))
	}
	return dir
}

// start gives what ends a program with SIGTERM.
func start(t *testing.T, command *exec.Cmd) (end func() error) {
	t.Helper()
	command.Stdout, command.Stderr = t.Output(), t.Output()
	require.NoError(t, command.Start())
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	t.Cleanup(func() { _ = command.Process.Kill() }) // an error means that it has ended
	return func() error {
		if err := command.Process.Signal(syscall.SIGTERM); err != nil {
			return err
		}
		return <-ended
	}
}

// freePorts gives two ports that nobody listened on a moment ago. They are below those that the kernel hands out by itself,
// so that no connection gets one before Tricot does, and from among none that the tests of other packages take.
func freePorts(t *testing.T) (one, other string) {
	t.Helper()
	listen := func() (string, net.Listener) {
		for range 1000 {
			port := strconv.Itoa(14500 + rand.IntN(300))
			if listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port)); err == nil {
				return port, listener
			}
		}
		require.FailNow(t, "no free port")
		return "", nil
	}
	one, held := listen()
	defer held.Close()
	other, held = listen()
	defer held.Close()
	return one, other
}
