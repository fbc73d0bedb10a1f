// Package nomad_test reads the jobs as Nomad does, and gives what is in them to the tag language and to "tricot check".
package nomad_test

import (
	"bytes"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/template"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/providers/consul/consultest"
	"github.com/tricot-proxy/tricot/providers/tag"
)

func TestWeb_HasTagsOfEachKindAndNoneThatIsMalformed(t *testing.T) {
	job := parse(t, "web.nomad.hcl", nil)
	require.Equal(t, "service", job.kind())
	kinds := map[string]bool{}
	var tags []string
	for _, service := range job.Groups[0].Services {
		config, malformed := tag.Parse(service.Tags)
		assert.Empty(t, malformed, service.Name)
		for _, rule := range config.Rules {
			kinds["a rule"] = true
			kinds["a rule over HTTPS"] = kinds["a rule over HTTPS"] || rule.Scheme == tag.HTTPS
			kinds["a path"] = kinds["a path"] || rule.Path != ""
			kinds["a wildcard"] = kinds["a wildcard"] || strings.Contains(rule.Host, "*")
			kinds["a priority"] = kinds["a priority"] || rule.Priority != tag.DefaultPriority
		}
		kinds["a header"] = kinds["a header"] || len(config.Headers) > 0
		kinds["balance over all"] = kinds["balance over all"] || config.Balance == tag.Global
		kinds["balance over the site"] = kinds["balance over the site"] || config.Balance == tag.Site
		tags = append(tags, service.Tags...)
	}
	assert.Len(t, kinds, 8)
	for kind, found := range kinds {
		assert.True(t, found, "there is %s", kind)
	}
	for _, one := range tags {
		assert.True(t, strings.HasPrefix(one, "tricot"), "%q is ours", one)
	}
}

func TestTricot_RunsOnEveryMachineOnThePortsOfHTTPAndHTTPS(t *testing.T) {
	job := parse(t, "tricot.nomad.hcl", given(t.TempDir()))
	assert.Equal(t, "system", job.kind())
	ports := map[string]int{}
	for _, port := range job.Groups[0].Network.Ports {
		ports[port.Name] = port.Static
	}
	assert.Equal(t, map[string]int{"http": 80, "https": 443}, ports)
}

func TestTricot_ItsSettingsAndSecretsAreWhatTricotTakes(t *testing.T) {
	dir := t.TempDir()
	environ, files := start(t, dir)
	assert.Contains(t, environ, "TRICOT_CONSUL_TOKEN=a-token")
	assert.Contains(t, environ, "TRICOT_CONSUL_HOST=https://127.0.0.1:8501")
	tricot := build(t)
	require.Equal(t, "The settings are good.\n", check(tricot, environ), "and there is no warning")

	// That these are good says something only where they are read.
	for setting, file := range map[string]string{
		"consul.ca_cert":     "consul-ca.pem",
		"consul.client_cert": "consul-cert.pem",
		"consul.client_key":  "consul-key.pem",
	} {
		path := filepath.Join(dir, "secrets", file)
		assert.Contains(t, files, path)
		require.NoError(t, os.Rename(path, path+".away"))
		assert.Contains(t, check(tricot, environ), setting, "it needs %s", file)
		require.NoError(t, os.Rename(path+".away", path))
	}
}

func TestTricot_KeepsItsSecretsWhereTheyAreNotSeen(t *testing.T) {
	dir := t.TempDir()
	for _, template := range parse(t, "tricot.nomad.hcl", given(dir)).Groups[0].Tasks[0].Templates {
		assert.Equal(t, filepath.Join(dir, "secrets"), filepath.Dir(template.Destination))
		if strings.HasSuffix(template.Destination, "-key.pem") {
			assert.Equal(t, "0400", template.Perms)
		}
	}
}

func TestReadme_PutsEachSecretThatTheJobTakes(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	for name := range secrets(t) {
		assert.Contains(t, string(readme), name+"=")
	}
}

// given is what the user and Nomad put into the job of Tricot.
func given(dir string) map[string]string {
	return map[string]string{
		"var.artifact":            "https://example.com/tricot.tar.gz",
		"var.email":               "somebody@example.com",
		"attr.unique.consul.name": "box",
		"meta.ingress":            "true",
		"NOMAD_SECRETS_DIR":       filepath.Join(dir, "secrets"),
		"NOMAD_ALLOC_DIR":         filepath.Join(dir, "alloc"),
		"NOMAD_PORT_http":         "80",
		"NOMAD_PORT_https":        "443",
	}
}

// secrets are the items of the Nomad variable that the templates read.
func secrets(t *testing.T) map[string]string {
	t.Helper()
	pems := consultest.NewTLS(t)
	items := map[string]string{"consul_token": "a-token"}
	for name, path := range map[string]string{
		"consul_ca": pems.CA, "consul_cert": pems.ClientCert, "consul_key": pems.ClientKey,
	} {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		items[name] = string(content)
	}
	return items
}

// start does what Nomad does before it starts Tricot: it renders the templates. It gives the environment and the files.
func start(t *testing.T, dir string) (environ, files []string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "secrets"), 0o700))
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "alloc", "data"), 0o700))
	job := parse(t, "tricot.nomad.hcl", given(dir))
	task := job.Groups[0].Tasks[0]
	items := secrets(t)
	used := map[string]bool{}
	for name, value := range task.environment(t) {
		environ = append(environ, name+"="+value)
	}
	for _, one := range task.Templates {
		// A job may read the variable of its own name without further rights.
		nomadVar := func(path string) map[string]string {
			assert.Equal(t, "nomad/jobs/"+job.Name, path)
			return items
		}
		parsed, err := template.New(one.Destination).Option("missingkey=error").
			Funcs(template.FuncMap{"nomadVar": nomadVar}).Parse(one.Data)
		require.NoError(t, err)
		var content bytes.Buffer
		require.NoError(t, parsed.Execute(&content, nil))
		for name, item := range items {
			used[name] = used[name] || strings.Contains(content.String(), item)
		}
		if one.Env {
			environ = append(environ, strings.Fields(content.String())...)
			continue
		}
		require.NoError(t, os.WriteFile(one.Destination, content.Bytes(), one.mode(t)))
		files = append(files, one.Destination)
	}
	assert.NotContains(t, slices.Collect(maps.Values(used)), false, "every item is used: %v", used)
	return environ, files
}

func (o *rendered) mode(t *testing.T) fs.FileMode {
	t.Helper()
	if o.Perms == "" {
		return 0o644
	}
	mode, err := strconv.ParseUint(o.Perms, 8, 32)
	require.NoError(t, err)
	return fs.FileMode(mode)
}

// build gives the path of a Tricot.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tricot")
	output, err := exec.Command("go", "build", "-o", path, "../../cmd/tricot").CombinedOutput()
	require.NoError(t, err, string(output))
	return path
}

// check gives all that "tricot check" says of an environment.
func check(tricot string, environ []string) string {
	command := exec.Command(tricot, "check")
	command.Env = environ
	output, _ := command.CombinedOutput() // what went wrong stands there
	return string(output)
}
