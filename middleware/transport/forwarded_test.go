package transport

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
)

func TestSetForwarded_BelievesTrustedPeersOnly(t *testing.T) {
	claims := http.Header{
		"X-Forwarded-For":    {"1.1.1.1, 2.2.2.2", "3.3.3.3"},
		"X-Forwarded-Proto":  {"https"},
		"X-Forwarded-Host":   {"claimed.example"},
		"X-Forwarded-Port":   {"1"},
		"X-Forwarded-Server": {"s"},
		"X-Real-Ip":          {"1.1.1.1"},
		"Forwarded":          {"for=1.1.1.1"},
		"X_forwarded_for":    {"6.6.6.6"},
		"X-Real_ip":          {"6.6.6.6"},
		"X_own":              {"kept"},
	}
	fresh := func(peer, proto string) http.Header {
		return http.Header{"X-Forwarded-For": {peer}, "X-Forwarded-Proto": {proto}, "X-Forwarded-Host": {"app.example:81"}, "X_own": {"kept"}}
	}
	believed := func(peer string) http.Header {
		h := claims.Clone()
		h.Del("X_forwarded_for")
		h.Del("X-Real_ip")
		h["X-Forwarded-For"] = []string{"1.1.1.1, 2.2.2.2, 3.3.3.3, " + peer}
		return h
	}
	for _, c := range []struct {
		name, peer string
		claims     http.Header
		tls        bool
		want       http.Header
	}{
		{"a stranger's claims", "192.0.2.9:1000", claims, false, fresh("192.0.2.9", "http")},
		{"a stranger's claims over TLS", "192.0.2.9:1000", claims, true, fresh("192.0.2.9", "https")},
		{"a stranger over IPv6", "[2001:db8::9]:1000", claims, false, fresh("2001:db8::9", "http")},
		{"a stranger over IPv6 with a zone", "[fe80::1%eth0]:1000", claims, false, fresh("fe80::1", "http")},
		{"a stranger mapped to IPv6", "[::ffff:192.0.2.9]:1000", claims, false, fresh("192.0.2.9", "http")},
		{"a trusted peer's claims", "10.1.2.3:1000", claims, false, believed("10.1.2.3")},
		{"a trusted peer mapped to IPv6", "[::ffff:10.1.2.3]:1000", claims, false, believed("10.1.2.3")},
		{"a peer trusted by a mapped prefix", "172.16.5.5:1000", claims, false, believed("172.16.5.5")},
		{"a trusted peer over IPv6", "[2001:db8:1::9]:1000", claims, false, believed("2001:db8:1::9")},
		{"a trusted peer that claims nothing", "10.1.2.3:1000", http.Header{"X_own": {"kept"}}, true, fresh("10.1.2.3", "https")},
		{"a trusted peer with empty claims", "10.1.2.3:1000", http.Header{
			"X_own": {"kept"}, "X-Forwarded-For": {"", " , "}, "X-Forwarded-Proto": {""}, "X-Forwarded-Host": {""}},
			true, fresh("10.1.2.3", "https")},
	} {
		t.Run(c.name, func(t *testing.T) {
			trusted, err := parsePeers([]netip.Prefix{
				netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::ffff:172.16.0.0/108"), netip.MustParsePrefix("2001:db8:1::/48"),
			})
			require.NoError(t, err)
			r := &http.Request{RemoteAddr: c.peer, Host: "app.example:81"}
			if c.tls {
				r.TLS = &tls.ConnectionState{}
			}
			header := c.claims.Clone()
			setForwarded(header, r, trusted)
			assert.Equal(t, c.want, header)

			r.Header, r.Method, r.RequestURI = c.claims, "GET", "/"
			written := appendHead(nil, r, &pipeline.Backend{Address: "b:1"}, nil, "", trusted)
			read, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(written)))
			require.NoError(t, err)
			assert.Equal(t, c.want, upper(read.Header), "as it is written over HTTP/1.1")
		})
	}
}

// upper gives names with "_" as the test has them.
func upper(header http.Header) http.Header {
	for name, values := range header {
		if as := http.CanonicalHeaderKey(name); as != name {
			delete(header, name)
			header[as] = values
		}
	}
	return header
}

func TestSetForwarded_NamesNobodyWhereThePeerHasNoAddress(t *testing.T) {
	trusted, err := parsePeers([]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")})
	require.NoError(t, err)
	header := http.Header{"X-Forwarded-For": {"1.1.1.1"}}
	setForwarded(header, &http.Request{RemoteAddr: "@", Host: "a"}, trusted)
	assert.Equal(t, http.Header{"X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {"a"}}, header)
}

func TestTransport_ForwardsForAnHTTPSClient(t *testing.T) {
	front := newFront(t, echoHead(t), setting{secure: true})
	_, head := front.get(t, "/")
	assert.Contains(t, head, "X-Forwarded-Proto: https\r\n")
	assert.Contains(t, head, "X-Forwarded-For: 127.0.0.1\r\n")
	assert.Contains(t, head, "X-Forwarded-Host: "+front.Listener.Addr().String()+"\r\n")
}

func TestTransport_AppendsForATrustedPeer(t *testing.T) {
	front := newFront(t, echoHead(t), setting{options: Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}})
	_, head := front.exchangeRaw(t, "GET", "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\nX-Forwarded-Proto: https\r\n\r\n")
	assert.Contains(t, head, "X-Forwarded-For: 1.1.1.1, 2.2.2.2, 127.0.0.1\r\n")
	assert.Contains(t, head, "X-Forwarded-Proto: https\r\n")
}

func FuzzAppendHop(f *testing.F) {
	f.Add("1.1.1.1, 2.2.2.2", "::1")
	f.Add(" ,\t,", "")
	peer := netip.MustParseAddr("192.0.2.1")
	f.Fuzz(func(t *testing.T, a, b string) {
		got := appendHop([]string{a, b}, peer)
		var want []string
		for _, hop := range strings.Split(a+","+b, ",") {
			if hop = strings.Trim(hop, " \t"); hop != "" {
				want = append(want, hop)
			}
		}
		assert.Equal(t, strings.Join(append(want, "192.0.2.1"), ", "), got)
	})
}

func FuzzRemoveHopByHop(f *testing.F) {
	f.Add("close, x-named", "Upgrade")
	f.Add(",, \t,", "a b, Content-Type")
	f.Fuzz(func(t *testing.T, a, b string) {
		header := http.Header{"Connection": {a, b}, "Upgrade": {"x"}, "X-Named": {"1"}, "Content-Type": {"2"}}
		named := pipeline.HasToken(header["Connection"], "x-named")
		removeHopByHop(header)
		_, kept := header["X-Named"]
		assert.Equal(t, !named, kept)
		assert.NotContains(t, header, "Connection")
		assert.NotContains(t, header, "Upgrade")
	})
}

func FuzzRawURL(f *testing.F) {
	f.Add("/a%2Fb/../c//d?x=;&&y")
	f.Add("//x|y?")
	f.Add("//%zz")
	f.Fuzz(func(t *testing.T, target string) {
		if !strings.HasPrefix(target, "/") {
			return
		}
		written := rawURL(url.URL{Scheme: "http", Host: "b:1"}, "a:2", target).RequestURI()
		assert.Equal(t, target, strings.TrimPrefix(written, "http://a:2"))
	})
}
