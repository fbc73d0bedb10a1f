package settings

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLoad_TellsAllProblemsAtOnceWithTheirSources(t *testing.T) {
	_, problems := trial{
		yaml: `providers: [consul, zookeeper]
http:
  bind_addr: localhost
  bind_adr: :80
log:
  level: loud
entrypoint: 12
tls:
  strict_sni: maybe
tls: {}
consul:
  token: [s3cret]
  tokn: s3cret
`,
		env:   []string{"TRICOT_SHUTDOWN_TIMEOUT=30", "TRICOT_ENABLE_COMPRESSION=perhaps"},
		flags: []string{"--entrypoint-max-connections=-1", "--compress-mime-types=text/html,text", "--forwarded-trusted-proxies=10/8"},
	}.load(t)
	assert.Equal(t, []string{
		`tricot.yaml:1: providers = "consul,zookeeper": "zookeeper": consul or file is expected`,
		`tricot.yaml:3: http.bind_addr = "localhost": an address and a port are expected, such as 0.0.0.0:80, :80 or [::1]:80`,
		`tricot.yaml:4: http.bind_adr: there is no such setting; did you mean http.bind_addr?`,
		`tricot.yaml:6: log.level = "loud": one of error, warn, info, debug, trace is expected`,
		`tricot.yaml:7: entrypoint: settings below it are expected: read_header_timeout, idle_timeout, handshake_timeout, ` +
			`progress_timeout, max_header_bytes, max_connections`,
		`tricot.yaml:9: tls.strict_sni = "maybe": true or false is expected`,
		`tricot.yaml:10: tls: it is set in line 8 already`,
		`tricot.yaml:12: consul.token: one value is expected, not a list`,
		`tricot.yaml:13: consul.tokn: there is no such setting; did you mean consul.token?`,
		`flag --entrypoint-max-connections: entrypoint.max_connections = "-1": it must be at least 0`,
		`flag --forwarded-trusted-proxies: forwarded.trusted_proxies = "10/8": "10/8" is neither a CIDR, such as 10.0.0.0/8, nor an IP address`,
		`default: letsencrypt.email: the acme issuer needs an email address`,
		`variable TRICOT_ENABLE_COMPRESSION: middleware.compress.enabled = "perhaps": true or false is expected`,
		`flag --compress-mime-types: middleware.compress.mime_types = "text/html,text": "text": a MIME type is expected, ` +
			`such as text/html, without parameters and without *`,
		`variable TRICOT_SHUTDOWN_TIMEOUT: shutdown.timeout = "30": a duration needs a unit, such as 30s`,
	}, lines(problems))
	assert.Equal(t, strings.Count(problems.Error(), "\n"), len(problems)-1)
}

func TestLoad_TellsABareTricotWhatToSet(t *testing.T) {
	_, problems := trial{}.load(t)
	assert.Equal(t, []string{
		"default: letsencrypt.email: the acme issuer needs an email address",
		"default: node_name: the consul provider needs the name of the node that this Tricot runs on",
	}, lines(problems))
}

