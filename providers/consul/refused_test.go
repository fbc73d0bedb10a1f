package consul_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/providers"
	"github.com/tricot-proxy/tricot/providers/consul"
	"github.com/tricot-proxy/tricot/providers/consul/consultest"
)

const leastPolicy = `
node_prefix ""    { policy = "read" }
service_prefix "" { policy = "read" }`

// oneRefusal waits for the one line that says that Consul refuses, and sees that it stays the only one over some retries.
func (f *follower) oneRefusal(t *testing.T, with ...string) {
	t.Helper()
	f.log.until(t, append([]string{"level=ERROR", refusalBegins}, with...)...)
	before := len(f.log.lines("exchange with Consul"))
	require.Eventually(t, func() bool { return len(f.log.lines("exchange with Consul")) > before+4 }, patience, time.Millisecond)
	assert.Len(t, f.log.lines("level=ERROR"), 1)
	assert.Empty(t, f.log.lines(refusalEnds))
}

func TestRun_NeedsATokenThatMayReadNodesAndServices(t *testing.T) {
	t.Parallel()
	agent := consultest.Dev(t, consultest.Options{ACL: true, Site: "north"})
	name := unique()
	newPlace(t, agent.Client(), nil).register(web(name))
	start := func(t *testing.T, token string) *follower {
		t.Helper()
		return followAt(t, consul.Connection{Host: agent.HTTP, Token: token}, consul.Options{
			Node: agent.NodeName, AllowStale: true, Wait: 300 * time.Millisecond,
		})
	}

	t.Run("the least that works", func(t *testing.T) {
		token := agent.NewToken(leastPolicy)
		f := start(t, token)
		f.until(t, name, number(1))
		f.untilSite(t, "north")
		assert.Empty(t, f.log.lines("level=ERROR"))
		assert.NotContains(t, f.log.text(), token)
	})
	t.Run("none", func(t *testing.T) {
		f := start(t, "")
		f.oneRefusal(t, "may see none of it", "consul.token")
		assert.Zero(t, f.count())
	})
	t.Run("unknown", func(t *testing.T) {
		const token = "5f1c3d5e-0000-4000-8000-00000000beef"
		f := start(t, token)
		f.oneRefusal(t, "403", "ACL not found", "consul.token")
		assert.NotContains(t, f.log.text(), token)
		assert.Zero(t, f.count())
	})
	t.Run("services without nodes", func(t *testing.T) {
		f := start(t, agent.NewToken(`service_prefix "" { policy = "read" }`))
		f.log.until(t, "level=ERROR", refusalBegins, "may see none of it", "node:read")
		before := len(f.log.lines("path=/v1/health/service/" + name))
		require.Eventually(t, func() bool {
			return len(f.log.lines("path=/v1/health/service/"+name)) > before+3
		}, patience, time.Millisecond)
		assert.Len(t, f.log.lines("level=ERROR"), 1)
	})
	t.Run("nodes without services", func(t *testing.T) {
		f := start(t, agent.NewToken(`node_prefix "" { policy = "read" }`))
		f.oneRefusal(t, "may see none of it", "service:read")
		assert.Zero(t, f.count())
	})
	t.Run("too little, and then enough", func(t *testing.T) {
		acl := agent.Client().ACL()
		policy, _, err := acl.PolicyCreate(&api.ACLPolicy{Name: "later", Rules: `key_prefix "x" { policy = "read" }`}, nil)
		require.NoError(t, err)
		token, _, err := acl.TokenCreate(&api.ACLToken{Policies: []*api.ACLLink{{ID: policy.ID}}}, nil)
		require.NoError(t, err)
		f := start(t, token.SecretID)
		f.oneRefusal(t, "may see none of it")
		set := func(rules string) {
			policy.Rules = rules
			policy, _, err = acl.PolicyUpdate(policy, nil)
			require.NoError(t, err)
		}
		set(leastPolicy)
		f.until(t, name, number(1))
		f.log.until(t, "level=INFO", refusalEnds)

		// Taken away again: what is known stays in force.
		set(`key_prefix "x" { policy = "read" }`)
		require.Eventually(t, func() bool { return len(f.log.lines("level=ERROR", "stay in force")) == 1 }, patience, time.Millisecond)
		assert.Len(t, f.now(name), 1)
		assert.Equal(t, 1, f.countOf(name))
	})
}

