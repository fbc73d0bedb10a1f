package main_test

import (
	"crypto/x509"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs"
	"github.com/tricot-proxy/tricot/certs/acme/acmetest"
	"github.com/tricot-proxy/tricot/providers/consul/consultest"
)

// A migration is a way of a store from the directory to Consul and back.
type migration struct {
	inDir    []string // the keys of the Tricot that begins, and of the way to Consul
	reseal   []string // with which the records in Consul are sealed anew
	inConsul []string // of the Tricot on Consul
	back     []string // of the way back
	backArgs []string // its further arguments
	again    []string // of the Tricot that ends on the directory
}

func TestACME_AStoreMovesToConsulAndBackAndNothingIsOrderedAnew(t *testing.T) {
	t.Parallel()
	old, young := encryptionKey(1), encryptionKey(2)
	for name, m := range map[string]migration{
		"unsealed, but in Consul": {
			reseal: []string{young}, inConsul: []string{young}, back: []string{young}, backArgs: []string{"--unseal"},
		},
		"sealed, with a new key": {
			inDir: []string{old}, reseal: []string{young, old}, inConsul: []string{young},
			back: []string{young, old}, again: []string{young},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m.run(t)
		})
	}
}

func (m migration) run(t *testing.T) {
	ca, agent, web := acmetest.Start(t, acmetest.Options{}), consultest.Dev(t, consultest.Options{}), naming(t, "web")
	ca.Fail(acmetest.Fault{Endpoint: acmetest.NewOrder, Name: "bad.example.com", Status: 500})
	both := config{"certs.dir": t.TempDir(), "consul.host": agent.HTTP, "consul.snapshot_path": "none"}
	prepare := func(in string, keys []string, names ...string) *proxy {
		config := onACME(ca, both)
		config["certs.store"] = in
		if keys != nil {
			config["certs.encryption_key"] = keys
		}
		var tags []string
		for _, name := range names {
			tags = append(tags, "tricot "+name)
		}
		p := newProxy(t, config, web.service(t, "web", tags...))
		t.Cleanup(func() { assertNoSecret(t, p, encryptionKey(1), encryptionKey(2), "PRIVATE KEY") })
		return p
	}
	run := func(p *proxy) *proxy {
		validateAt(ca, p)
		p.launch()
		p.awaitListening()
		return p
	}

	first := run(prepare("dir", m.inDir, "a.example.com", "b.example.com", "bad.example.com"))
	a, was := first.awaitSigned(ca, "a.example.com"), first.awaitSigned(ca, "b.example.com")
	first.awaitLog("ERROR", "name=bad.example.com", "HTTP 500")
	require.Equal(t, 0, first.stop())

	moving := prepare("dir", m.inDir)
	assertMoved(t, moving.command("certs", "copy", "--to", "consul", "--json"), map[string]int{"copied": 5})
	assertMoved(t, moving.command("certs", "copy", "--to", "consul", "--json"), map[string]int{"same": 5})
	changing := prepare("consul", m.reseal)
	assertMoved(t, changing.command("certs", "reseal", "--json"), map[string]int{"resealed": 5})
	assertMoved(t, changing.command("certs", "reseal", "--json"), map[string]int{"same": 5})
	assertSealed(t, placeInConsul(agent).records(t), 3)

	second := run(prepare("consul", m.inConsul, "a.example.com", "b.example.com", "bad.example.com", "late.example.com"))
	second.shows(a.Raw, "a.example.com")
	second.awaitSigned(ca, "late.example.com") // so it has looked at what is due
	listed := second.listed(t)
	require.Len(t, listed, 4)
	for i, name := range []string{"a.example.com", "b.example.com", "bad.example.com", "late.example.com"} {
		assert.Equal(t, name, listed[i].Name)
		assert.Equal(t, name == "bad.example.com", listed[i].Attempts > 0, name)
	}
	renewed := second.command("certs", "renew", "b.example.com")
	require.Equal(t, 0, renewed.code, renewed.stderr)
	b := second.awaitOther(ca, was, "b.example.com")
	require.Equal(t, 0, second.stop())

	// What is newer in Consul stays there, and is what comes back.
	back := prepare("consul", m.back)
	left := back.command("certs", "copy", "--from", "dir", "--to", "consul")
	require.Equal(t, 0, left.code, left.stderr)
	assert.Regexp(t, `certs/b\.example\.com +left +the certificate there is not older`, left.stdout)
	copied := back.command(append([]string{"certs", "copy", "--to", "dir", "--json"}, m.backArgs...)...)
	require.Equal(t, 0, copied.code, copied.stderr)
	assert.Contains(t, copied.stdout, `"replaced"`)
	assert.NotContains(t, left.stdout+left.stderr+copied.stdout+copied.stderr, "PRIVATE KEY")

	last := run(prepare("dir", m.again, "a.example.com", "b.example.com", "late.example.com", "last.example.com"))
	last.shows(a.Raw, "a.example.com")
	last.shows(b.Raw, "b.example.com")
	last.awaitSigned(ca, "late.example.com", "last.example.com")
	assert.Equal(t, map[string]int{"a.example.com": 1, "b.example.com": 2, "late.example.com": 1, "last.example.com": 1}, ca.Orders())
	assert.Equal(t, 1, ca.Accounts())
}

// shows wants a certificate to be shown for a name from the first handshake on.
func (p *proxy) shows(raw []byte, name string) {
	p.t.Helper()
	certificate, err := p.shown(name)
	require.NoError(p.t, err)
	assert.Equal(p.t, raw, certificate.Raw, name)
}

// awaitOther waits until a name has another certificate of the CA than it had, and gives that.
func (p *proxy) awaitOther(ca *acmetest.Server, was *x509.Certificate, name string) (is *x509.Certificate) {
	p.t.Helper()
	roots := ca.Roots()
	p.eventually(func() bool {
		var err error
		is, err = p.handshake(name, roots)
		return err == nil && is.SerialNumber.Cmp(was.SerialNumber) != 0
	}, "no other certificate is served for "+name)
	return is
}

// listed gives what certs list says.
func (p *proxy) listed(t *testing.T) (all []certs.Status) {
	t.Helper()
	run := p.command("certs", "list", "--json")
	require.Equal(t, 0, run.code, run.stderr)
	require.NoError(t, json.Unmarshal([]byte(run.stdout), &all))
	return all
}

// assertMoved wants a command to have ended well, and so many records to have had each outcome.
func assertMoved(t *testing.T, run commandRun, want map[string]int) {
	t.Helper()
	require.Equal(t, 0, run.code, run.stderr)
	var said struct {
		Records []struct{ Record, Outcome, Reason string }
	}
	require.NoError(t, json.NewDecoder(strings.NewReader(run.stdout)).Decode(&said))
	outcomes := map[string]int{}
	for _, record := range said.Records {
		outcomes[record.Outcome]++
	}
	assert.Equal(t, want, outcomes, run.stdout)
}
