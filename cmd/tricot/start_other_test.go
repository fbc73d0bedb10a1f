//go:build !linux

package main_test

import "os/exec"

func startWithParent(cmd *exec.Cmd) error { return cmd.Start() }