func TestRun_NeedsTheRightTLS(t *testing.T) {
	t.Parallel()
	files, others := consultest.NewTLS(t), consultest.NewTLS(t)
	files.VerifyIncoming = true
	agent := consultest.Dev(t, consultest.Options{TLS: files})
	name := unique()
	newPlace(t, agent.Client(), nil).register(web(name))
	right := consul.Connection{Host: agent.HTTP, CACert: files.CA, ClientCert: files.ClientCert, ClientKey: files.ClientKey}

	t.Run("right", func(t *testing.T) {
		f := followAt(t, right, consul.Options{Node: agent.NodeName, AllowStale: true})
		f.until(t, name, number(1))
		assert.Empty(t, f.log.lines("level=ERROR"))
	})
	for _, wrong := range []struct {
		name   string
		change func(*consul.Connection)
		hint   string
	}{
		{"another root", func(c *consul.Connection) { c.CACert = others.CA }, "consul.ca_cert"},
		{"no root", func(c *consul.Connection) { c.CACert = "" }, "consul.ca_cert"},
		{"no certificate", func(c *consul.Connection) { c.ClientCert, c.ClientKey = "", "" }, "consul.client_cert"},
		{"a certificate of another root", func(c *consul.Connection) {
			c.ClientCert, c.ClientKey = others.ClientCert, others.ClientKey
		}, "consul.client_cert"},
		{"another name", func(c *consul.Connection) {
			c.Host = strings.Replace(c.Host, "127.0.0.1", "127.0.0.2", 1)
		}, ""}, // nothing listens there
		{"plain HTTP", func(c *consul.Connection) { c.Host = strings.Replace(c.Host, "https", "http", 1) }, "begin with https"},
	} {
		t.Run(wrong.name, func(t *testing.T) {
			connection := right
			wrong.change(&connection)
			f := followAt(t, connection, consul.Options{Node: agent.NodeName, AllowStale: true})
			if wrong.hint == "" {
				f.log.until(t, "level=ERROR", awayBegins)
				return
			}
			f.oneRefusal(t, wrong.hint)
		})
	}
	t.Run("unverified", func(t *testing.T) {
		connection := right
		connection.CACert, connection.SkipVerify = others.CA, true
		followAt(t, connection, consul.Options{Node: agent.NodeName}).until(t, name, number(1))
	})
	t.Run("a certificate that is replaced by the right one", func(t *testing.T) {
		connection := right
		connection.ClientCert, connection.ClientKey = t.TempDir()+"/cert.pem", t.TempDir()+"/key.pem"
		put := func(from *consultest.TLS) {
			for source, path := range map[string]string{from.ClientCert: connection.ClientCert, from.ClientKey: connection.ClientKey} {
				content, err := os.ReadFile(source)
				require.NoError(t, err)
				require.NoError(t, os.WriteFile(path, content, 0o600))
			}
		}
		put(others)
		f := followAt(t, connection, consul.Options{Node: agent.NodeName})
		f.log.until(t, "level=ERROR", refusalBegins)
		put(files)
		f.until(t, name, number(1))
		f.log.until(t, "level=INFO", refusalEnds)
	})
}

// The alert races with the first request, so once would prove little.
func TestConnect_TellsWhatTheAgentHasAgainstTheCertificateEveryTime(t *testing.T) {
	t.Parallel()
	files, others := consultest.NewTLS(t), consultest.NewTLS(t)
	files.VerifyIncoming = true
	agent := consultest.Dev(t, consultest.Options{TLS: files})
	for range 20 {
		_, err := connect(t, consul.Connection{Host: agent.HTTP, CACert: files.CA}).Status().Leader()
		require.ErrorContains(t, err, "certificate required")
		_, err = connect(t, consul.Connection{
			Host: agent.HTTP, CACert: files.CA, ClientCert: others.ClientCert, ClientKey: others.ClientKey,
		}).Status().Leader()
		require.ErrorContains(t, err, "unknown certificate authority")
	}
}

func TestRun_SharesAFewConnectionsOverHTTPS(t *testing.T) {
	t.Parallel()
	files := consultest.NewTLS(t)
	agent := consultest.Dev(t, consultest.Options{TLS: files, HCL: `limits { http_max_conns_per_client = 12 }`})
	p, prefix := newPlace(t, agent.Client(), nil), unique()
	for i := range 60 {
		p.register(web(fmt.Sprintf("%s-%02d", prefix, i)))
	}
	f := followAt(t, consul.Connection{Host: agent.HTTP, CACert: files.CA}, consul.Options{Node: agent.NodeName, AllowStale: true})
	f.until(t, prefix, number(60))
	assert.Empty(t, f.log.lines("level=ERROR"))
}

