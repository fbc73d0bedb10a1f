package file_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/providers"
	"github.com/tricot-proxy/tricot/providers/file"
)

// services is a services file in a directory of its own.
func services(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "services.yaml")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func TestLoad_ReadsTheServicesFile(t *testing.T) {
	snapshot, err := file.Load(services(t, `
# Everything that a service may have, and what is left where it has not.
services:
  - name: web
    address: 127.0.0.1
    port: 3000
    node: n1
    site: paris
    id: web-1
    tags:
      - tricot localhost
      - tricot-add-header X-Served-By web
      - "tricot-add-header X-Note a: b"
      - not for tricot
  - {name: api, address: backend.internal, port: 65535, node: "", site: ~, id: "", tags: []}
  - name: six
    address: 2001:db8::1
    port: 1
    tags:
`))
	require.NoError(t, err)
	assert.Equal(t, providers.Snapshot{Instances: []providers.Instance{
		{ID: "web-1", Service: "web", Address: "127.0.0.1", Port: 3000, Node: "n1", Site: "paris", Healthy: true,
			Tags: []string{"tricot localhost", "tricot-add-header X-Served-By web", "tricot-add-header X-Note a: b", "not for tricot"}},
		{ID: "api-backend.internal-65535", Service: "api", Address: "backend.internal", Port: 65535, Healthy: true},
		{ID: "six-2001:db8::1-1", Service: "six", Address: "2001:db8::1", Port: 1, Healthy: true},
	}}, snapshot)
}

func TestLoad_TakesAnEmptyListForNoServices(t *testing.T) {
	snapshot, err := file.Load(services(t, "services: []\n"))
	require.NoError(t, err)
	assert.Empty(t, snapshot.Instances)
}

func TestLoad_TakesAliases(t *testing.T) {
	snapshot, err := file.Load(services(t, `
services:
  - {name: a, address: &host 10.0.0.1, port: &port 80, tags: &tags [tricot a.example]}
  - {name: b, address: *host, port: *port, tags: *tags}
`))
	require.NoError(t, err)
	require.Len(t, snapshot.Instances, 2)
	assert.Equal(t, providers.Instance{ID: "b-10.0.0.1-80", Service: "b", Address: "10.0.0.1", Port: 80,
		Tags: []string{"tricot a.example"}, Healthy: true}, snapshot.Instances[1])
}

func TestLoad_LeavesTagsToTheirParser(t *testing.T) {
	snapshot, err := file.Load(services(t, "services: [{name: a, address: b, port: 1, tags: [tricot, tricot-xyz, tricot http://a/]}]"))
	require.NoError(t, err)
	assert.Equal(t, []string{"tricot", "tricot-xyz", "tricot http://a/"}, snapshot.Instances[0].Tags)
}

func TestLoad_MakesIDsUnique(t *testing.T) {
	snapshot, err := file.Load(services(t, `
services:
  - {name: web, address: a, port: 3}
  - {name: web, address: a, port: 3, id: given}
  - {name: web-b, address: c, port: 4}
  - {name: web, address: b-c, port: 4}
  - {name: other, address: a, port: 1, id: web-b-c-4-2}
  - {name: another, address: a, port: 1, id: web-a-3}
`))
	require.NoError(t, err)
	var ids []string
	for _, instance := range snapshot.Instances {
		ids = append(ids, instance.ID)
	}
	assert.Equal(t, []string{"web-a-3-2", "given", "web-b-c-4", "web-b-c-4-3", "web-b-c-4-2", "web-a-3"}, ids)
}

func TestLoad_TakesWhatCanBeDialled(t *testing.T) {
	label63 := strings.Repeat("a", 63)
	for _, address := range []string{
		"localhost", "a.example.", "A_b-c.example", "3com", "10.0.0.1", "::1", "fe80::1%eth0", "::ffff:10.0.0.1", "0.0.0.0",
		label63 + "." + label63 + "." + label63 + "." + label63[:61],
	} {
		snapshot, err := file.Load(services(t, "services: [{name: a, address: '"+address+"', port: 1}]"))
		if assert.NoError(t, err, address) {
			assert.Equal(t, address, snapshot.Instances[0].Address)
		}
	}
}

