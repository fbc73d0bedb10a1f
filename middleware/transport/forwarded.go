package transport

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"github.com/tricot-proxy/tricot/pipeline/http1"
)

// peers are those whose word about where a request comes from is believed.
type peers []netip.Prefix

func parsePeers(prefixes []netip.Prefix) (peers, error) {
	var p peers
	for _, prefix := range prefixes {
		if !prefix.IsValid() {
			return nil, fmt.Errorf("%s: TrustedProxies has a prefix that is none: %v", Name, prefix)
		}
		// Peers are compared as IPv4 where they are.
		if addr := prefix.Addr(); addr.Is4In6() && prefix.Bits() >= 96 {
			prefix = netip.PrefixFrom(addr.Unmap(), prefix.Bits()-96)
		}
		p = append(p, prefix.Masked())
	}
	return p, nil
}

func (p peers) contain(addr netip.Addr) bool {
	for _, prefix := range p {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// peerOf gives the address of whoever made the connection, which is not valid where that has none (a Unix socket).
func peerOf(r *http.Request) netip.Addr {
	addr, _ := netip.ParseAddrPort(r.RemoteAddr)
	return addr.Addr().Unmap().WithZone("")
}

// isForwarding lists, in canonical form, the fields by which proxies tell backends who asked.
func isForwarding(name string) bool {
	switch name {
	case "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Server", "X-Real-Ip",
		"Forwarded":
		return true
	}
	return false
}

// isDisguised says whether a name is that of such a field, spelled with "_": CGI, and what took its names over, reads
// X_Forwarded_For as X-Forwarded-For.
func isDisguised(name string) bool {
	return strings.IndexByte(name, '_') >= 0 && isForwarding(http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-")))
}

// appendForwarded writes the fields that say who sent a request to us. It leaves out what the request itself says in those
// fields unless its peer is believed.
func appendForwarded(to []byte, r *http.Request, peer netip.Addr, believed bool) []byte {
	claimed := func(name string) []string {
		if !believed {
			return nil
		}
		return r.Header[name]
	}
	hops := claimed("X-Forwarded-For")
	switch {
	case peer.IsValid() && len(hops) == 0:
		to = append(to, "X-Forwarded-For: "...)
		to = append(peer.AppendTo(to), "\r\n"...)
	case peer.IsValid():
		to = http1.AppendField(to, "X-Forwarded-For", appendHop(hops, peer))
	}
	if hosts := claimed("X-Forwarded-Host"); len(hosts) > 0 && hosts[0] != "" {
		to = appendFields(to, "X-Forwarded-Host", hosts)
	} else if r.Host != "" {
		to = http1.AppendField(to, "X-Forwarded-Host", r.Host)
	}
	if protos := claimed("X-Forwarded-Proto"); len(protos) > 0 && protos[0] != "" {
		to = appendFields(to, "X-Forwarded-Proto", protos)
	} else if r.TLS != nil {
		to = append(to, "X-Forwarded-Proto: https\r\n"...)
	} else {
		to = append(to, "X-Forwarded-Proto: http\r\n"...)
	}
	return to
}

// setForwarded says in the header of an outgoing request who sent it to us, and drops what others say unless they are
// trusted.
func setForwarded(header http.Header, r *http.Request, trusted peers) {
	peer := peerOf(r)
	believed := trusted.contain(peer)
	for name := range header {
		if !believed && isForwarding(name) || isDisguised(name) {
			delete(header, name)
		}
	}
	if peer.IsValid() {
		header["X-Forwarded-For"] = []string{appendHop(header["X-Forwarded-For"], peer)}
	}
	if header.Get("X-Forwarded-Proto") == "" {
		proto := "http"
		if r.TLS != nil {
			proto = "https"
		}
		header["X-Forwarded-Proto"] = []string{proto}
	}
	if header.Get("X-Forwarded-Host") == "" {
		delete(header, "X-Forwarded-Host")
		if r.Host != "" {
			header["X-Forwarded-Host"] = []string{r.Host}
		}
	}
}

// appendHop puts the peer behind the addresses that came with the request, all in one field.
func appendHop(before []string, peer netip.Addr) string {
	if len(before) == 0 {
		return peer.String()
	}
	var b strings.Builder
	for hop := range tokens(before) {
		b.WriteString(hop)
		b.WriteString(", ")
	}
	b.WriteString(peer.String())
	return b.String()
}
