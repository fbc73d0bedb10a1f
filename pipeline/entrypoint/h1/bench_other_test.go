//go:build !linux

package h1

import "testing"

func reportCPU(_ *testing.B, run func()) { run() }
