//go:build !linux

package consultest

import (
	"syscall"
	"time"
)

// endWithParent has nothing to ask for where the kernel has no such service: children end with their test alone.
func endWithParent() *syscall.SysProcAttr { return nil }

// awaitStopped has no way to know; a SIGSTOP takes well below a millisecond to reach every thread.
func (p *process) awaitStopped() error {
	time.Sleep(10 * time.Millisecond)
	return nil
}