func TestLoad_SaysWhatItExpectedAndWhere(t *testing.T) {
	const (
		needPort    = "port: expected a whole number from 1 to 65535"
		needAddress = "address: expected a host name or an IP address"
		needKeys    = ": expected one of name, address, port, node, site, id, tags"
		empty       = ": expected the key services with a list of services, the file is empty"
		service     = "services:\n- {name: a, address: b, port: 1, "
		address     = "services:\n- name: a\n  port: 1\n  address: "
		port        = "services:\n- name: a\n  address: b\n  port: "
	)
	for _, test := range []struct{ content, want string }{
		// The document.
		{"", empty},
		{"# nothing but a comment\n", empty},
		{"---\n", empty},
		{"null\n", empty},
		{"a\n", `:1: expected a mapping with the key services, found "a"`},
		{"\n- a\n", ":2: expected a mapping with the key services, found a list"},
		{"{}", ":1: services: expected a list of services, [] for none"},
		{"services:\n", ":1: services: expected a list of services, [] for none"},
		{"services: {}", ":1: services: expected a list, found a mapping"},
		{"services: none", `:1: services: expected a list, found "none"`},
		{"services: []\nservice: []", `:2: unknown key "service": expected one of services`},
		{"services: []\nservices: []", ":2: services: expected once, it is on line 1 already"},
		{"services: []\n---\nservices: []", ":2: expected one YAML document, here begins another"},
		{"services: [", ":1: expected YAML: did not find expected node content"},
		{"services:\n\t- a", ":2: expected YAML: found character that cannot start any token"},
		{"services: []\n---\n[", ":3: expected YAML: did not find expected node content"},
		{"services: \x00", ": expected YAML: control characters are not allowed"},
		{"services: *a", ": expected YAML: unknown anchor 'a' referenced"},

		// The keys of a service.
		{"services:\n- a", `:2: expected a service with name, address and port, found "a"`},
		{"services:\n-\n", ":2: expected a service with name, address and port, found nothing"},
		{"services: &a [*a]", ":1: expected a service with name, address and port, found a list"},
		{service + "tag: x}", `:2: unknown key "tag"` + needKeys},
		{service + "Name: x}", `:2: unknown key "Name"` + needKeys},
		{service + "<<: {}}", `:2: unknown key << (!!merge)` + needKeys},
		{service + "1: x}", `:2: unknown key 1 (!!int)` + needKeys},
		{service + "\n  port: 2}", ":3: port: expected once, it is on line 2 already"},
		{"services:\n- {address: b, port: 1}", ":2: name: expected the name of the service"},
		{"services:\n- {name: ~, address: b, port: 1}", ":2: name: expected the name of the service"},
		{"services:\n- {name: '', address: b, port: 1}", ":2: name: expected the name of the service"},
		{"services:\n- {name: a, port: 1}", ":2: " + needAddress},
		{"services:\n- {name: a, address: b}", ":2: " + needPort},

		// Types.
		{"services:\n- {name: 1, address: b, port: 1}", ":2: name: expected text, found 1 (!!int): put it in quotes"},
		{"services:\n- {name: [a], address: b, port: 1}", ":2: name: expected text, found a list"},
		{service + "node: 1.5}", ":2: node: expected text, found 1.5 (!!float): put it in quotes"},
		{service + "site: true}", ":2: site: expected text, found true (!!bool): put it in quotes"},
		{service + "id: 2024-01-01}", ":2: id: expected text, found 2024-01-01 (!!timestamp): put it in quotes"},
		{service + "id: !a%0A \"x\\ny\"}", `:2: id: expected text, found x\ny (!a\n): put it in quotes`},
		{service + "tags: tricot a.example}", `:2: tags: expected a list, found "tricot a.example"`},
		{service + "tags: [3]}", ":2: tags: expected text, found 3 (!!int): put it in quotes"},
		{service + "tags: [[a]]}", ":2: tags: expected text, found a list"},
		{service + "tags: [~]}", ":2: tags: expected text, found nothing"},
		{"services:\n- name: a\n  address: b\n  port: 1\n  tags:\n  - tricot-add-header X-A: b",
			`:6: tags: expected text, found a mapping: put a tag with ": " in quotes`},

		// The port.
		{port + "0", ":4: " + needPort + ", found 0 (!!int)"},
		{port + "-1", ":4: " + needPort + ", found -1 (!!int)"},
		{port + "65536", ":4: " + needPort + ", found 65536 (!!int)"},
		{port + "99999999999999999999", ":4: " + needPort + ", found 99999999999999999999 (!!float)"},
		{port + "80.0", ":4: " + needPort + ", found 80.0 (!!float)"},
		{port + "'80'", ":4: " + needPort + ` without quotes, found "80"`},
		{port + "http", ":4: " + needPort + ` without quotes, found "http"`},
		{port + "[80]", ":4: " + needPort + ", found a list"},

		// The address.
		{address + "''", ":4: " + needAddress},
		{address + "'[::1]'", ":4: " + needAddress + `, found "[::1]": leave out the brackets`},
		{address + "127.0.0.1:80", ":4: " + needAddress + `, found "127.0.0.1:80": the port has a key of its own`},
		{address + "'[::1]:80'", ":4: " + needAddress + `, found "[::1]:80": the port has a key of its own`},
		{address + "127.0.0.256", ":4: " + needAddress + `, found "127.0.0.256"`},
		{address + "127.1", ":4: address: expected text, found 127.1 (!!float): put it in quotes"},
		{address + "'127.1'", ":4: " + needAddress + `, found "127.1"`},
		{address + "http://a", ":4: " + needAddress + `, found "http://a": leave out the scheme`},
		{address + "a b", ":4: " + needAddress + `, found "a b"`},
		{address + "a..b", ":4: " + needAddress + `, found "a..b"`},
		{address + "bücher.example", ":4: " + needAddress + `, found "bücher.example"`},
		{address + strings.Repeat("a", 64), ":4: " + needAddress + `, found "` + strings.Repeat("a", 64) + `"`},
		{address + strings.Repeat("a.", 127) + "b", ":4: " + needAddress + `, found "` + strings.Repeat("a.", 127) + `b"`},

		// Ids.
		{"services:\n- {name: a, address: b, port: 1, id: x}\n- {name: c, address: d, port: 1, id: x}",
			`:3: id: expected another for each service, "x" is on line 2 already`},
		{"services:\n- {name: a, address: b, port: 1}\n- {name: a, address: b, port: 1}",
			":3: expected an id for each of two services with the same name, address and port: a at b port 1 is on line 2 already"},
	} {
		path := services(t, test.content)
		snapshot, err := file.Load(path)
		assert.EqualError(t, err, path+test.want, test.content)
		var problem *file.Error
		assert.ErrorAs(t, err, &problem, test.content)
		assert.Empty(t, snapshot, test.content)
	}
}

