package main

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Children share the terminal's Ctrl-C with the demonstration, and get some time to end from that alone: Tricot takes a
// second signal as the wish to end at once. What is left then is told to end, and at last made to.
const (
	afterInterrupt = 300 * time.Millisecond
	afterTerminate = 5 * time.Second
)

// A family is the children of the demonstration.
type family struct {
	// gone gives the first child that ended.
	gone chan *child

	out      *lines
	children []*child
}

func newFamily(out io.Writer) *family {
	return &family{gone: make(chan *child, 1), out: &lines{to: out}}
}

// start runs a program in a directory, the current one where that is empty, and passes on what it says, line by line.
func (f *family) start(name, directory, path string, args ...string) error {
	c := &child{name: name, cmd: exec.Command(path, args...), ended: make(chan struct{})}
	output := &output{name: name, to: f.out, child: c}
	c.cmd.Dir = directory
	c.cmd.Stdout, c.cmd.Stderr = output, output
	c.cmd.SysProcAttr = endWithParent()
	if err := c.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	f.children = append(f.children, c)
	go func() {
		c.err = c.cmd.Wait()
		output.flush()
		close(c.ended)
		select {
		case f.gone <- c:
		default: // another one was first
		}
	}()
	return nil
}

// end returns when no child is left.
func (f *family) end() {
	if f.allEnded(afterInterrupt) {
		return
	}
	f.signal(syscall.SIGTERM)
	if f.allEnded(afterTerminate) {
		return
	}
	f.signal(syscall.SIGKILL)
	for _, c := range f.children {
		<-c.ended
	}
}

func (f *family) allEnded(within time.Duration) bool {
	timeout := time.After(within)
	for _, c := range f.children {
		select {
		case <-c.ended:
		case <-timeout:
			return false
		}
	}
	return true
}

func (f *family) signal(signal syscall.Signal) {
	for _, c := range f.children {
		_ = c.cmd.Process.Signal(signal) // an error means that it has ended
	}
}

// A child is one started program.
type child struct {
	name  string
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended and said all
	err   error         // set before that

	mu    sync.Mutex
	lines []string // the last ones that it said
}

// how says how a child that is gone ended.
func (c *child) how() string {
	if c.err != nil {
		return c.err.Error()
	}
	return "exit status 0"
}

// last gives what a child said last.
func (c *child) last() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lines == nil {
		return "nothing"
	}
	return strings.Join(c.lines, "\n")
}

func (c *child) said(line string) {
	const kept = 20
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines = append(c.lines, line)
	if len(c.lines) > kept {
		c.lines = c.lines[1:]
	}
}

// output passes on whole lines of one child, with its name before each. [exec.Cmd] writes to it from one goroutine.
type output struct {
	name  string
	to    *lines
	child *child
	part  []byte // of a line that has no end yet
}

func (o *output) Write(p []byte) (int, error) {
	o.part = append(o.part, p...)
	for {
		line, rest, ended := bytes.Cut(o.part, []byte("\n"))
		if !ended {
			return len(p), nil
		}
		o.pass(line)
		o.part = rest
	}
}

func (o *output) flush() {
	if len(o.part) > 0 {
		o.pass(o.part)
	}
}

func (o *output) pass(line []byte) {
	o.child.said(string(line))
	o.to.print(o.name, line)
}

// lines keeps the lines of several children apart.
type lines struct {
	mu sync.Mutex
	to io.Writer
}

func (l *lines) print(name string, line []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.to, "[%s] %s\n", name, line)
}
