package route

import (
	"encoding/binary"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/providers"
)

// loadAddress is the variable that makes this test's program the client of BenchmarkRouter_100000RulesUnderLoad.
const loadAddress = "TRICOT_LOAD_ADDRESS"

func TestMain(m *testing.M) {
	if address := os.Getenv(loadAddress); address != "" {
		sendLoad(address)
		return
	}
	os.Exit(m.Run())
}

// Requests come while the services change again and again: ns/op is a swap, slowest-ms how long after it was sent the
// slowest request in the meantime had its route, and over-5ms how many took longer than that. They come over connections
// from a process of its own, as a client's do, whose share of the processors is in it, and so is all else that the machine
// does. "at rest" is the same without a change: ns/op is 500 look-ups; and "collecting" without a change while the garbage
// collector runs again and again.
func BenchmarkRouter_100000RulesUnderLoad(b *testing.B) {
	one, other := large(), large()[1:]
	elsewhere := []Location{{Node: "n1"}, {Node: "n2"}}
	for _, c := range []struct {
		name string
		op   func(router *Router, n int, passed <-chan struct{})
	}{
		{"at rest", func(_ *Router, _ int, passed <-chan struct{}) { <-passed }},
		{"collecting", func(*Router, int, <-chan struct{}) { runtime.GC() }},
		{"one instance changing", func(router *Router, n int, _ <-chan struct{}) {
			router.Apply([][]providers.Instance{one, other}[n%2])
		}},
		{"all changing", func(router *Router, n int, _ <-chan struct{}) { router.Locate(elsewhere[n%2]) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			router := NewRouter(Options{})
			router.Apply(one)
			l := underLoad(b, router)
			b.ReportAllocs()
			for n := 1; b.Loop(); n++ {
				c.op(router, n, l.passed)
			}
			b.ReportMetric(float64(l.slowest.Load())/1e6, "slowest-ms")
			b.ReportMetric(float64(l.late.Load())/float64(l.all.Load()), "over-5ms/request")
		})
	}
}

// load is what came of the requests so far.
type load struct {
	all, late, slowest atomic.Int64
	passed             chan struct{} // gets something every 500 requests
}

// loadConnections is how many there are, each of which sends a thousand requests in a second.
const loadConnections = 8

// underLoad has requests ask a router for hosts until the benchmark ends. A request is the time at which it was sent.
func underLoad(b *testing.B, router *Router) *load {
	l := &load{passed: make(chan struct{}, 1)}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	client := exec.Command(os.Args[0])
	client.Env = append(os.Environ(), loadAddress+"="+listener.Addr().String())
	client.Stderr = os.Stderr
	require.NoError(b, client.Start())
	var connections sync.WaitGroup
	b.Cleanup(func() {
		require.NoError(b, client.Process.Kill())
		_ = client.Wait()
		_ = listener.Close()
		connections.Wait()
	})
	for range loadConnections {
		c, err := listener.Accept()
		require.NoError(b, err)
		connections.Go(func() {
			defer c.Close()
			pick, sent := busy(), make([]byte, 8)
			for {
				if _, err := io.ReadFull(c, sent); err != nil {
					return
				}
				if router.Table().Find(largeHost(1+pick()%49_999), "/api/v1/users") == nil {
					b.Error("no route")
					return
				}
				l.count(time.Now().UnixNano() - int64(binary.BigEndian.Uint64(sent)))
			}
		})
	}
	return l
}

func (l *load) count(took int64) {
	if l.all.Add(1)%500 == 0 {
		select {
		case l.passed <- struct{}{}:
		default: // nobody waits
		}
	}
	if took > int64(5*time.Millisecond) {
		l.late.Add(1)
	}
	for was := l.slowest.Load(); took > was && !l.slowest.CompareAndSwap(was, took); was = l.slowest.Load() {
	}
}

// sendLoad is the client: it sends until its connections end.
func sendLoad(address string) {
	var connections sync.WaitGroup
	for range loadConnections {
		c, err := net.Dial("tcp", address)
		if err != nil {
			panic(err)
		}
		connections.Go(func() {
			defer c.Close()
			for range time.Tick(time.Millisecond) {
				if _, err := c.Write(binary.BigEndian.AppendUint64(nil, uint64(time.Now().UnixNano()))); err != nil {
					return
				}
			}
		})
	}
	connections.Wait()
}
