//go:build !linux

package h2

import "testing"

func reportCPU(_ *testing.B, run func()) { run() }