func TestLoad_ReportsAllProblemsAtOnceInTheOrderOfTheirLines(t *testing.T) {
	path := services(t, `services:
  - name: a
    address: a:80
    port: 0
  - nmae: b
    port: 1
  - {name: c, address: d, port: 1}
  - {name: c, address: d, port: 1, tags: x}
  - {name: c, address: d, port: 1}
---
more: yes
`)
	_, err := file.Load(path)
	joined, ok := err.(interface{ Unwrap() []error })
	require.True(t, ok)
	var got []file.Error
	for _, err := range joined.Unwrap() {
		var problem *file.Error
		require.ErrorAs(t, err, &problem)
		got = append(got, *problem)
	}
	const again = "expected an id for each of two services with the same name, address and port: c at d port 1 is on line 7 already"
	assert.Equal(t, []file.Error{
		{File: path, Line: 3, Reason: `address: expected a host name or an IP address, found "a:80": the port has a key of its own`},
		{File: path, Line: 4, Reason: "port: expected a whole number from 1 to 65535, found 0 (!!int)"},
		{File: path, Line: 5, Reason: `unknown key "nmae": expected one of name, address, port, node, site, id, tags`},
		{File: path, Line: 5, Reason: "name: expected the name of the service"},
		{File: path, Line: 5, Reason: "address: expected a host name or an IP address"},
		{File: path, Line: 8, Reason: `tags: expected a list, found "x"`},
		{File: path, Line: 8, Reason: again},
		{File: path, Line: 9, Reason: again},
		{File: path, Line: 10, Reason: "expected one YAML document, here begins another"},
	}, got)
}

func TestLoad_SaysWhyTheFileCannotBeRead(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "services.yaml")
	_, err := file.Load(missing)
	assert.ErrorIs(t, err, fs.ErrNotExist)
	assert.EqualError(t, err, "read services file: stat "+missing+": no such file or directory")

	directory := t.TempDir()
	_, err = file.Load(directory)
	assert.EqualError(t, err, "read services file: "+directory+": expected a regular file")
	var problem *file.Error
	assert.False(t, errors.As(err, &problem))

	large := services(t, "")
	require.NoError(t, os.Truncate(large, 64<<20+1))
	_, err = file.Load(large)
	assert.EqualError(t, err, "read services file: "+large+": expected at most 67108864 bytes")
}
