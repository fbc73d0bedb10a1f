package settings

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sample gives three values of a kind that each differ from the others, fit for the setting.
func sample(entry Entry) [3]string {
	switch entry.Key {
	case "providers":
		return [3]string{"file", "consul,file", "file,consul"}
	case "pipeline.order":
		return [3]string{"route,transport", "headers,compress", "balance"}
	case "middleware.compress.mime_types":
		return [3]string{"a/b,c/d", "e/f", "g/h"}
	case "forwarded.trusted_proxies":
		return [3]string{"10.0.0.0/8,::1", "192.168.0.1", "fd00::/8"}
	case "balance.retries":
		return [3]string{"0", "1", "3"}
	case "log.format", "middleware.access_log.format":
		return [3]string{"json", "text", "json"}
	case "certs.issuer":
		return [3]string{"local", "acme", "local"}
	case "certs.store":
		return [3]string{"dir", "consul", "dir"}
	case "letsencrypt.email":
		return [3]string{"a@example.com", "b@example.com", "c@example.com"}
	case "acme.key_type":
		return [3]string{"p384", "rsa2048", "p256"}
	case "acme.on_demand.ask":
		return [3]string{"https://a.example.com/ask", "http://b.example.com:1", "http://127.0.0.1"}
	case "acme.directory":
		return [3]string{"https://a.example.com/", "https://b.example.com/", "http://127.0.0.1:1/"}
	case "consul.host":
		return [3]string{"https://a.example.com", "http://b.example.com:1", "http://127.0.0.1"}
	}
	switch {
	case entry.Key == "certs.dir" || entry.Key == "file.path" || entry.Key == "consul.snapshot_path":
		return [3]string{"/a", "/b", "/c"}
	case entry.Kind == "bool":
		return [3]string{"true", "false", "true"}
	case entry.Kind == "int":
		return [3]string{"2001", "2002", "2003"}
	case entry.Kind == "duration":
		return [3]string{"1s", "1m1s", "300ms"}
	case entry.Kind == "level":
		return [3]string{"debug", "trace", "warn"}
	case strings.HasSuffix(entry.Key, "bind_addr"):
		return [3]string{"127.0.0.1:1", "127.0.0.1:2", "[::1]:3"}
	}
	return [3]string{"some", "other", "third"}
}

// layered is a value given in some places, and what must be in force.
type layered struct {
	trial
	value, source string
}

func TestLoad_TakesFlagBeforeVariableBeforeFileBeforeDefault(t *testing.T) {
	schema, err := New()
	require.NoError(t, err)
	for _, entry := range schema.Entries() {
		value := sample(entry)
		if strings.HasSuffix(entry.Key, "_cert") || strings.HasSuffix(entry.Key, "_key") {
			certificate, key := certificateFiles(t)
			value = [3]string{certificate, certificate, certificate}
			if entry.Key == "consul.client_key" {
				value = [3]string{key, key, key}
			}
		}
		names := strings.Split(entry.Key, ".")
		var doc strings.Builder
		for depth, name := range names {
			fmt.Fprintf(&doc, "%s%s:", strings.Repeat("  ", depth), name)
			if depth < len(names)-1 {
				doc.WriteString("\n")
			}
		}
		fmt.Fprintf(&doc, " %q\n", value[0])
		variable := "TRICOT_" + strings.ToUpper(strings.ReplaceAll(entry.Key, ".", "_"))
		flag := strings.ReplaceAll(strings.ReplaceAll(entry.Key, ".", "-"), "_", "-")
		require.Equal(t, variable, entry.Variables[0])
		require.Equal(t, flag, entry.Flags[0])

		inYAML := fmt.Sprintf("tricot.yaml:%d", len(names))
		cases := []layered{
			{trial{}, "", "default"},
			{trial{yaml: doc.String()}, value[0], inYAML},
			{trial{env: []string{variable + "=" + value[1]}}, value[1], "variable " + variable},
			{trial{yaml: doc.String(), env: []string{variable + "=" + value[1]}}, value[1], "variable " + variable},
			{trial{yaml: doc.String(), env: []string{variable + "="}}, value[0], inYAML},
			{trial{flags: []string{"--" + flag + "=" + value[2]}}, value[2], "flag --" + flag},
			{trial{yaml: doc.String(), env: []string{variable + "=" + value[1]}, flags: []string{"--" + flag + "=" + value[2]}},
				value[2], "flag --" + flag},
		}
		for _, old := range entry.Variables[1:] {
			cases = append(cases,
				layered{trial{yaml: doc.String(), env: []string{old + "=" + value[1]}}, value[1], "variable " + old},
				layered{trial{env: []string{old + "=" + value[2], variable + "=" + value[1]}}, value[1], "variable " + variable})
		}
		for _, old := range entry.Flags[1:] {
			cases = append(cases,
				layered{trial{env: []string{variable + "=" + value[1]}, flags: []string{"--" + old + "=" + value[2]}}, value[2], "flag --" + old},
				layered{trial{flags: []string{"--" + old + "=" + value[2], "--" + flag + "=" + value[1]}}, value[1], "flag --" + flag})
		}
		for i, c := range cases {
			settings, problems := c.load(t)
			for _, problem := range problems {
				// What a value needs besides is for other tests.
				alone := strings.Contains(problem.Reason, "it goes with") || entry.Key == "file.path"
				assert.False(t, c.source != "default" && problem.Key == entry.Key && !alone, "%s, case %d: %s", entry.Key, i, problem)
			}
			inForce := settings.inForce[entry.Key]
			source := settings.Source(entry.Key)
			if inForce.from.place == inFile {
				source = filepath.Base(source)
			}
			assert.Equal(t, c.source, source, "%s, case %d", entry.Key, i)
			if c.source != "default" {
				assert.Equal(t, c.value, inForce.String(), "%s, case %d", entry.Key, i)
				// The field holds what is in force, and not just the listing.
				setting := schema.byKey[entry.Key]
				fresh := &Settings{}
				require.NoError(t, setting.kind.set(setting.field(fresh), setting.kind.parse(c.value)))
				assert.Equal(t, setting.field(fresh).Interface(), setting.field(settings).Interface(), "%s, case %d", entry.Key, i)
			}
		}
	}
}
