package main_test

import (
	"bytes"
	"encoding/base64"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/acme/acmetest"
	"github.com/tricot-proxy/tricot/providers/consul/consultest"
)

// encryptionKey gives one that consists of the same byte.
func encryptionKey(b byte) string {
	return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32))
}

// A placeOfRecords is a store as a test sets it up and looks into it past Tricot.
type placeOfRecords struct {
	config  config
	records func(t *testing.T) map[string]string // values by key
}

func inDir(t *testing.T) placeOfRecords {
	at := t.TempDir()
	return placeOfRecords{config{"certs.dir": at}, func(t *testing.T) map[string]string {
		records := map[string]string{}
		walkFiles(t, at, func(path string, _ os.FileInfo, content string) {
			if key := strings.TrimPrefix(path, at+"/"); strings.Contains(key, "/") && !strings.HasPrefix(key, "locks/") {
				records[key] = content
			}
		})
		return records
	}}
}

func inConsul(t *testing.T) placeOfRecords {
	return placeInConsul(consultest.Dev(t, consultest.Options{}))
}

func placeInConsul(agent *consultest.Agent) placeOfRecords {
	at := config{"certs.store": "consul", "consul.host": agent.HTTP, "consul.snapshot_path": "none"}
	return placeOfRecords{at, func(t *testing.T) map[string]string {
		pairs, _, err := agent.Client().KV().List("tricot/", nil)
		require.NoError(t, err)
		records := map[string]string{}
		for _, pair := range pairs {
			if key := strings.TrimPrefix(pair.Key, "tricot/"); !strings.HasPrefix(key, "locks/") {
				records[key] = string(pair.Value)
			}
		}
		return records
	}}
}

func TestACME_WithAnEncryptionKeyTheStoreHasNoPrivateKeyInTheClear(t *testing.T) {
	t.Parallel()
	for name, place := range map[string]func(*testing.T) placeOfRecords{"dir": inDir, "consul": inConsul} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ca, at, web := acmetest.Start(t, acmetest.Options{}), place(t), naming(t, "web")
			run := func(keys []string, names ...string) *proxy {
				var tags []string
				for _, name := range names {
					tags = append(tags, "tricot "+name)
				}
				config := onACME(ca, at.config)
				config["certs.encryption_key"] = keys
				return startOnACME(t, ca, config, web.service(t, "web", tags...))
			}
			old, young := encryptionKey(1), encryptionKey(2)

			first := run([]string{old}, "app.example.com")
			certificate := first.awaitSigned(ca, "app.example.com")
			require.Equal(t, 0, first.stop())
			records := at.records(t)
			assertSealed(t, records, 2)
			assert.Contains(t, records, "certs/app.example.com")

			// One that cannot read them says so, asks the CA for nothing, and leaves everything as it is.
			for name, keys := range map[string][]string{"no-key": nil, "another-key": {young}} {
				late := name + ".example.com"
				orders, accounts := ca.Requests(acmetest.NewOrder), ca.Requests(acmetest.NewAccount)
				blind := run(keys, "app.example.com", late)
				blind.awaitLog("ERROR", "cannot be opened", "record=certs/app.example.com", "encryption key")
				blind.awaitLog("ERROR", "name=app.example.com", "encryption key")
				blind.awaitLog("ERROR", "no certificate can be had", "name="+late, "encryption key")
				blind.showsSelfSigned("app.example.com")
				require.Equal(t, 0, blind.stop(), name)
				assert.Equal(t, orders, ca.Requests(acmetest.NewOrder), name)
				assert.Equal(t, accounts, ca.Requests(acmetest.NewAccount), name)
				after := at.records(t)
				for key, value := range records {
					assert.Equal(t, value, after[key], "%s: %s", name, key)
				}
				assertNoSecret(t, blind, old, young)
			}

			// The new key seals, and the old one opens still.
			both := run([]string{young, old}, "app.example.com", "late.example.com")
			again, err := both.shown("app.example.com")
			require.NoError(t, err)
			assert.Equal(t, certificate.Raw, again.Raw)
			both.awaitSigned(ca, "late.example.com")
			require.Equal(t, 0, both.stop())
			assert.Equal(t, once("app.example.com", "late.example.com"), ca.Orders())
			assert.Equal(t, 1, ca.Accounts())
			assertSealed(t, at.records(t), 3)
			assertNoSecret(t, both, old, young)
		})
	}
}

// assertSealed wants so many records below certs/ and account/, and none of them to be read without a key.
func assertSealed(t *testing.T, records map[string]string, count int) {
	t.Helper()
	found := 0
	for key, value := range records {
		assert.NotContains(t, value, "-----BEGIN", key)
		if strings.HasPrefix(key, "certs/") || strings.HasPrefix(key, "account/") {
			found++
			assert.True(t, strings.HasPrefix(value, "tricot-sealed v1 "), key)
			assert.NotContains(t, value, "example.com", key)
		}
	}
	assert.Equal(t, count, found)
}
