package certs_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs"
)

// serve makes handshakes with a keeper's certificates at a real address.
func serve(t testing.TB, k *certs.Keeper) string {
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetCertificate: k.GetCertificate})
	require.NoError(t, err)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				_ = conn.(*tls.Conn).Handshake()
				_ = conn.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		all.Wait()
	})
	return listener.Addr().String()
}

// hello is a handshake's beginning, without a connection.
func hello(name string) *tls.ClientHelloInfo { return &tls.ClientHelloInfo{ServerName: name} }

func dial(address string, config *tls.Config) (*x509.Certificate, error) {
	conn, err := tls.Dial("tcp", address, config)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0], nil
}

func TestHandshake_IsVerifiedByAClientThatTrustsTheRoot(t *testing.T) {
	p := newPlace(t, 0)
	k := p.keeper(certs.Options{}, "app.example.com", "127.0.0.1")
	p.await(k, "app.example.com")
	address := serve(t, k)
	for name, config := range map[string]*tls.Config{
		"TLS 1.3":                    {ServerName: "app.example.com"},
		"TLS 1.2":                    {ServerName: "app.example.com", MaxVersion: tls.VersionTLS12},
		"capitals":                   {ServerName: "APP.Example.com"},
		"an address, so without SNI": {ServerName: "127.0.0.1"},
	} {
		config.RootCAs = p.issuer.Roots()
		p.eventually(func() bool { _, err := dial(address, config); return err == nil }, name)
	}
	leaf, err := dial(address, &tls.Config{ServerName: "127.0.0.1", RootCAs: p.issuer.Roots()})
	require.NoError(t, err)
	assert.Equal(t, "127.0.0.1", leaf.Subject.CommonName)
}

func TestHandshake_GetsTheSelfSignedCertificateOrARefusalWhereThereIsNoOther(t *testing.T) {
	p := newPlace(t, 0)
	p.issuer.On(func(ctx context.Context, name string) error {
		if name == "pending.example.com" {
			<-ctx.Done()
		}
		return nil
	})
	hosts := []string{"app.example.com", "pending.example.com", "*.wild.test", "a*.b.test"}
	lenient, strict := p.keeper(certs.Options{}, hosts...), p.keeper(certs.Options{StrictSNI: true}, hosts...)
	p.await(lenient, "app.example.com")
	p.await(strict, "app.example.com")
	for _, test := range []struct {
		name, sni string
		refused   bool // with strict SNI
	}{
		{"a wanted name without certificate", "pending.example.com", false},
		{"a name of a wildcard", "x.wild.test", false},
		{"a name deep in a wildcard", "x.y.Wild.test", false},
		{"a name of a wildcard in the middle", "ax.b.test", false},
		{"a wildcard's own domain", "wild.test", true},
		{"a name that nobody wants", "nobody.example.com", true},
		{"no name", "", true},
		{"an address that nobody wants", "127.0.0.1", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			config := &tls.Config{ServerName: test.sni, InsecureSkipVerify: true}
			leaf, err := dial(serve(t, lenient), config)
			require.NoError(t, err)
			assert.Equal(t, "Tricot self-signed", leaf.Subject.CommonName)
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				config.MinVersion, config.MaxVersion = version, version
				leaf, err = dial(serve(t, strict), config)
				if test.refused {
					assert.ErrorContains(t, err, "unrecognized name")
				} else if assert.NoError(t, err) {
					assert.Equal(t, "Tricot self-signed", leaf.Subject.CommonName)
				}
			}
		})
	}
}

func TestGetCertificate_UnderstandsANameWithADotAtItsEnd(t *testing.T) {
	p := newPlace(t, 0)
	k := p.keeper(certs.Options{StrictSNI: true}, "app.example.com")
	cert, err := k.GetCertificate(&tls.ClientHelloInfo{ServerName: "App.Example.com."})
	require.NoError(t, err)
	assert.NotNil(t, cert)
}

func TestGetCertificate_FindsAnIPv6AddressThatIsWanted(t *testing.T) {
	p := newPlace(t, 0)
	k := p.keeper(certs.Options{}, "[2001:db8::1]")
	hello := &tls.ClientHelloInfo{Conn: connectionTo{IP: net.ParseIP("2001:db8::1"), Port: 443}}
	p.eventually(func() bool {
		cert, err := k.GetCertificate(hello)
		return err == nil && cert.Leaf.VerifyHostname("2001:db8::1") == nil
	})
	assert.NotEmpty(t, p.record("2001~db8~~1").Value)
}

// connectionTo is a connection to an address.
type connectionTo struct {
	net.Conn
	IP   net.IP
	Port int
}

func (c connectionTo) LocalAddr() net.Addr { return &net.TCPAddr{IP: c.IP, Port: c.Port} }

func TestHandshakes_NeverFailWhileTablesAndCertificatesAreSwapped(t *testing.T) {
	p := newPlace(t, 0)
	k := p.keeper(certs.Options{StrictSNI: true}, "app.example.com")
	p.await(k, "app.example.com")
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			k.Want(hosts("app.example.com", fmt.Sprintf("n%d.example.com", i%10), "*.example.org"))
		}
	})
	all.Go(func() {
		for range 5 {
			p.put("app.example.com", p.fields("app.example.com"))
		}
	})
	for range 50 {
		_, trusted := p.served(k, "app.example.com")
		assert.True(t, trusted)
	}
	cancel()
	all.Wait()
}

func BenchmarkGetCertificate(b *testing.B) {
	p := newPlace(b, 0)
	names := p.fill(b, 1000)
	k := p.keeper(certs.Options{StrictSNI: true}, append(names, "*.wild.test")...)
	for name, sni := range map[string]string{
		"exact": names[500], "capitals": "N500.Example.com", "wildcard": "app.wild.test", "refused": "nobody.test",
	} {
		hello := &tls.ClientHelloInfo{ServerName: sni}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = k.GetCertificate(hello)
			}
		})
	}
}