func TestLoad_RefusesSettingsThatMakeNoSense(t *testing.T) {
	certificate, key := certificateFiles(t)
	_, otherKey := certificateFiles(t)
	directory := t.TempDir()
	nonsense := write(t, "nonsense.pem", "nothing")
	broken := write(t, "broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
	encrypted := write(t, "encrypted.pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
	missing := filepath.Join(directory, "missing")
	for _, c := range []struct {
		env  string // as variables without TRICOT_, separated by spaces
		want string // the key and a part of the reason, or nothing
	}{
		{"PROVIDERS=,", "providers: it must not be empty"},
		{"PROVIDERS=file,file", `providers: "file" is there twice`},
		{"FILE_PATH=" + missing, "file.path: the file cannot be read: no such file"},
		{"FILE_PATH=" + directory, "file.path: it is a directory"},
		{"FILE_PATH=/dev/null", "file.path: it is not a regular file"},
		{"PROVIDERS=consul FILE_PATH=" + missing + " NODE_NAME=n", ""},
		{"PROVIDERS=file,consul", "node_name: the consul provider needs the name"},
		{"CERTS_ISSUER=acme", "letsencrypt.email: the acme issuer needs"},
		{"CERTS_ISSUER=acme LETSENCRYPT_EMAIL=a@example.com", ""},
		{"LETSENCRYPT_EMAIL=me", "letsencrypt.email: an email address is expected"},
		{"LETSENCRYPT_EMAIL=<a@example.com>", "letsencrypt.email: an email address is expected"},
		{"CERTS_ISSUER=vault", "certs.issuer: acme or local is expected"},
		{"CERTS_STORE=disk", "certs.store: consul or dir is expected"},
		{"CONSUL_CLIENT_CERT=" + certificate, "consul.client_cert: it goes with consul.client_key"},
		{"CONSUL_CLIENT_KEY=" + key, "consul.client_key: it goes with consul.client_cert"},
		{"CONSUL_CLIENT_CERT=" + certificate + " CONSUL_CLIENT_KEY=" + key, ""},
		{"CONSUL_CLIENT_CERT=" + certificate + " CONSUL_CLIENT_KEY=" + otherKey, "consul.client_key: the private key cannot be used"},
		{"CONSUL_CLIENT_CERT=" + certificate + " CONSUL_CLIENT_KEY=" + encrypted, "consul.client_key: the private key is encrypted"},
		{"CONSUL_CLIENT_CERT=" + certificate + " CONSUL_CLIENT_KEY=" + certificate, "consul.client_key: there is no private key"},
		{"CONSUL_CA_CERT=" + certificate + " ACME_CA_CERT=" + certificate, ""},
		{"CONSUL_CA_CERT=" + missing, "consul.ca_cert: the file cannot be read"},
		{"CONSUL_CA_CERT=" + nonsense, "consul.ca_cert: there is no certificate"},
		{"ACME_CA_CERT=" + broken, "acme.ca_cert: a certificate in the file cannot be parsed"},
		{"ACME_CA_CERT=" + directory, "acme.ca_cert: it is a directory"},
		{"CONSUL_HOST=127.0.0.1:8500", "consul.host: an http or https URL is expected"},
		{"CONSUL_HOST=ftp://consul", "consul.host: an http or https URL is expected"},
		{"CONSUL_HOST=http://", "consul.host: an http or https URL is expected"},
		{"CONSUL_HOST=http://consul:0", "consul.host: the port 0"},
		{"CONSUL_HOST=http://consul:99999", "consul.host: the port 99999"},
		{"CONSUL_HOST=http://u:p@consul", "consul.host: a URL without a user"},
		{"CONSUL_HOST=http://consul?a=b", "consul.host: a URL without a query"},
		{"CONSUL_KV_PREFIX=/tricot/", "consul.kv_prefix: a prefix in Consul's key-value store does not start with /"},
		{"ACME_DIRECTORY=http://ca.example.com/dir", "acme.directory: an https URL is expected"},
		{"ACME_DIRECTORY=http://127.0.0.1:14000/dir", ""},
		{"ACME_DIRECTORY=http://[::1]:14000/dir", ""},
		{"ACME_DIRECTORY=http://localhost:14000/dir", ""},
		{"ACME_DIRECTORY=https://ca.example.com/" + strings.Repeat("a", 2000), "acme.directory: "},
		{"LETSENCRYPT_EMAIL=a&b@example.com", "letsencrypt.email: "},
		{"ACME_EAB_KID=x ACME_EAB_HMAC_KEY=+/", "acme.eab.hmac_key: the HMAC key of the external account binding is not base64url"},
		{"ACME_DIRECTORY=nothing", "acme.directory: an http or https URL"},
		{"HTTP_BIND_ADDR=:80 HTTPS_BIND_ADDR=:80", `https.bind_addr: the port is taken by http.bind_addr = ":80"`},
		{"HTTP_BIND_ADDR=0.0.0.0:80 HTTPS_BIND_ADDR=127.0.0.1:80", "https.bind_addr: the port is taken"},
		{"HTTP_BIND_ADDR=[::1]:80 HTTPS_BIND_ADDR=0.0.0.0:80", "https.bind_addr: the port is taken"},
		{"HTTP_BIND_ADDR=[0::1]:80 HTTPS_BIND_ADDR=[::1]:080", "https.bind_addr: the port is taken"},
		{"HTTPS_BIND_ADDR=:443 METRICS_BIND_ADDR=127.0.0.1:443", "metrics.bind_addr: the port is taken by https.bind_addr"},
		{"METRICS_BIND_ADDR=127.0.0.1:9335", `admin.bind_addr: the port is taken by metrics.bind_addr = "127.0.0.1:9335"`},
		{"ADMIN_BIND_ADDR=", ""},
		{"ADMIN_BIND_ADDR=[::1]:9335", ""},
		{"ADMIN_BIND_ADDR=[::ffff:127.0.0.1]:9335", ""},
		{"ADMIN_BIND_ADDR=localhost:9335", ""},
		{"ADMIN_BIND_ADDR=:9335 ADMIN_TOKEN=x", ""},
		{"ADMIN_BIND_ADDR=:9335", "admin.bind_addr: it can be reached from other machines, and so needs admin.token"},
		{"ADMIN_BIND_ADDR=10.0.0.1:9335", "admin.bind_addr: it can be reached from other machines"},
		{"ADMIN_BIND_ADDR=tricot.internal:9335", "admin.bind_addr: it can be reached from other machines"},
		{"BALANCE_RETRIES=-1", "balance.retries: it must be at least 0"},
		{"BALANCE_RETRIES=0", ""},
		{"MIDDLEWARE_ACCESS_LOG_FORMAT=xml", "middleware.access_log.format: "},
		{"MIDDLEWARE_TRANSPORT_PROGRESS_TIMEOUT=0s", "middleware.transport.progress_timeout: it must be more than 0"},
		{"HTTP_BIND_ADDR=127.0.0.1:80 HTTPS_BIND_ADDR=127.0.0.2:80", ""},
		{"HTTP_BIND_ADDR=127.0.0.1:0 HTTPS_BIND_ADDR=127.0.0.1:0", ""},
		{"HTTP_BIND_ADDR=localhost:80 HTTPS_BIND_ADDR=[fe80::1%lo]:443", ""},
		{"HTTP_BIND_ADDR=80", "http.bind_addr: an address and a port"},
		{"HTTP_BIND_ADDR=:65536", `http.bind_addr: the port "65536" is no number`},
		{"HTTP_BIND_ADDR=:http", `http.bind_addr: the port "http" is no number`},
		{"HTTP_BIND_ADDR=:", `http.bind_addr: the port "" is no number`},
		{"HTTP_BIND_ADDR=256.0.0.1:80", `http.bind_addr: "256.0.0.1" is neither`},
		{"HTTP_BIND_ADDR=a/b:80", `http.bind_addr: "a/b" is neither`},
		{"METRICS_BIND_ADDR=x", "metrics.bind_addr: an address and a port"},
		{"ENTRYPOINT_IDLE_TIMEOUT=0s", "entrypoint.idle_timeout: it must be more than 0"},
		{"ENTRYPOINT_READ_HEADER_TIMEOUT=0s", "entrypoint.read_header_timeout: it must be more than 0"},
		{"ENTRYPOINT_HANDSHAKE_TIMEOUT=-1s", "entrypoint.handshake_timeout: it must be more than 0"},
		{"ENTRYPOINT_PROGRESS_TIMEOUT=0s", "entrypoint.progress_timeout: it must be more than 0"},
		{"ENTRYPOINT_MAX_HEADER_BYTES=1023", "entrypoint.max_header_bytes: it must be at least 1024"},
		{"ENTRYPOINT_MAX_HEADER_BYTES=16777217", "entrypoint.max_header_bytes: it must be at most 16777216"},
		{"ENTRYPOINT_MAX_CONNECTIONS=0", ""},
		{"ENTRYPOINT_MAX_CONNECTIONS=99999999999999999999", "entrypoint.max_connections: the number is too large"},
		{"ENTRYPOINT_MAX_CONNECTIONS=many", "entrypoint.max_connections: a whole number is expected"},
		{"SHUTDOWN_TIMEOUT=0s", ""},
		{"SHUTDOWN_TIMEOUT=-1s", "shutdown.timeout: it must be at least 0s"},
		{"SHUTDOWN_TIMEOUT=soon", "shutdown.timeout: a duration is expected"},
		{"MIDDLEWARE_TRANSPORT_CONNECT_TIMEOUT=0s", "middleware.transport.connect_timeout: it must be more than 0"},
		{"MIDDLEWARE_TRANSPORT_RESPONSE_HEADER_TIMEOUT=0s", "middleware.transport.response_header_timeout: it must be more than 0"},
		{"MIDDLEWARE_TRANSPORT_IDLE_TIMEOUT=0s", "middleware.transport.idle_timeout: it must be more than 0"},
		{"MIDDLEWARE_TRANSPORT_MAX_IDLE_PER_BACKEND=0", "middleware.transport.max_idle_per_backend: it must be at least 1"},
		{"LOG_LEVEL=ERROR", ""},
		{"LOG_LEVEL=verbose", "log.level: one of error, warn, info, debug, trace"},
		{"LOG_FORMAT=xml", "log.format: text or json is expected"},
		{"PIPELINE_ORDER=route,compres,headers,nothing", `pipeline.order: there is no stage "compres" (did you mean compress?), there is no stage "nothing"`},
		{"PIPELINE_ORDER=route,route", `pipeline.order: "route" is there twice`},
		{"PIPELINE_ORDER=,", "pipeline.order: it must not be empty"},
		{"COMPRESS_MIME_TYPES=,", "middleware.compress.mime_types: it must not be empty"},
		{"MIDDLEWARE_COMPRESS_MIN_LENGTH=0", "middleware.compress.min_length: it must be at least 1"},
		{"COMPRESS_MIME_TYPES=text", `middleware.compress.mime_types: "text": a MIME type is expected`},
		{"COMPRESS_MIME_TYPES=text/*", `middleware.compress.mime_types: "text/*": a MIME type is expected`},
		{"COMPRESS_MIME_TYPES=text/html;charset=utf-8", `middleware.compress.mime_types: "text/html;charset=utf-8": a MIME type`},
		{"FORWARDED_TRUSTED_PROXIES=10.0.0.0/33", `forwarded.trusted_proxies: "10.0.0.0/33" is neither`},
		{"FORWARDED_TRUSTED_PROXIES=fe80::1%lo", `forwarded.trusted_proxies: "fe80::1%lo" is neither`},
		{"MIDDLEWARE_REDIRECT_PORT=65536", "middleware.redirect.port: it must be at most 65535"},
		{"MIDDLEWARE_REDIRECT_PORT=-1", "middleware.redirect.port: it must be at least 0"},
		{"SITE=a\nb", "site: a line break or another control character"},
	} {
		var env []string
		for variable := range strings.SplitSeq(c.env, " ") {
			env = append(env, "TRICOT_"+variable)
		}
		_, problems := trial{env: append(runnable(t), env...)}.load(t)
		if c.want == "" {
			assert.Empty(t, lines(problems), c.env)
			continue
		}
		if assert.Len(t, problems, 1, "%s: %v", c.env, lines(problems)) {
			key, reason, _ := strings.Cut(c.want, ": ")
			assert.Equal(t, key, problems[0].Key, c.env)
			assert.Contains(t, problems[0].Reason, reason, c.env)
		}
	}
}

func TestLoad_RefusesAFileProviderWithoutAFile(t *testing.T) {
	_, problems := trial{env: []string{"TRICOT_PROVIDERS=file", "TRICOT_CERTS_ISSUER=local"}}.load(t)
	assert.Equal(t, []string{"default: file.path: the file provider needs the path of a services file"}, lines(problems))
}

func TestLoad_RefusesEntrypointsThatLeaveNothingToServe(t *testing.T) {
	for yaml, want := range map[string]string{
		"http: {bind_addr: ''}\nhttps: {bind_addr: ''}":                    "https.bind_addr: there is nothing to serve",
		"https: {bind_addr: ''}":                                           "middleware.redirect.port",
		"https: {bind_addr: ''}\nmiddleware: {redirect: {port: 443}}":      "",
		"https: {bind_addr: ''}\nmiddleware: {redirect: {enabled: false}}": "",
		"http: {bind_addr: ''}":                                            "",
		"http: {bind_addr: ''}\nproviders: file\ncerts: {issuer: acme}":    "http.bind_addr: the acme issuer needs the HTTP entrypoint",
	} {
		env := append(runnable(t), "TRICOT_LETSENCRYPT_EMAIL=a@example.com")
		if strings.Contains(yaml, "acme") {
			env = append(env, "TRICOT_CERTS_ISSUER=acme")
		}
		_, problems := trial{yaml: yaml, env: env}.load(t)
		if want == "" {
			assert.Empty(t, lines(problems), yaml)
		} else if assert.Len(t, problems, 1, "%s: %v", yaml, lines(problems)) {
			assert.Contains(t, problems[0].String(), want)
		}
	}
}

func TestLoad_TellsWhatIsWrongWithTheFile(t *testing.T) {
	for _, c := range []struct{ yaml, want string }{
		{"a: b: c\n", "tricot.yaml:1: the file is not YAML: mapping values are not allowed in this context"},
		{"\n\nfoo: [a\n", "tricot.yaml:3: the file is not YAML: did not find expected ',' or ']'"},
		{"site: a\nlog:\n  level: info\n bad: 1\n", "tricot.yaml:4: the file is not YAML: did not find expected key"},
		{"site: a\nnode_name: \"abc\n\nlog: {}\n", "tricot.yaml:2: the file is not YAML: found unexpected end of stream"},
		{"site: a\n\tlog: 1\n", "tricot.yaml:2: the file is not YAML: found a tab character that violates indentation"},
		{"site: a\nconsul:\n  token: *s3cret\n", "tricot.yaml:3: the file is not YAML: a value that begins with * must be in quotes"},
		{"site: a\n---\nsite: b\n", "tricot.yaml:3: a second YAML document begins here; one is expected"},
		{"\n- site\n", "tricot.yaml:2: keys with values are expected, such as site: east"},
		{"site\n", "tricot.yaml:1: keys with values are expected, such as site: east"},
		{"site: a\nsite: b\n", "tricot.yaml:2: site: it is set in line 1 already"},
		{"sits: a\n", "tricot.yaml:1: sits: there is no such setting; did you mean site?"},
		{"http:\n  bind-addr: :80\n", "tricot.yaml:2: http.bind-addr: there is no such setting; did you mean http.bind_addr?"},
		{"strict_sni: true\n", "tricot.yaml:1: strict_sni: there is no such setting; did you mean tls.strict_sni?"},
		{"HTTP: {}\n", "tricot.yaml:1: HTTP: there is no such setting; did you mean http?"},
		{"xyzzy: {a: 1}\n", "tricot.yaml:1: xyzzy: there is no such setting"},
		{"http.bind_addr: :80\n", `tricot.yaml:1: http.bind_addr: there is no such setting; write "http:", and below it "bind_addr:"`},
		{"middleware:\n  compress.enabled: true\n",
			`tricot.yaml:2: middleware.compress.enabled: there is no such setting; write "compress:", and below it "enabled:"`},
		{"middleware:\n  balanc: {enabled: true}\n", "tricot.yaml:2: middleware.balanc: there is no such setting; did you mean middleware.balance?"},
		{"log: info\n", "tricot.yaml:1: log: settings below it are expected: level, format"},
		{"site: {a: b}\n", "tricot.yaml:1: site: one value is expected, not keys with values"},
		{"site: [a]\n", "tricot.yaml:1: site: one value is expected, not a list"},
		{"site: !!binary aGk=\n", "tricot.yaml:1: site: one value is expected, not one of type !!binary"},
		{"providers: {a: b}\n", "tricot.yaml:1: providers: a list is expected, not keys with values"},
		{"pipeline:\n  order:\n  - route\n  - [a]\n", "tricot.yaml:4: pipeline.order: item 2 of the list is not one value"},
		{"pipeline:\n  order:\n  - route\n  -\n", "tricot.yaml:4: pipeline.order: item 2 of the list is not one value"},
		{"? [a]\n: b\n", "tricot.yaml:1: a plain key is expected, such as site"},
		{"log: &l {level: info}\nhttp:\n  <<: *l\n", "tricot.yaml:3: http: a plain key is expected, such as site"},
		{"log: &l\n  level: *l\n", "tricot.yaml:2: log.level: one value is expected, not keys with values"},
	} {
		_, problems := trial{yaml: c.yaml, env: runnable(t)}.load(t)
		assert.Equal(t, []string{c.want}, lines(problems), c.yaml)
	}
}

func TestLoad_SaysOnlyThatTheFileIsWrongWhereItCannotBeRead(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing.yaml")
	_, problems := trial{flags: []string{"--config", missing}}.load(t)
	assert.Equal(t, []string{`flag --config: config = "` + missing + `": the file cannot be read: no such file or directory`},
		lines(problems))
	_, problems = trial{env: []string{"TRICOT_CONFIG=" + t.TempDir()}}.load(t)
	require.Len(t, problems, 1)
	assert.Contains(t, problems[0].Reason, "is a directory")
	_, problems = trial{env: []string{"TRICOT_CONFIG=/dev/zero"}}.load(t)
	require.Len(t, problems, 1)
	assert.Contains(t, problems[0].Reason, "longer than")
	_, problems = trial{yaml: "a: ["}.load(t)
	assert.Len(t, problems, 1)
}

func TestLoad_ReadsAFileFromAPipe(t *testing.T) {
	read, write, err := os.Pipe()
	require.NoError(t, err)
	defer read.Close()
	_, err = write.WriteString("site: piped\n")
	require.NoError(t, err)
	require.NoError(t, write.Close())
	schema, err := New()
	require.NoError(t, err)
	settings, _ := schema.Load(nil, []string{"TRICOT_CONFIG=/proc/self/fd/" + fmt.Sprint(read.Fd())})
	assert.Equal(t, "piped", settings.Site)
}

func TestSecrets_AreInNoMessageAndNoListing(t *testing.T) {
	const secret = "s3cret"
	for _, tr := range []trial{
		{env: []string{"TRICOT_CONSUL_TOKEN=" + secret}},
		{env: []string{"CONSUL_HTTP_TOKEN=" + secret + "\n"}},
		{flags: []string{"--consul-token", secret + "\x00"}},
		{yaml: "consul: {token: [" + secret + "]}"},
		{yaml: "consul: {token: {" + secret + ": a}}"},
		{yaml: "consul: {tokem: " + secret + "}"},
		{yaml: "consul:\n  token: *" + secret},
		{yaml: "consul:\n  token: " + secret + ": x"},
		{env: []string{"TRICOT_CONSUL_HOST=http://me:" + secret + "@consul"}},
		{env: []string{"TRICOT_CONSUL_HOST=http://me:a/" + secret + "@consul:x"}},
		{env: []string{"TRICOT_ACME_DIRECTORY=me:" + secret + "@ca"}},
		{env: []string{"TRICOT_ADMIN_TOKEN=" + secret, "TRICOT_ADMIN_BIND_ADDR=x"}},
		{env: []string{"TRICOT_ACME_ON_DEMAND_ASK=https://ask.example/?key=" + secret}},
		{env: []string{"TRICOT_CONSUL_TOCKEN=" + secret}},
	} {
		settings, problems := tr.load(t)
		assert.NotContains(t, problems.Error(), secret, "%+v", tr)
		for _, warning := range settings.Warnings() {
			assert.NotContains(t, warning.String(), secret)
		}
		for _, entry := range settings.All() {
			assert.NotContains(t, entry.Value, secret, entry.Key)
		}
	}
	settings, _ := trial{env: []string{"TRICOT_CONSUL_TOKEN=" + secret}}.load(t)
	assert.Equal(t, secret, settings.Consul.Token)
	for _, entry := range settings.All() {
		if entry.Key == "consul.token" {
			assert.Equal(t, "***", entry.Value)
		}
	}
}

func TestProblem_IsOneShortLineWhateverTheValueIs(t *testing.T) {
	line := problem("site", "a\nb"+strings.Repeat("x", 1000), source{}, "no").String()
	assert.NotContains(t, line, "\n")
	assert.Less(t, len(line), 300)
}

func TestProblem_OfALaterCheckNamesValueAndSource(t *testing.T) {
	settings := trial{yaml: "site: east\n", env: append(runnable(t), "CONSUL_HTTP_TOKEN=s3cret")}.good(t)
	problems := Problems{settings.Problem("node_name", "why"), settings.Problem("consul.token", "no"), settings.Problem("site", "is odd")}
	problems.Sort()
	assert.Equal(t, []string{
		`tricot.yaml:1: site = "east": is odd`,
		`variable CONSUL_HTTP_TOKEN: consul.token = "***": no`,
		`default: node_name: why`,
	}, lines(problems))
}
