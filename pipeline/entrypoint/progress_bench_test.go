package entrypoint

import (
	"io"
	"testing"
	"time"
)

// What it costs to watch a client's progress: a write with and without.
func BenchmarkConn_Write(b *testing.B) {
	for _, name := range []string{"conn", "TCPConn"} {
		b.Run(name, func(b *testing.B) {
			c, client := acceptedWithin(b, time.Minute)
			var to io.Writer = c
			if name == "TCPConn" {
				to = c.TCPConn
			}
			go func() { _, _ = io.Copy(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{client}) }()
			p := make([]byte, 1<<10)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := to.Write(p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
