package servertest

import (
	"syscall"
	"testing"
)

// ReportCPU runs a benchmark and reports the processor time of the process, the client's included, which says more than the
// time that passed where a machine is busy.
func ReportCPU(b *testing.B, run func()) {
	before := cpuTime(b)
	run()
	b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
}

func cpuTime(b *testing.B) int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}