func TestRun_SaysOnceThatTheAgentTakesTooFewConnections(t *testing.T) {
	t.Parallel()
	agent := consultest.Dev(t, consultest.Options{HCL: `limits { http_max_conns_per_client = 8 }`})
	p, prefix := newPlace(t, agent.Client(), nil), unique()
	var names []string
	for i := range 12 {
		names = append(names, fmt.Sprintf("%s-%02d", prefix, i))
		p.register(web(names[i]))
	}
	f := followAt(t, consul.Connection{Host: agent.HTTP}, consul.Options{AllowStale: true, Patience: 200 * time.Millisecond})
	f.oneRefusal(t, "429", "http_max_conns_per_client")
	f.until(t, prefix, func(i []providers.Instance) bool { return len(i) > 3 })
}

// The agent answers 429 as soon as it has accepted a connection, and closes it.
func TestConnect_UnderstandsARefusalThatComesBeforeTheRequest(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("HTTP/1.1 429 Too Many Requests\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbusy"))
			_ = conn.(*net.TCPConn).CloseWrite()
		}
	}()
	client := connect(t, consul.Connection{Host: "http://" + listener.Addr().String()})
	for range 200 {
		_, err := client.Status().Leader()
		var status api.StatusError
		require.ErrorAs(t, err, &status)
		require.Equal(t, api.StatusError{Code: 429, Body: "busy"}, status)
	}
}

func TestConnect_KeepsTheTokenInItsHeaderAndFromOtherHosts(t *testing.T) {
	t.Parallel()
	agent, token := shared.Agent(t), "secret-"+unique()
	front := newFront(t, agent)
	var elsewhere []string
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		elsewhere = append(elsewhere, r.URL.String())
	}))
	defer other.Close()
	front.set(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/v1/catalog/services" {
			return false
		}
		http.Redirect(w, r, other.URL+"/v1/catalog/services", http.StatusTemporaryRedirect)
		return true
	}, nil)
	f := followAt(t, consul.Connection{Host: front.URL, Token: token}, consul.Options{AllowStale: true})
	f.log.until(t, "level=ERROR", awayBegins, "307")
	f.end(t)
	assert.Empty(t, elsewhere)
	assert.NotContains(t, f.log.text(), token)
	front.mu.Lock()
	defer front.mu.Unlock()
	for i, header := range front.headers {
		assert.Equal(t, token, header.Get("X-Consul-Token"))
		assert.NotContains(t, front.queries[i].Encode(), token)
	}
}

func TestConnect_LogsEachExchangeAtDebug(t *testing.T) {
	t.Parallel()
	agent, name := shared.Agent(t), unique()
	p := newPlace(t, agent.Client(), nil)
	p.register(web(name))
	f := followAt(t, consul.Connection{Host: agent.HTTP}, consul.Options{AllowStale: true})
	f.until(t, name, number(1))
	p.register(web(name), check(name, "critical"))
	f.until(t, name, healthy(0))
	path := "path=/v1/health/service/" + name
	require.Len(t, f.log.lines("level=DEBUG", "method=GET", path, `index=""`, "status=200", "duration=", "new_index="), 1)
	assert.NotEmpty(t, f.log.lines("level=DEBUG", path, "index=", "status=200"))
}

func TestConnect_TakesURLsOfEveryForm(t *testing.T) {
	t.Parallel()
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		got = append(got, user+":"+password+"@"+r.URL.Path)
	}))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	for _, form := range []struct{ url, want string }{
		{"http://" + host, ":@/v1/status/leader"},
		{"http://" + host + "/", ":@/v1/status/leader"},
		{"http://" + host + "/consul/", ":@/consul/v1/status/leader"},
		{"http://user:pass@" + host, "user:pass@/v1/status/leader"},
	} {
		got = nil
		_, _ = connect(t, consul.Connection{Host: form.url}).Status().Leader()
		assert.Equal(t, []string{form.want}, got, form.url)
	}
}

func TestConnect_RefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	files, empty := consultest.NewTLS(t), t.TempDir()+"/empty.pem"
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	for _, wrong := range []struct {
		connection consul.Connection
		reason     string
	}{
		{consul.Connection{Host: ""}, "no http or https URL"},
		{consul.Connection{Host: "127.0.0.1:8500"}, "URL"},
		{consul.Connection{Host: "ftp://user:pass@x"}, "no http or https URL"},
		{consul.Connection{Host: "http://user:pass@a b"}, "cannot be parsed"},
		{consul.Connection{Host: "https://x", CACert: empty}, "there is none in"},
		{consul.Connection{Host: "https://x", CACert: empty + "-not"}, "no such file"},
		{consul.Connection{Host: "https://x", ClientCert: files.ClientCert}, "go together"},
		{consul.Connection{Host: "https://x", ClientCert: files.ClientCert, ClientKey: files.Key}, "client certificate"},
	} {
		_, err := consul.Connect(wrong.connection)
		require.ErrorContains(t, err, wrong.reason)
		assert.NotContains(t, err.Error(), "pass@")
	}
}
