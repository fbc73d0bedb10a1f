package main_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHTTPS_ServesEachProtocolWithACertificateOfTheLocalRoot(t *testing.T) {
	t.Parallel()
	p := start(t, nil, naming(t, "web").service(t, "web", "tricot app.test"))
	overEach(t, func(t *testing.T, protocol protocol) {
		reply := get(t, p.client(t, protocol), "https://app.test/")
		assert.Equal(t, http.StatusOK, reply.StatusCode)
		assert.Equal(t, "web", reply.body)
		assert.Equal(t, string(protocol), reply.Proto)
	})
}

func TestRedirect_KeepsHostPathAndQueryByteForByte(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	port := strconv.Itoa(portOf(t, p.httpsAddress))
	for name, tc := range map[string]struct{ host, target, want string }{
		"encoded":              {"app.test", "/a%2Fb/../%7Ec?q=%20+&x", "https://app.test:" + port + "/a%2Fb/../%7Ec?q=%20+&x"},
		"another port":         {"app.test:8080", "/", "https://app.test:" + port + "/"},
		"a host without rules": {"other.test", "/", "https://other.test:" + port + "/"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reply := p.exchange(t, "GET "+tc.target+" HTTP/1.1\r\nHost: "+tc.host+"\r\nConnection: close\r\n\r\n")
			assert.Equal(t, http.StatusPermanentRedirect, reply.StatusCode)
			assert.Equal(t, tc.want, reply.Header.Get("Location"))
		})
	}
}

func TestRedirect_LeavesPort443Out(t *testing.T) {
	t.Parallel()
	p := start(t, config{"middleware.redirect.port": 443})
	assert.Equal(t, "https://app.test/x", get(t, p.plainClient(t), "http://app.test/x").Header.Get("Location"))
}

func TestRedirect_RefusesWhatIsNoHost(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	for name, head := range map[string]string{
		"missing":  "GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
		"empty":    "GET / HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n",
		"no host":  "GET / HTTP/1.1\r\nHost: a/b\r\nConnection: close\r\n\r\n",
		"HTTP/1.0": "GET / HTTP/1.0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, http.StatusBadRequest, p.exchange(t, head).StatusCode)
		})
	}
}

func TestACME_AnswersAChallengeOfTheStoreOnPlainHTTP(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	const token, answer = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ", "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ.thumbprint"
	challenges := filepath.Join(p.certsDir(), "challenge")
	require.NoError(t, os.MkdirAll(challenges, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(challenges, token), []byte(answer), 0o600))

	client := p.plainClient(t)
	var reply reply
	p.eventually(func() bool {
		reply = get(t, client, "http://app.test/.well-known/acme-challenge/"+token)
		return reply.StatusCode == http.StatusOK
	}, "the challenge is not answered")
	assert.Equal(t, answer, reply.body)
	assert.Equal(t, http.StatusNotFound, get(t, client, "http://app.test/.well-known/acme-challenge/unknown").StatusCode)
}

func TestHeaders_OfATagReplaceThoseOfTheBackend(t *testing.T) {
	t.Parallel()
	web := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Frame-Options", "ALLOWALL")
		w.Header().Set("X-Own", "kept")
	})
	p := start(t, nil, web.service(t, "web", "tricot app.test",
		"tricot-add-header x-frame-options DENY", "tricot-add-header X-Two a  b", "tricot-add-header X-Two c"))
	overEach(t, func(t *testing.T, protocol protocol) {
		reply := get(t, p.client(t, protocol), "https://app.test/")
		assert.Equal(t, []string{"DENY"}, reply.Header.Values("X-Frame-Options"))
		assert.Equal(t, []string{"a  b", "c"}, reply.Header.Values("X-Two"))
		assert.Equal(t, []string{"kept"}, reply.Header.Values("X-Own"))
	})
}

func TestForwarded_IsSetAfreshUnlessThePeerIsTrusted(t *testing.T) {
	t.Parallel()
	seen := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"} {
			w.Header().Set("Seen-"+name, r.Header.Get(name))
		}
		_, _ = io.WriteString(w, r.Host)
	})
	for name, tc := range map[string]struct {
		config             config
		from, proto, asked string
	}{
		"untrusted": {nil, "127.0.0.1", "https", "app.test"},
		"trusted":   {config{"forwarded.trusted_proxies": []string{"127.0.0.0/8"}}, "192.0.2.1, 127.0.0.1", "http", "first.test"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, tc.config, seen.service(t, "web", "tricot app.test"))
			reply := get(t, p.client(t, http2), "https://app.test/",
				"X-Forwarded-For", "192.0.2.1", "X-Forwarded-Proto", "http", "X-Forwarded-Host", "first.test")
			assert.Equal(t, "app.test", reply.body, "Host as the client sent it")
			assert.Equal(t, tc.from, reply.Header.Get("Seen-X-Forwarded-For"))
			assert.Contains(t, reply.Header.Get("Seen-X-Forwarded-Proto"), tc.proto)
			assert.Contains(t, reply.Header.Get("Seen-X-Forwarded-Host"), tc.asked)
		})
	}
}
