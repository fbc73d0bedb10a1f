package settings

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/pipeline"
)

// trial holds what a test gives to a load, and what comes of it.
type trial struct {
	yaml  string
	flags []string
	env   []string
	uid   int
}

func (tr trial) load(t *testing.T, sections ...Section) (*Settings, Problems) {
	t.Helper()
	schema, err := New(sections...)
	require.NoError(t, err)
	flags := pflag.NewFlagSet("tricot", pflag.ContinueOnError)
	schema.Flags(flags)
	require.NoError(t, flags.Parse(tr.flags))
	env := environment(append([]string{"HOME=/home/me"}, tr.env...))
	if tr.yaml != "" {
		name := filepath.Join(t.TempDir(), "tricot.yaml")
		require.NoError(t, os.WriteFile(name, []byte(tr.yaml), 0o600))
		env[configVariable] = name
	}
	settings, err := schema.load(flags, env, machine{file: filepath.Join(t.TempDir(), "none.yaml"), uid: tr.uid})
	require.NotNil(t, settings)
	if err == nil {
		return settings, nil
	}
	problems, is := err.(Problems)
	require.True(t, is, "%T: %v", err, err)
	require.NotEmpty(t, problems)
	return settings, problems
}

// good loads settings that must have no problem.
func (tr trial) good(t *testing.T, sections ...Section) *Settings {
	t.Helper()
	settings, problems := tr.load(t, sections...)
	require.Empty(t, problems)
	return settings
}

// runnable is the environment of a Tricot with nothing else to set.
func runnable(t *testing.T) []string {
	t.Helper()
	return []string{"TRICOT_PROVIDERS=file", "TRICOT_CERTS_ISSUER=local", "TRICOT_FILE_PATH=" + write(t, "services.yaml", "services: []\n")}
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(name, []byte(content), 0o600))
	return name
}

// lines are problems as a user sees them, with the file's directory cut off.
func lines(problems Problems) []string {
	var all []string
	for _, problem := range problems {
		line := problem.String()
		if problem.from.place == inFile {
			line = filepath.Base(problem.from.name) + strings.TrimPrefix(line, problem.from.name)
		}
		all = append(all, line)
	}
	return all
}

