package main_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRouting_AnswersAnUnknownHostWith404(t *testing.T) {
	t.Parallel()
	p := start(t, nil, naming(t, "web").service(t, "web", "tricot app.test"))
	client := p.client(t, http1)
	// The certificate is one for app.test: the host of the request is what counts.
	request := newRequest(t, http.MethodGet, "https://app.test/", nil)
	request.Host = "other.test"
	assert.Equal(t, http.StatusNotFound, send(t, client, request).StatusCode)
}

func TestRouting_PrefersPriorityThenPathThenHost(t *testing.T) {
	t.Parallel()
	p := start(t, nil,
		naming(t, "all").service(t, "all", "tricot app.test"),
		naming(t, "api").service(t, "api", "tricot app.test/api"),
		naming(t, "v2").service(t, "v2", "tricot APP.test/api/v2"),
		naming(t, "high").service(t, "high", "tricot app.test/high 200"),
		naming(t, "low").service(t, "low", "tricot app.test/api/low 50"),
		naming(t, "wild").service(t, "wild", "tricot *.test"),
		naming(t, "deep").service(t, "deep", "tricot *.deep.test"),
	)
	client := p.client(t, http2)
	for name, tc := range map[string]struct{ host, target, want string }{
		"every path":                {"app.test", "/", "all"},
		"a longer path":             {"app.test", "/api/x", "api"},
		"a literal prefix":          {"app.test", "/apis", "api"},
		"the longest path":          {"app.test", "/api/v2/x", "v2"},
		"no decoding":               {"app.test", "/%61pi", "all"},
		"no cleaning":               {"app.test", "/x/../api", "all"},
		"a higher priority":         {"app.test", "/high", "high"},
		"a lower one is no match":   {"app.test", "/api/low", "api"},
		"a host in capitals":        {"APP.Test", "/api", "api"},
		"a wildcard":                {"other.test", "/", "wild"},
		"a wildcard at any depth":   {"a.b.test", "/", "wild"},
		"a longer wildcard":         {"a.deep.test", "/", "deep"},
		"an exact host with a port": {"app.test:" + strconv.Itoa(8443), "/", "all"},
		"the dot at the end of all": {"app.test.", "/", "all"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request := newRequest(t, http.MethodGet, "https://app.test"+tc.target, nil)
			request.Host = tc.host
			reply := send(t, client, request)
			assert.Equal(t, http.StatusOK, reply.StatusCode)
			assert.Equal(t, tc.want, reply.body)
		})
	}
}

func TestRouting_ServesTheLowerPriorityWhenNoHigherOneWorks(t *testing.T) {
	t.Parallel()
	p := start(t, nil,
		refusing(t).service(t, "high", "tricot app.test 200"),
		naming(t, "low").service(t, "low", "tricot app.test 50"))
	reply := get(t, p.client(t, http1), "https://app.test/")
	assert.Equal(t, "low", reply.body)
}

func TestRouting_PrefersTheNodeThenTheSite(t *testing.T) {
	t.Parallel()
	at := func(name, node, site string, tags ...string) service {
		service := naming(t, name).service(t, name, tags...)
		service.Node, service.Site = node, site
		return service
	}
	p := start(t, config{"node_name": "n1", "site": "s1"},
		at("here", "n1", "s1", "tricot node.test"),
		at("near", "n2", "s1", "tricot node.test", "tricot site.test"),
		at("far", "n3", "s2", "tricot node.test", "tricot site.test"),
		at("here-global", "n1", "s1", "tricot global.test", "tricot-global-lb"),
		at("far-global", "n3", "s2", "tricot global.test", "tricot-global-lb"),
	)
	client := p.client(t, http2)
	for range 4 {
		assert.Equal(t, "here", get(t, client, "https://node.test/").body)
		assert.Equal(t, "near", get(t, client, "https://site.test/").body)
	}
	first, second := get(t, client, "https://global.test/").body, get(t, client, "https://global.test/").body
	assert.ElementsMatch(t, []string{"here-global", "far-global"}, []string{first, second})
}

func TestBalance_GivesEachBackendItsTurn(t *testing.T) {
	t.Parallel()
	p := start(t, nil,
		naming(t, "a").service(t, "a", "tricot app.test"),
		naming(t, "b").service(t, "b", "tricot app.test"),
		naming(t, "c").service(t, "c", "tricot app.test"))
	client := p.client(t, http2)

	const each, clients = 20, 6
	answers := make(chan string)
	for range clients {
		go func() {
			for range each * 3 / clients {
				answer := "failed"
				if response, err := client.Get("https://app.test/"); err == nil {
					body, _ := io.ReadAll(response.Body)
					_ = response.Body.Close()
					answer = string(body)
				}
				answers <- answer
			}
		}()
	}
	count := map[string]int{}
	for range each * 3 {
		count[<-answers]++
	}
	assert.Equal(t, map[string]int{"a": each, "b": each, "c": each}, count)
}

func TestBackend_OverHTTPSIsNotVerifiedInAnyWay(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "over TLS: "+strconv.FormatBool(r.TLS != nil))
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{expiredOfAnotherName(t)}}
	server.StartTLS()
	t.Cleanup(server.Close)

	p := start(t, nil, backend{server.Listener.Addr().String()}.service(t, "web", "tricot-https app.test"))
	overEach(t, func(t *testing.T, protocol protocol) {
		reply := get(t, p.client(t, protocol), "https://app.test/")
		assert.Equal(t, http.StatusOK, reply.StatusCode)
		assert.Equal(t, "over TLS: true", reply.body)
	})
}

func expiredOfAnotherName(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "wrong.test"},
		DNSNames:     []string{"wrong.test"},
		NotBefore:    time.Now().Add(-48 * time.Hour),
		NotAfter:     time.Now().Add(-24 * time.Hour),
	}
	leaf, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{leaf}, PrivateKey: key}
}
