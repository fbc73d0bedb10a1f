package acmetest

import (
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

// startDNS starts a DNS server for which every name is at 127.0.0.1 and nothing else is known of it, and gives its address.
func startDNS(t testing.TB) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // Pebble asks over TCP
	require.NoError(t, err)
	const patience = 30 * time.Second // on a machine that is busy
	server := &dns.Server{
		Listener: listener, Handler: dns.HandlerFunc(resolve), ReadTimeout: patience, WriteTimeout: patience,
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.ActivateAndServe()
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-ended
	})
	return listener.Addr().String()
}

func resolve(w dns.ResponseWriter, asked *dns.Msg) {
	answer := new(dns.Msg).SetReply(asked)
	for _, q := range asked.Question {
		if q.Qtype == dns.TypeA && q.Qclass == dns.ClassINET {
			answer.Answer = append(answer.Answer, &dns.A{
				Hdr: dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: q.Qclass}, A: net.IPv4(127, 0, 0, 1),
			})
		}
	}
	_ = w.WriteMsg(answer) // who gets none asks again
}
