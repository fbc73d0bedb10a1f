package consultest

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// endWithParent has the kernel kill a child when the thread that started it is gone, even where that was killed.
func endWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// awaitStopped waits until a SIGSTOP has reached every thread; for a moment after it was sent, some still answer.
func (p *process) awaitStopped() error {
	for {
		// WNOWAIT leaves the news to others, WEXITED is for a process that has ended meanwhile.
		err := unix.Waitid(unix.P_PID, p.cmd.Process.Pid, nil, unix.WSTOPPED|unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			if err != nil {
				return fmt.Errorf("wait until process %d has stopped: %w", p.cmd.Process.Pid, err)
			}
			return nil
		}
	}
}
