package main_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/acme/acmetest"
)

// A flood is handshakes for random names below example.com, by several clients, each of which begins the next one when it
// has seen the first of Tricot's answer. None goes further: to verify and to finish costs the client more than Tricot, and
// the machine is the same.
type flood struct {
	clients      sync.WaitGroup
	done, failed atomic.Int64
	stopped      atomic.Bool
	ended        chan struct{}
}

// startFlood begins one of so many handshakes; 0: until it is stopped.
func startFlood(t testing.TB, address string, clients, handshakes int) *flood {
	t.Helper()
	f := &flood{ended: make(chan struct{})}
	hello, name := clientHello(t)
	for i := range clients {
		random := rand.New(rand.NewPCG(uint64(i), uint64(handshakes)))
		hello := bytes.Clone(hello)
		f.clients.Go(func() {
			for n := i; (handshakes == 0 || n < handshakes) && !f.stopped.Load(); n += clients {
				copy(hello[name:], fmt.Sprintf("%016x", random.Uint64()))
				if beginHandshake(address, hello) {
					f.done.Add(1)
				} else {
					f.failed.Add(1)
				}
			}
		})
	}
	go func() {
		f.clients.Wait()
		close(f.ended)
	}()
	t.Cleanup(f.stop)
	return f
}

// clientHello gives the first bytes of a handshake for a name below example.com, and where in them its first label is, of
// 16 bytes.
func clientHello(t testing.TB) (hello []byte, name int) {
	t.Helper()
	const label = "0123456789abcdef"
	client, server := net.Pipe()
	conn := tls.Client(client, &tls.Config{ServerName: label + ".example.com", CurvePreferences: []tls.CurveID{tls.X25519}})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = conn.Handshake()
	}()
	hello = make([]byte, 16<<10)
	n, err := server.Read(hello) // the client writes all of it at once
	require.NoError(t, err)
	require.NoError(t, server.Close())
	<-ended
	name = bytes.Index(hello[:n], []byte(label))
	require.Positive(t, name)
	return hello[:n], name
}

// beginHandshake says whether a hello is answered as it ought to be.
func beginHandshake(address string, hello []byte) bool {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write(hello); err != nil {
		return false
	}
	const handshake, serverHello = 22, 2 // RFC 8446, sections 5.1 and 4
	var answer [6]byte
	_, err = io.ReadFull(conn, answer[:])
	return err == nil && answer[0] == handshake && answer[5] == serverHello
}

func (f *flood) stop() {
	f.stopped.Store(true)
	<-f.ended
}

// over says whether all handshakes have been made.
func (f *flood) over() bool {
	select {
	case <-f.ended:
		return true
	default:
		return false
	}
}

// What comes of a flood depends on what the endpoint says of its names. It is asked about a few in a minute, whatever it
// says, and the CA about no more.
func TestACME_OnDemandAFloodOfNamesLeadsToFewQuestionsAndOrders(t *testing.T) {
	t.Parallel()
	const perMinute, clients = 3, 4
	for name, tc := range map[string]struct {
		status int // of the endpoint's answers; 0: it hangs up
		names  int
		orders int // by the minute
	}{
		"allowed": {http.StatusOK, 10_000, perMinute}, // the worst that there can be
		"refused": {http.StatusForbidden, 1_000, 0},
		"away":    {0, 1_000, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ca := acmetest.Start(t, acmetest.Options{})
			ask := startAsk(t, func(string) int { return tc.status })
			url, asked := ask.url, func() (sum int) {
				for _, n := range ask.questions() {
					sum += n
				}
				return sum
			}
			if tc.status == 0 {
				var connections atomic.Int64
				address := freeAddress(t)
				hangUpAt(t, address, &connections)
				url, asked = "http://"+address+"/allowed", func() int { return int(connections.Load()) }
			}
			p := startOnACME(t, ca, config{"acme.on_demand.ask": url, "acme.on_demand.per_minute": perMinute},
				naming(t, "web").service(t, "web", "tricot known.example.com", "tricot *.example.com"))
			p.awaitSigned(ca, "known.example.com")
			roots := ca.Roots()
			quiet := p.handshakes(roots, func(done int) bool { return done == 50 })

			begin := time.Now()
			f := startFlood(t, p.httpsAddress, clients, tc.names)
			meanwhile := p.handshakes(roots, func(int) bool { return f.over() })
			took := time.Since(begin)
			assert.Zero(t, f.failed.Load(), "handshakes of the flood")
			t.Logf("%d handshakes for random names in %v; those for the known name took %v each in the median before, and %v "+
				"(of %d) meanwhile", f.done.Load(), took, median(quiet), median(meanwhile), len(meanwhile))

			p.awaitLog("WARN", "more new names are asked for in handshakes than endpoints are asked about")
			p.eventually(func() bool { return asked() >= perMinute }, "as many as may be are not asked about")
			p.eventually(func() bool { return len(ca.Orders()) >= 1+tc.orders }, "the names that were allowed are not ordered")
			questions, orders := asked(), ca.Orders()
			minutes := atMost(begin, time.Minute) // until after they were counted
			assert.LessOrEqual(t, questions, perMinute*minutes)
			assert.LessOrEqual(t, len(orders), 1+tc.orders*minutes)
			for name, n := range orders {
				assert.Equal(t, 1, n, name)
			}
			assert.Len(t, p.logLines("WARN", "more new names"), 1, "the flood is said once")
		})
	}
}