func TestSettings_HaveTheDefaultsOfTheDesign(t *testing.T) {
	want := map[string]string{
		"letsencrypt.email": "", "node_name": "", "site": "",
		"consul.host": "http://127.0.0.1:8500", "consul.ca_cert": "", "consul.client_cert": "", "consul.client_key": "",
		"consul.tls_skip_verify": "false", "consul.token": "", "consul.kv_prefix": "tricot/",
		"consul.allow_stale": "true", "consul.snapshot_path": "/home/me/.local/share/tricot/consul-snapshot.json",
		"http.bind_addr": "0.0.0.0:80", "https.bind_addr": "0.0.0.0:443", "metrics.bind_addr": "",
		"admin.bind_addr": "127.0.0.1:9335", "admin.token": "", "balance.retries": "2",
		"middleware.metrics.enabled": "true", "middleware.request_id.enabled": "true", "middleware.request_id.only_trusted": "false",
		"middleware.tracing.enabled": "false", "middleware.access_log.path": "stdout", "middleware.access_log.format": "text",
		"middleware.transport.progress_timeout": "5m", "entrypoint.progress_timeout": "5m", "middleware.transport.max_age": "1h", "middleware.transport.max_idle": "4096",
		"middleware.compress.enabled": "false",
		"middleware.compress.mime_types": "text/html,text/plain,text/css,text/javascript,text/xml,application/javascript," +
			"application/json,application/xml,image/svg+xml,font/ttf",
		"log.level": "info", "log.format": "text", "providers": "consul", "file.path": "",
		"certs.issuer": "acme", "certs.store": "consul", "certs.dir": "/home/me/.local/share/tricot",
		"acme.directory": "https://acme-v02.api.letsencrypt.org/directory", "acme.ca_cert": "",
		"acme.key_type": "p256", "acme.profile": "", "acme.eab.kid": "", "acme.eab.hmac_key": "",
		"acme.on_demand.ask": "", "acme.on_demand.per_minute": "10",
		"certs.parallel": "4", "certs.encryption_key": "", "certs.encryption_key_file": "",
		"pipeline.order":                "access_log,metrics,request_id,tracing,redirect,acme,route,headers,compress,balance,transport",
		"middleware.access_log.enabled": "true", "middleware.redirect.enabled": "true", "middleware.acme.enabled": "true",
		"middleware.route.enabled": "true", "middleware.headers.enabled": "true", "middleware.balance.enabled": "true",
		"middleware.transport.enabled": "true",
		"middleware.redirect.port":     "0", "middleware.compress.min_length": "1024",
		"middleware.transport.connect_timeout": "5s", "middleware.transport.response_header_timeout": "60s",
		"middleware.transport.idle_timeout": "90s", "middleware.transport.max_idle_per_backend": "256",
		"entrypoint.read_header_timeout": "10s", "entrypoint.idle_timeout": "2m", "entrypoint.handshake_timeout": "10s",
		"entrypoint.max_header_bytes": "65536", "entrypoint.max_connections": "16384",
		"tls.strict_sni": "false", "shutdown.timeout": "30s", "forwarded.trusted_proxies": "",
	}
	settings, _ := trial{uid: 1000}.load(t)
	got := map[string]string{}
	for _, entry := range settings.All() {
		got[entry.Key] = entry.Value
		assert.Equal(t, "default", entry.Source, entry.Key)
		assert.NotEmpty(t, entry.Usage, entry.Key)
		assert.NotContains(t, entry.Usage, "\n", entry.Key)
	}
	assert.Equal(t, want, got)

	assert.Equal(t, slog.LevelInfo, settings.Log.Level)
	assert.Equal(t, []string{"consul"}, settings.Providers)
	assert.Equal(t, time.Minute, settings.Middleware.Transport.ResponseHeaderTimeout)
	assert.Equal(t, "/home/me/.local/share/tricot", settings.Certs.Dir)
	assert.Len(t, settings.Middleware.Compress.MIMETypes, 10)
}

func TestLoad_UnderstandsTheNamesThatUsersHaveInTheirJobFiles(t *testing.T) {
	settings := trial{env: []string{
		"TRICOT_LETSENCRYPT_EMAIL=ops@example.com", "TRICOT_NODE_NAME=n1", "TRICOT_SITE=east",
		"TRICOT_CONSUL_HOST=https://consul.example.com:8501", "TRICOT_CONSUL_TLS_SKIP_VERIFY=true",
		"TRICOT_CONSUL_KV_PREFIX=t/", "TRICOT_HTTP_BIND_ADDR=:8080", "TRICOT_HTTPS_BIND_ADDR=:8443",
		"TRICOT_ENABLE_COMPRESSION=true", "TRICOT_COMPRESS_MIME_TYPES=text/html, text/css", "CONSUL_HTTP_TOKEN=weak",
		"RUST_LOG=tricot=debug",
	}}.good(t)
	assert.Equal(t, "ops@example.com", settings.LetsEncrypt.Email)
	assert.Equal(t, "n1", settings.NodeName)
	assert.Equal(t, "east", settings.Site)
	assert.Equal(t, "weak", settings.Consul.Token)
	assert.True(t, settings.Consul.TLSSkipVerify)
	assert.True(t, settings.Middleware.Compress.Enabled)
	assert.Equal(t, []string{"text/html", "text/css"}, settings.Middleware.Compress.MIMETypes)
	assert.Equal(t, slog.LevelDebug, settings.Log.Level)
	assert.Equal(t, "variable RUST_LOG", settings.Source("log.level"))

	settings, _ = trial{
		env:   []string{"CONSUL_HTTP_TOKEN=weak", "TRICOT_CONSUL_TOKEN=strong"},
		flags: []string{"--enable-compression", "--compress-mime-types", "text/html", "--letsencrypt-email", "a@b.example"},
	}.load(t)
	assert.Equal(t, "strong", settings.Consul.Token)
	assert.True(t, settings.Middleware.Compress.Enabled)
	assert.Equal(t, []string{"text/html"}, settings.Middleware.Compress.MIMETypes)
	assert.Equal(t, "a@b.example", settings.LetsEncrypt.Email)
}

