//go:build !linux

// Command bench is "make bench". It reads what a process costs from /proc, and so needs Linux.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench: this measures by /proc, and needs Linux")
	os.Exit(1)
}