// handshakes makes handshakes for the known name, one at least, one after the other until there are enough of them, and
// gives how long each took.
func (p *proxy) handshakes(roots *x509.CertPool, enough func(done int) bool) (took []time.Duration) {
	p.t.Helper()
	for len(took) == 0 || !enough(len(took)) {
		begin := time.Now()
		certificate, err := p.handshake("known.example.com", roots)
		took = append(took, time.Since(begin))
		if assert.NoError(p.t, err) {
			assert.Equal(p.t, []string{"known.example.com"}, certificate.DNSNames)
		}
	}
	return took
}

func median(of []time.Duration) time.Duration {
	slices.Sort(of)
	return of[len(of)/2]
}

// BenchmarkACME_HandshakeOfAKnownName tells how long one takes while nothing else happens, and while two clients make
// handshakes for random names of a wildcard as fast as they can, each of which may be asked for on demand. The clients are
// on the same machine, so that the processors are shared.
//
//	go test -run '^$' -bench ACME_Handshake ./cmd/tricot
func BenchmarkACME_HandshakeOfAKnownName(b *testing.B) {
	address := startForHandshakes(b)
	config := &tls.Config{ServerName: "known.example.com", InsecureSkipVerify: true}
	measure := func(b *testing.B) {
		b.ReportAllocs()
		var took []time.Duration
		for b.Loop() {
			begin := time.Now()
			conn, err := tls.Dial("tcp", address, config)
			require.NoError(b, err)
			took = append(took, time.Since(begin))
			require.NoError(b, conn.Close())
		}
		b.ReportMetric(percentile(took, 50), "p50-ms")
		b.ReportMetric(percentile(took, 99), "p99-ms")
	}
	b.Run("quiet", measure)
	b.Run("flood", func(b *testing.B) {
		f := startFlood(b, address, 2, 0)
		begin := time.Now()
		measure(b)
		f.stop()
		b.ReportMetric(float64(f.done.Load())/time.Since(begin).Seconds(), "names/s")
		require.Zero(b, f.failed.Load())
	})
}

// startForHandshakes runs Tricot with the local issuer, a name, and a wildcard whose names an endpoint allows, and gives
// the address of its HTTPS port once the name has its certificate.
func startForHandshakes(b *testing.B) (address string) {
	b.Helper()
	free := func() string {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(b, err)
		defer listener.Close()
		return listener.Addr().String()
	}
	ask, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	go func() { _ = server.Serve(ask) }()
	b.Cleanup(func() { _ = server.Close() })
	dir, log := b.TempDir(), &output{}
	services := filepath.Join(dir, "services.yaml")
	require.NoError(b, os.WriteFile(services, []byte("services: [{name: web, address: 127.0.0.1, port: 1, "+
		`tags: [tricot known.example.com, "tricot *.example.com"]}]`), 0o600))
	address = free()
	cmd := exec.Command(binary, "--providers", "file", "--file-path", services, "--http-bind-addr", free(),
		"--https-bind-addr", address, "--admin-bind-addr=", "--certs-issuer", "local", "--certs-dir", filepath.Join(dir, "certs"),
		"--acme-on-demand-ask", "http://"+ask.Addr().String())
	cmd.Stdout, cmd.Stderr = log, log
	require.NoError(b, startWithParent(cmd))
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if b.Failed() {
			b.Log("Tricot said:\n" + log.String())
		}
	})
	for end := time.Now().Add(2 * patience); ; {
		conn, err := tls.Dial("tcp", address, &tls.Config{ServerName: "known.example.com", InsecureSkipVerify: true})
		if err == nil {
			leaf := conn.ConnectionState().PeerCertificates[0]
			_ = conn.Close()
			if leaf.VerifyHostname("known.example.com") == nil {
				return address
			}
		}
		require.True(b, time.Now().Before(end), "the known name has no certificate")
	}
}
