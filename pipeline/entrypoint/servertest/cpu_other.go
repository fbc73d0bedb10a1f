//go:build !linux

package servertest

import "testing"

// ReportCPU runs a benchmark. The processor time is known on Linux only.
func ReportCPU(_ *testing.B, run func()) { run() }
