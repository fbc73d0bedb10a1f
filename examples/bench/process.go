//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tick is what /proc counts CPU time in: USER_HZ, 100 on every architecture that Go runs on (proc(5)).
const tick = time.Second / 100

// startPatience is how long a proxy may take until it answers.
const startPatience = 20 * time.Second

// cores are the ones that this process may use.
func cores() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, err
	}
	var all []int
	for core := 0; len(all) < set.Count(); core++ {
		if set.IsSet(core) {
			all = append(all, core)
		}
	}
	return all, nil
}

// onCore has whatever the calling thread starts run on one core.
func onCore(core int) error {
	var set unix.CPUSet
	set.Set(core)
	return unix.SchedSetaffinity(0, &set)
}

// keepOffFirstCore starts the program anew on the second core, for that is the only way to move every thread that the
// runtime has already.
func keepOffFirstCore() error {
	const moved = "TRICOT_BENCH_FIRST_CORE"
	if os.Getenv(moved) != "" {
		return nil
	}
	all, err := cores()
	if err != nil || len(all) < 2 {
		return err
	}
	runtime.LockOSThread() // exec keeps what holds for the thread that calls it
	if err := onCore(all[1]); err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	return syscall.Exec(program, os.Args, append(os.Environ(), moved+"="+strconv.Itoa(all[0])))
}

// firstCore is the one for the proxies.
func firstCore() (int, error) {
	if core, err := strconv.Atoi(os.Getenv("TRICOT_BENCH_FIRST_CORE")); err == nil {
		return core, nil
	}
	all, err := cores()
	if err != nil {
		return 0, err
	}
	return all[0], nil
}

// A proxy is a peer that runs and answers.
type proxy struct {
	peer
	address string
	cmd     *exec.Cmd
	gone    chan struct{}
}

// freeAddress gives one that nobody listens on now.
func freeAddress() (address, port string, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	defer listener.Close()
	address = listener.Addr().String()
	_, port, err = net.SplitHostPort(address)
	return address, port, err
}

// start writes the proxy's configuration, starts it on the first core, and waits until it answers.
func (p peer) start(ctx context.Context, dir, backend string) (*proxy, error) {
	address, port, err := freeAddress()
	if err != nil {
		return nil, err
	}
	_, backendPort, _ := net.SplitHostPort(backend)
	fill := strings.NewReplacer("@DIR@", dir, "@BACKEND@", backend, "@BACKEND_PORT@", backendPort, "@PORT@", port, "@HOST@", host)
	for name, text := range p.files {
		text = fill.Replace(text)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	arguments := make([]string, len(p.arguments))
	for i, argument := range p.arguments {
		arguments[i] = fill.Replace(argument)
	}
	said, err := os.Create(filepath.Join(dir, p.name+".log"))
	if err != nil {
		return nil, err
	}
	defer said.Close()
	r := &proxy{peer: p, address: address, cmd: exec.Command(p.path, arguments...), gone: make(chan struct{})}
	r.cmd.Dir, r.cmd.Stdout, r.cmd.Stderr = dir, said, said
	r.cmd.Env = append(os.Environ(), "HOME="+dir)
	if err := startOnFirstCore(r.cmd); err != nil {
		return nil, err
	}
	go func() {
		_ = r.cmd.Wait()
		close(r.gone)
	}()
	if err := r.answers(ctx); err != nil {
		r.end()
		text, _ := os.ReadFile(said.Name())
		return nil, fmt.Errorf("%w; it said: %s", err, lastOf(text))
	}
	return r, nil
}

// startOnFirstCore starts it from a thread that is there: a child inherits that. The thread ends with its goroutine.
func startOnFirstCore(cmd *exec.Cmd) error {
	core, err := firstCore()
	if err != nil {
		return err
	}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := onCore(core); err != nil {
			started <- err
			return
		}
		started <- cmd.Start()
	}()
	return <-started
}

// answers waits until the proxy passes on what the backend says.
func (r *proxy) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	var last error
	for {
		if last = ask(r.address); last == nil {
			return nil
		}
		select {
		case <-r.gone:
			return errors.New("it ended")
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w", last)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// ask makes one request.
func ask(address string) error {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: time.Second}, "tcp", address, clientTLS("http/1.1"))
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	return newH1(conn).get("/1k", false)
}

// end ends the proxy and all that it started.
func (r *proxy) end() {
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-r.gone:
	case <-time.After(5 * time.Second):
		_ = r.cmd.Process.Kill()
		<-r.gone
	}
}

// cpu is the user and system time of the proxy's processes until now.
func (r *proxy) cpu() (time.Duration, error) {
	own, children := strconv.Itoa(r.cmd.Process.Pid), map[string][]string{}
	times := map[string]time.Duration{}
	found, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	for _, path := range found {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// The name, in parentheses, may have anything in it. After it: state, parent, ..., utime, stime are 14th and 15th.
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(fields) < 13 {
			continue
		}
		pid := filepath.Base(filepath.Dir(path))
		children[fields[1]] = append(children[fields[1]], pid)
		user, _ := strconv.Atoi(fields[11])
		system, _ := strconv.Atoi(fields[12])
		times[pid] = time.Duration(user+system) * tick
	}
	if _, there := times[own]; !there {
		return 0, fmt.Errorf("%s has ended", r.name)
	}
	var total time.Duration
	for todo := []string{own}; len(todo) > 0; todo = todo[1:] {
		total += times[todo[0]]
		todo = append(todo, children[todo[0]]...)
	}
	return total, nil
}

func lastOf(text []byte) string {
	const most = 500
	if len(text) > most {
		text = text[len(text)-most:]
	}
	return strings.TrimSpace(string(text))
}