func TestLoad_TakesRustLogOnlyWhereNothingElseSaysTheLevel(t *testing.T) {
	settings, _ := trial{env: []string{"RUST_LOG=tricot=trace"}}.load(t)
	assert.Equal(t, pipeline.LevelTrace, settings.Log.Level)
	settings, _ = trial{yaml: "log: {level: warn}", env: []string{"RUST_LOG=tricot=trace"}}.load(t)
	assert.Equal(t, slog.LevelWarn, settings.Log.Level)
	settings, _ = trial{env: []string{"RUST_LOG=hyper=trace"}}.load(t)
	assert.Equal(t, slog.LevelInfo, settings.Log.Level)
	assert.Equal(t, "default", settings.Source("log.level"))
}

func TestLoad_ListsComeAsYAMLListsOrWithCommas(t *testing.T) {
	want := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("::1/128")}
	for _, tr := range []trial{
		{yaml: "forwarded:\n  trusted_proxies: [10.1.2.3/8, 192.0.2.1, '::1']"},
		{yaml: "forwarded:\n  trusted_proxies:\n  - 10.1.2.3/8\n  - ::ffff:192.0.2.1\n  - ::1"},
		{yaml: "forwarded:\n  trusted_proxies: 10.1.2.3/8, 192.0.2.1, ::1"},
		{env: []string{"TRICOT_FORWARDED_TRUSTED_PROXIES=10.1.2.3/8,192.0.2.1 ,::1,"}},
		{flags: []string{"--forwarded-trusted-proxies=10.1.2.3/8,::ffff:192.0.2.1/128", "--forwarded-trusted-proxies=::1"}},
	} {
		tr.env = append(tr.env, runnable(t)...)
		assert.Equal(t, want, tr.good(t).Forwarded.TrustedProxies, "%+v", tr)
	}
}

func TestLoad_TakesKeysWithoutAValueAsNotSet(t *testing.T) {
	settings := trial{yaml: "http:\nhttps:\n  bind_addr:\nlog: {level: ~, format: null}\n", env: runnable(t)}.good(t)
	assert.Equal(t, "0.0.0.0:443", settings.HTTPS.BindAddr)
	assert.Equal(t, "default", settings.Source("log.level"))
	for _, nothing := range []string{"# only a comment\n", "---\n", "{}\n", "~\n"} {
		trial{yaml: nothing, env: runnable(t)}.good(t)
	}
}

func TestLoad_TakesAnEmptyStringAsAValue(t *testing.T) {
	settings := trial{yaml: "http: {bind_addr: \"\"}\n", env: runnable(t)}.good(t)
	assert.Empty(t, settings.HTTP.BindAddr)
	settings = trial{flags: []string{"--http-bind-addr="}, env: runnable(t)}.good(t)
	assert.Empty(t, settings.HTTP.BindAddr)
	assert.Equal(t, "flag --http-bind-addr", settings.Source("http.bind_addr"))
}

