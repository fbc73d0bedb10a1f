package main_test

import (
	"os/exec"
	"runtime"
	"syscall"
)

// startWithParent starts a process that the kernel ends when the test process is gone, however that came: a test that
// hangs is ended by a panic, which runs no clean-up. What the kernel watches is the thread that starts the process, so
// one thread is kept for that.
func startWithParent(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started := make(chan error)
	starter <- func() { started <- cmd.Start() }
	return <-started
}

var starter = func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for start := range work {
			start()
		}
	}()
	return work
}()
