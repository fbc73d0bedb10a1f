package main

import "syscall"

// endWithParent has the kernel end a child when the thread that started it is gone, even where that was killed.
func endWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
