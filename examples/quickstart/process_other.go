//go:build !linux

package main

import "syscall"

// endWithParent has nothing to ask for where the kernel has no such service: children end with [family.end], and with
// the process group that they share.
func endWithParent() *syscall.SysProcAttr { return nil }
