// Package main_test drives the built binary as its users do: over real sockets, with real files and signals, and with
// every backend a real server in the test process.
//
// proxy_test.go runs the binary, client_test.go talks to it, backend_test.go is what stands behind it. Each other file
// is one side of what Tricot does.
package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// binary is the path of the program under test, bulk that of testdata/bulk. Neither has the race detector in it.
var binary, bulk string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "tricot-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary, bulk = filepath.Join(dir, "tricot"), filepath.Join(dir, "bulk")
	build := exec.Command("go", "build", "-o", dir, ".", "./testdata/bulk")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build the programs:", err)
		return 1
	}
	return m.Run()
}
