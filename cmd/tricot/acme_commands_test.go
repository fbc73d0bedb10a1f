package main_test

import (
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/acme/acmetest"
)

func TestACME_TheCommandsWorkOnASealedStoreInConsulWithItsKeyAlone(t *testing.T) {
	t.Parallel()
	ca, at, web := acmetest.Start(t, acmetest.Options{}), inConsul(t), naming(t, "web").service(t, "web", "tricot app.example.com")
	withKeys := func(keys ...string) config {
		all := onACME(ca, at.config)
		if keys != nil {
			all["certs.encryption_key"] = keys
		}
		return all
	}
	p := startOnACME(t, ca, withKeys(encryptionKey(1)), web)
	was := p.awaitSigned(ca, "app.example.com")
	p.eventually(func() bool { return len(p.listed(t)) == 1 }, "the certificate is not listed")
	is := p.listed(t)[0]
	assert.Equal(t, "app.example.com", is.Name)
	assert.Contains(t, is.Issuer, "Pebble")
	assert.WithinDuration(t, was.NotBefore, is.From, 0)
	assert.WithinDuration(t, was.NotAfter, is.To, 0)
	assert.WithinDuration(t, was.NotBefore.Add(was.NotAfter.Sub(was.NotBefore)/2), is.Due, 0)
	assert.Empty(t, is.Problem)

	renewed := p.command("certs", "renew", "app.example.com", "--json")
	require.Equal(t, 0, renewed.code, renewed.stderr)
	assert.JSONEq(t, `{"renewed":"app.example.com"}`, renewed.stdout)
	p.awaitOther(ca, was, "app.example.com")
	listed := p.command("certs", "list")
	assert.Equal(t, 0, listed.code, listed.stderr)
	assert.Regexp(t, `(?m)^app\.example\.com +Pebble .* -$`, listed.stdout)

	records, orders := at.records(t), ca.Requests(acmetest.NewOrder)
	for name, keys := range map[string][]string{"no key": nil, "another key": {encryptionKey(2)}} {
		blind := newProxy(t, withKeys(keys...), web)
		for _, args := range [][]string{{"list"}, {"list", "--json"}, {"renew", "app.example.com"}, {"reseal", "--unseal"}, {"copy", "--to", "dir"}} {
			ran := blind.command(append([]string{"certs"}, args...)...)
			assert.Equal(t, 1, ran.code, "%s: %s: %s", name, args, ran.stderr)
			assert.Contains(t, ran.stdout+ran.stderr, "certs/app.example.com is sealed with the encryption key", "%s: %s", name, args)
			for _, secret := range []string{encryptionKey(1), encryptionKey(2), "PRIVATE KEY"} {
				assert.NotContains(t, ran.stdout+ran.stderr, secret, "%s: %s", name, args)
			}
		}
		found, err := os.ReadDir(blind.certsDir())
		require.NoError(t, err)
		for _, entry := range found {
			assert.NotContains(t, entry.Name(), "certs", "nothing is copied that cannot be read")
		}
	}
	assert.Equal(t, records, at.records(t))
	assert.Equal(t, orders, ca.Requests(acmetest.NewOrder))
	assert.Equal(t, map[string]int{"app.example.com": 2}, ca.Orders())
}

func TestACME_TheCommandsSayThatConsulIsAway(t *testing.T) {
	t.Parallel()
	ca, away := acmetest.Start(t, acmetest.Options{}), "http://"+freeAddress(t)
	at, err := url.Parse(away)
	require.NoError(t, err)
	onConsul := newProxy(t, onACME(ca, config{"certs.store": "consul", "consul.host": away, "consul.snapshot_path": "none"}))
	onDir := newProxy(t, onACME(ca, config{"consul.host": away, "consul.snapshot_path": "none"}))
	require.NoError(t, os.Mkdir(onDir.certsDir(), 0o700))
	var running sync.WaitGroup
	for line, p := range map[string]*proxy{
		"certs list": onConsul, "certs list --json": onConsul, "certs renew app.example.com": onConsul,
		"certs reseal --unseal": onConsul, "certs copy --to dir": onConsul, "certs copy --to consul": onDir,
	} {
		running.Go(func() {
			ran := p.command(strings.Fields(line)...)
			assert.Equal(t, 1, ran.code, line)
			assert.Empty(t, ran.stdout, line)
			assert.Contains(t, ran.stderr, "the certificate store cannot be read: ", line)
			assert.Contains(t, ran.stderr, at.Host, line)
		})
	}
	running.Wait()
	assert.Zero(t, ca.Requests(""))
}