func TestLoad_FindsTheFileByFlagThenVariableThenInItsPlace(t *testing.T) {
	schema, err := New()
	require.NoError(t, err)
	a, b, c := write(t, "a.yaml", "site: a"), write(t, "b.yaml", "site: b"), write(t, "c.yaml", "site: c")
	site := func(flag []string, env map[string]string) string {
		fs := pflag.NewFlagSet("tricot", pflag.ContinueOnError)
		schema.Flags(fs)
		require.NoError(t, fs.Parse(flag))
		settings, _ := schema.load(fs, env, machine{file: c})
		return settings.Site
	}
	assert.Equal(t, "a", site([]string{"-c", a}, map[string]string{"TRICOT_CONFIG": b}))
	assert.Equal(t, "a", site([]string{"--config=" + a}, nil))
	assert.Equal(t, "b", site(nil, map[string]string{"TRICOT_CONFIG": b}))
	assert.Equal(t, "c", site(nil, nil))
}

func TestLoad_WarnsOfVariablesThatSetNothing(t *testing.T) {
	settings := trial{env: append(runnable(t), "TRICOT_PORT=tcp://10.0.0.1:80", "TRICOT_NODENAME=secret", "OTHER=1")}.good(t)
	var warnings []string
	for _, warning := range settings.Warnings() {
		warnings = append(warnings, warning.String())
	}
	assert.Equal(t, []string{
		"variable TRICOT_NODENAME: no setting has this variable; did you mean TRICOT_NODE_NAME?",
		"variable TRICOT_PORT: no setting has this variable",
	}, warnings)
}

func TestSnapshotPath_IsBesideTheStateUnlessItIsSet(t *testing.T) {
	path := func(value string) string {
		return trial{uid: 0, env: append(runnable(t), "TRICOT_CONSUL_SNAPSHOT_PATH="+value)}.good(t).Consul.SnapshotPath
	}
	assert.Equal(t, "/var/lib/tricot/consul-snapshot.json", path(""))
	assert.Equal(t, "/tmp/catalog", path("/tmp/catalog"))
	assert.Empty(t, path("none"))
	assert.True(t, filepath.IsAbs(path("catalog")))
}

func TestCertsDir_IsWhereTheMachineKeepsState(t *testing.T) {
	for _, c := range []struct {
		uid  int
		env  string
		want string
	}{
		{0, "XDG_DATA_HOME=/x", "/var/lib/tricot"},
		{1000, "XDG_DATA_HOME=/x", "/x/tricot"},
		{1000, "XDG_DATA_HOME=relative", "/home/me/.local/share/tricot"},
		{1000, "", "/home/me/.local/share/tricot"},
	} {
		assert.Equal(t, c.want, trial{uid: c.uid, env: append(runnable(t), c.env)}.good(t).Certs.Dir)
	}
	settings := trial{env: append(runnable(t), "TRICOT_CERTS_DIR=here")}.good(t)
	assert.True(t, filepath.IsAbs(settings.Certs.Dir))
	assert.Equal(t, "here", filepath.Base(settings.Certs.Dir))
	assert.Empty(t, stateDir(nil, 1000))
}

func TestCertsStore_IsConsulWhereItsProviderRuns(t *testing.T) {
	assert.Equal(t, "dir", trial{env: runnable(t)}.good(t).Certs.Store)
	assert.Equal(t, "consul", trial{env: append(runnable(t), "TRICOT_CERTS_STORE=consul")}.good(t).Certs.Store)
	settings, _ := trial{}.load(t)
	assert.Equal(t, "consul", settings.Certs.Store)
}

func TestStages_AreTheOrderWithoutWhatIsSwitchedOff(t *testing.T) {
	settings := trial{env: runnable(t)}.good(t)
	assert.Equal(t, []string{"access_log", "metrics", "request_id", "redirect", "acme", "route", "headers", "balance", "transport"}, settings.Stages())
	settings = trial{env: append(runnable(t), "TRICOT_PIPELINE_ORDER=route,compress,balance,transport",
		"TRICOT_ENABLE_COMPRESSION=yes", "TRICOT_MIDDLEWARE_BALANCE_ENABLED=off")}.good(t)
	assert.Equal(t, []string{"route", "compress", "transport"}, settings.Stages())
	assert.False(t, settings.Enabled("nothing"))
}
