package certs

import (
	"crypto/tls"
	"net"
	"net/netip"
)

// A table is what handshakes are served from. It is immutable.
type table struct {
	// exact has each wanted name, with the self-signed certificate where there is no other.
	exact map[string]*tls.Certificate
	// addresses has those of them that are IP addresses.
	addresses map[netip.Addr]*tls.Certificate
	wildcards []wildcard
}

// GetCertificate picks the certificate for a handshake: that of the name in the SNI, or of the address that the client
// has connected to where there is no SNI (RFC 6066, section 3, allows no address in it); the self-signed one where there
// is none yet. A name that no rule wants gets the self-signed one too, or, with strict SNI, no certificate and no error:
// crypto/tls answers that with the alert unrecognized_name, given that the [tls.Config] has no certificates of its own.
//
// It is for the field of this name in a [tls.Config], and may be called by any number of goroutines at any time; it takes
// no lock and makes no I/O. A name that may get a certificate on demand is noted for another goroutine, if that has room.
func (k *Keeper) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	t := k.serving.Load()
	if cert := t.find(hello); cert != nil {
		return cert, nil
	}
	if name := canonical(hello.ServerName); name != "" {
		if ask, found := search(t.wildcards, name); found {
			if ask != "" {
				k.asker.hear(question{name: name, url: ask})
			}
			return k.selfSigned, nil
		}
	}
	if k.strictSNI {
		return nil, nil
	}
	return k.selfSigned, nil
}

func (t *table) find(hello *tls.ClientHelloInfo) *tls.Certificate {
	if hello.ServerName != "" {
		return t.exact[canonical(hello.ServerName)]
	}
	if len(t.addresses) == 0 || hello.Conn == nil {
		return nil
	}
	local, ok := hello.Conn.LocalAddr().(*net.TCPAddr)
	if !ok {
		return nil
	}
	return t.addresses[local.AddrPort().Addr().Unmap().WithZone("")]
}
