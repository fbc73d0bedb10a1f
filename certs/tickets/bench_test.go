package tickets_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkHandshake tells what a connection costs both ends together over loopback, with a full handshake and a resumed
// one, with these tickets and with those of crypto/tls alone.
//
//	go test -run '^$' -bench Handshake ./certs/tickets
func BenchmarkHandshake(b *testing.B) {
	c := newCluster(b)
	configs := map[string]*tls.Config{"crypto-tls": plain(c), "shared": c.start(newMemory().open()).config}
	for _, version := range []string{"TLS 1.2", "TLS 1.3"} {
		for _, of := range []string{"crypto-tls", "shared"} {
			for _, resumed := range []bool{false, true} {
				b.Run(fmt.Sprintf("%s/%s/resumed=%t", version, of, resumed), func(b *testing.B) {
					address := serve(b, configs[of])
					visitor := &client{version: versions[version]}
					_, err := dial(address, visitor)
					require.NoError(b, err)
					b.ReportAllocs()
					for b.Loop() {
						if !resumed {
							visitor.session = nil
						}
						did, err := dial(address, visitor)
						if err != nil || did != resumed {
							b.Fatalf("resumed: %t, %v", did, err)
						}
					}
				})
			}
		}
	}
}

// BenchmarkTicket tells what of that is giving out a ticket and taking it back.
func BenchmarkTicket(b *testing.B) {
	c := newCluster(b)
	i := c.start(newMemory().open())
	visitor := i.visitor(tls.VersionTLS13)
	ticket, state, err := visitor.session.ResumptionState()
	require.NoError(b, err)
	named := tls.ConnectionState{ServerName: "app.example.com"}
	b.Run("give", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			state.Extra = nil
			if _, err := i.config.WrapSession(named, state); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("take", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if session, err := i.config.UnwrapSession(ticket, named); session == nil || err != nil {
				b.Fatal("it is not taken", err)
			}
		}
	})
}

// serve makes handshakes at a real address, and writes a byte after each.
func serve(b *testing.B, config *tls.Config) string {
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	require.NoError(b, err)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				if _, err := conn.Write([]byte{1}); err == nil {
					_, _ = io.Copy(io.Discard, conn)
				}
			})
		}
	})
	b.Cleanup(func() {
		_ = listener.Close()
		all.Wait()
	})
	return listener.Addr().String()
}

func dial(address string, c *client) (resumed bool, err error) {
	raw, err := net.Dial("tcp", address)
	if err != nil {
		return false, err
	}
	_ = raw.(*net.TCPConn).SetLinger(0) // else the ports run out
	defer raw.Close()
	conn := tls.Client(raw, &tls.Config{
		ServerName: "app.example.com", InsecureSkipVerify: true, MinVersion: c.version, MaxVersion: c.version, ClientSessionCache: c,
	})
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		return false, err
	}
	return conn.ConnectionState().DidResume, nil
}
