// Package settings is the one list of what can be set in Tricot, and what reads it.
//
// The struct [Settings] says everything about a setting once, in the tags of its field: key, default, description, old
// names, what a value must be like. The flags, the environment names, the check of each value, config.example.yaml and
// the reference in the README are derived from it. A custom stage adds a struct of its own ([Section]), which is treated
// alike.
//
// Where a key is given in several places the strongest one wins, by way of Viper: flag, environment, YAML file,
// default. The environment name of a key is "TRICOT_" and the key in capitals with "." as "_"; its flag is the key with "."
// and "_" as "-". An environment variable that is empty counts as not set, and so does a key of the file without a value
// (null). An empty string in the file or in a flag is a value.
//
// [Schema.Load] reads all places and finds everything that is wrong before it returns, as [Problems]: key, value, source
// and reason. The values of secrets are in no message and no listing. It follows section 6 of the design.
package settings

import (
	"log/slog"
	"net/netip"
	"time"
)

// Settings is what a Tricot runs with. It is not changed after [Schema.Load], and may be read by many goroutines.
//
// The tags of a field: key is its name within its group, default what it is where nothing is given, usage one line that
// describes it, is what a value must be like (see constraint), env and flag further names that are weaker than the
// derived ones, secret masks its value, otherwise describes a default that Load computes where the value is empty. STAGE
// in a usage stands for the group. The tags of a group: key, and about, one line on it.
type Settings struct {
	Providers []string `key:"providers" default:"consul" is:"nonempty,unique,oneof=consul|file" usage:"Where the services come from: consul, file, or both."`
	NodeName  string   `key:"node_name" usage:"The node that this Tricot runs on, by its name in Consul. Mandatory with the consul provider."`
	Site      string   `key:"site" otherwise:"the metadata key site of node_name in Consul" usage:"The site that this Tricot is in."`

	File  File  `key:"file" about:"The file provider: services from a file, for a machine without Consul."`
	HTTP  HTTP  `key:"http" about:"The entrypoint for plain HTTP. At least one of http and https is served."`
	HTTPS HTTPS `key:"https" about:"The entrypoint for HTTPS: HTTP/1.1 and HTTP/2."`

	Entrypoint Entrypoint `key:"entrypoint" about:"Limits, for each of the two entrypoints on its own."`
	TLS        TLS        `key:"tls" about:"Handshakes of the HTTPS entrypoint."`
	Forwarded  Forwarded  `key:"forwarded" about:"The X-Forwarded-For, -Proto and -Host headers that backends get."`
	Shutdown   Shutdown   `key:"shutdown" about:"What happens after SIGTERM or SIGINT."`
	Log        Log        `key:"log" about:"Logs."`
	Metrics    Metrics    `key:"metrics" about:"Prometheus metrics."`
	Admin      Admin      `key:"admin" about:"The admin address: health checks, what Tricot knows as JSON, and a page that shows it."`
	Balance    Balancing  `key:"balance" about:"How often a request is repeated."`

	Certs       Certs       `key:"certs" about:"Certificates: who makes them, and where they are kept."`
	LetsEncrypt LetsEncrypt `key:"letsencrypt" about:"The account with Let's Encrypt."`
	ACME        ACME        `key:"acme" about:"The ACME server that signs certificates."`
	Consul      Consul      `key:"consul" about:"The Consul agent, for the services and for the store."`

	Pipeline Pipeline `key:"pipeline" about:"The chain of stages that each request flows through."`
	// Middleware is the last group, so that the sections of custom stages follow it in listings.
	Middleware Middleware `key:"middleware" about:"The stages, and what can be set for each of them."`

	schema   *Schema
	inForce  map[string]*given
	switches map[string]*stageSwitch // of custom stages
	warnings Problems
}

// File is the file provider.
type File struct {
	Path string `key:"path" usage:"The services file. Mandatory with the file provider."`
}

// HTTP is the entrypoint for plain HTTP. BindAddr is host:port as [net.Listen] takes it, empty where it is not served.
type HTTP struct {
	BindAddr string `key:"bind_addr" default:"0.0.0.0:80" is:"address" usage:"Address and port for plain HTTP. Empty: not served."`
}

// HTTPS is the entrypoint for HTTPS. BindAddr is host:port as [net.Listen] takes it, empty where it is not served.
type HTTPS struct {
	BindAddr string `key:"bind_addr" default:"0.0.0.0:443" is:"address" usage:"Address and port for HTTPS. Empty: not served."`
}

// Entrypoint is what holds for the HTTP and for the HTTPS entrypoint alike, for each on its own. All time-outs are
// positive. MaxConnections is 0 where there is no limit.
type Entrypoint struct {
	ReadHeaderTimeout time.Duration `key:"read_header_timeout" default:"10s" is:"positive" usage:"How long a client may take to send the head of a request."`
	IdleTimeout       time.Duration `key:"idle_timeout" default:"2m" is:"positive" usage:"How long a connection may wait for its next request."`
	HandshakeTimeout  time.Duration `key:"handshake_timeout" default:"10s" is:"positive" usage:"How long a TLS handshake may take."`
	ProgressTimeout   time.Duration `key:"progress_timeout" default:"5m" is:"positive" usage:"How long a client may take nothing of what waits for it, or, until it is answered, send nothing of its request."`
	MaxHeaderBytes    int           `key:"max_header_bytes" default:"65536" is:"min=1024,max=16777216" usage:"The longest head of a request, in bytes."`
	MaxConnections    int           `key:"max_connections" default:"16384" is:"min=0" usage:"How many connections may be open at once, on each port. 0: no limit."`
}

// TLS is about handshakes.
type TLS struct {
	StrictSNI bool `key:"strict_sni" default:"false" usage:"Refuse a handshake for a name that no rule wants, instead of showing a self-signed certificate."`
}

// Forwarded says whose X-Forwarded headers are believed. The prefixes are masked, and none is an IPv4-mapped one.
type Forwarded struct {
	TrustedProxies []netip.Prefix `key:"trusted_proxies" usage:"CIDRs or addresses of the peers whose headers are appended to. Those of all others are replaced."`
}

// Shutdown is about the end. Timeout is 0 where requests in flight are not waited for.
type Shutdown struct {
	Timeout time.Duration `key:"timeout" default:"30s" is:"min=0s" usage:"How long requests in flight may take to finish. 0s: they are not waited for."`
}

// Log is about logs. Level is one of slog's own or [pipeline.LevelTrace]; Format is "text" or "json".
type Log struct {
	Level  slog.Level `key:"level" default:"info" usage:"error, warn, info, debug or trace. RUST_LOG=tricot=LEVEL is understood too, as the weakest source."`
	Format string     `key:"format" default:"text" is:"oneof=text|json" usage:"text or json."`
}

// Metrics is the entrypoint for metrics. BindAddr is host:port, empty where it is not served.
type Metrics struct {
	BindAddr string `key:"bind_addr" is:"address" usage:"Address and port for metrics. Empty: not served."`
}

// Admin is the admin address. BindAddr is host:port, empty where it is not served.
type Admin struct {
	BindAddr string `key:"bind_addr" default:"127.0.0.1:9335" is:"address" usage:"Address and port for health checks, API and page. Empty: not served."`
	Token    string `key:"token" secret:"true" usage:"What the admin address asks for, as a bearer token or as a password. Mandatory beyond loopback."`
}

// Balancing says how often a request is repeated.
type Balancing struct {
	Retries int `key:"retries" default:"2" is:"min=0,max=100" usage:"How often a request that a backend got, and failed before the first byte, is sent to another one, where it is safe."`
}

// Certs is about certificates. Issuer is "acme" or "local"; Store is "consul" or "dir"; Dir is an absolute path.
type Certs struct {
	Issuer   string `key:"issuer" default:"acme" is:"oneof=acme|local" usage:"acme, or local: a development authority that is kept in the store."`
	Store    string `key:"store" is:"oneof=consul|dir" otherwise:"consul where the consul provider runs, else dir" usage:"Where certificates are kept: consul or dir."`
	Dir      string `key:"dir" otherwise:"/var/lib/tricot for root, else $XDG_DATA_HOME/tricot or $HOME/.local/share/tricot" usage:"Where the dir store is."`
	Parallel int    `key:"parallel" default:"4" is:"min=1" usage:"How many certificates this instance orders at once."`

	EncryptionKey     []string `key:"encryption_key" is:"unique" secret:"true" usage:"Keys that seal what is private in the store, 32 bytes each in base64 or hex. The first seals, all open."`
	EncryptionKeyFile string   `key:"encryption_key_file" usage:"A file with such keys, one on a line, instead."`
}

// LetsEncrypt is the account with Let's Encrypt.
type LetsEncrypt struct {
	Email string `key:"email" is:"email" usage:"Where Let's Encrypt writes to about the certificates. Mandatory with the acme issuer."`
}

// ACME is the server that signs certificates. CACert is the path of a PEM file, empty where there is none.
type ACME struct {
	Directory string `key:"directory" default:"https://acme-v02.api.letsencrypt.org/directory" is:"acme_url" usage:"The directory URL of the ACME server. Plain http only on loopback."`
	CACert    string `key:"ca_cert" is:"certificate_file" usage:"A PEM file with a further root to trust for the ACME server itself."`
	KeyType   string `key:"key_type" default:"p256" is:"oneof=p256|p384|rsa2048" usage:"The kind of the certificates' keys: p256, p384 or rsa2048."`
	Profile   string `key:"profile" usage:"The certificate profile to order, by the CA's name for it. Empty: the CA's default."`

	EAB      EAB      `key:"eab" about:"External account binding, for a CA that asks for it. Both or neither."`
	OnDemand OnDemand `key:"on_demand" about:"Certificates for the names under wildcard rules, when a client asks for one."`
}

// EAB is the account that the CA knows already (RFC 8555, section 7.3.4).
type EAB struct {
	KID     string `key:"kid" usage:"The key identifier that the CA gave."`
	HMACKey string `key:"hmac_key" secret:"true" usage:"The key that the CA gave, in base64url."`
}

// OnDemand says who decides on the names under wildcards.
type OnDemand struct {
	Ask       string `key:"ask" is:"url" usage:"The URL that is asked with ?domain=NAME, where a service's tags name none; 200 allows NAME."`
	PerMinute int    `key:"per_minute" default:"10" is:"min=1" usage:"How many new names this instance asks about in a minute."`
}

// Consul is how to reach the agent. CACert, ClientCert and ClientKey are paths of PEM files, empty where there are none.
// SnapshotPath is absolute, or empty where nothing is to be kept.
type Consul struct {
	Host          string `key:"host" default:"http://127.0.0.1:8500" is:"url" usage:"The http or https URL of the agent."`
	CACert        string `key:"ca_cert" is:"certificate_file" usage:"A PEM file with the root to trust for an https agent."`
	ClientCert    string `key:"client_cert" is:"certificate_file" usage:"A PEM file with the certificate to show to an https agent. Goes with client_key."`
	ClientKey     string `key:"client_key" is:"key_file" usage:"A PEM file with the private key of client_cert."`
	TLSSkipVerify bool   `key:"tls_skip_verify" default:"false" usage:"Do not verify the certificate of an https agent."`
	Token         string `key:"token" env:"CONSUL_HTTP_TOKEN" secret:"true" usage:"The ACL token."`
	AllowStale    bool   `key:"allow_stale" default:"true" usage:"Let any server answer the queries that wait, and not only the leader."`
	SnapshotPath  string `key:"snapshot_path" otherwise:"consul-snapshot.json in the default of certs.dir" usage:"The file to start from while Consul is away; none: no file."`
	KVPrefix      string `key:"kv_prefix" default:"tricot/" is:"kv_prefix" usage:"The prefix of all that is kept in the key-value store."`
}

// Pipeline is the order of the stages, those that are switched off included; see [Settings.Stages].
type Pipeline struct {
	Order []string `key:"order" default:"access_log,metrics,request_id,tracing,redirect,acme,route,headers,compress,balance,transport" is:"nonempty,unique" usage:"The stages in the order in which a request meets them. A stage that is not named is left out."`
}

// Middleware is what can be set for the built-in stages.
type Middleware struct {
	AccessLog AccessLog `key:"access_log" about:"One log line for each request."`
	Metrics   Stage     `key:"metrics" about:"Counts requests, for metrics.bind_addr and the admin address."`
	RequestID RequestID `key:"request_id" about:"Passes X-Request-Id on, or makes one."`
	Tracing   Tracing   `key:"tracing" about:"Spans for OpenTelemetry, set up by the variables OTEL_*."`
	Redirect  Redirect  `key:"redirect" about:"Plain HTTP is sent to HTTPS."`
	ACME      Stage     `key:"acme" about:"Answers the challenges of the ACME server."`
	Route     Stage     `key:"route" about:"Finds the route of a request."`
	Headers   Stage     `key:"headers" about:"Sets the response headers of the route."`
	Compress  Compress  `key:"compress" about:"Compresses responses with br, zstd or gzip."`
	Balance   Stage     `key:"balance" about:"Picks a backend."`
	Transport Transport `key:"transport" about:"Sends the request to the backend, and its answer back."`
}

// Stage is a stage with nothing to set but whether it is there.
type Stage struct {
	Enabled bool `key:"enabled" default:"true" usage:"Whether the stage STAGE is part of the pipeline."`
}

// AccessLog is the stage access_log. Path is "stdout", "stderr" or that of a file; Format is "text" or "json".
type AccessLog struct {
	Enabled bool   `key:"enabled" default:"true" usage:"Whether the stage STAGE is part of the pipeline."`
	Path    string `key:"path" default:"stdout" usage:"Where the lines go: stdout, stderr, or a file, which SIGHUP has opened anew."`
	Format  string `key:"format" is:"oneof=text|json" otherwise:"log.format" usage:"text or json."`
}

// RequestID is the stage request_id.
type RequestID struct {
	Enabled     bool `key:"enabled" default:"true" usage:"Whether the stage STAGE is part of the pipeline."`
	OnlyTrusted bool `key:"only_trusted" default:"false" usage:"Pass on only the ids that come from forwarded.trusted_proxies, and make one for all others."`
}

// Tracing is the stage tracing.
type Tracing struct {
	Enabled bool `key:"enabled" default:"false" usage:"Whether the stage STAGE is part of the pipeline."`
}

// Redirect is the stage redirect. Port is 0 where it is that of https.bind_addr.
type Redirect struct {
	Enabled bool `key:"enabled" default:"true" usage:"Whether the stage STAGE is part of the pipeline."`
	Port    int  `key:"port" default:"0" is:"min=0,max=65535" usage:"The HTTPS port that clients are sent to. 0: the port of https.bind_addr."`
}

// Compress is the stage compress. MIMETypes are type/subtype, at least one; MinLength is in bytes, at least 1.
type Compress struct {
	Enabled   bool     `key:"enabled" default:"false" env:"TRICOT_ENABLE_COMPRESSION" flag:"enable-compression" usage:"Whether the stage STAGE is part of the pipeline."`
	MIMETypes []string `key:"mime_types" default:"text/html,text/plain,text/css,text/javascript,text/xml,application/javascript,application/json,application/xml,image/svg+xml,font/ttf" env:"TRICOT_COMPRESS_MIME_TYPES" flag:"compress-mime-types" is:"nonempty,unique,mime_type" usage:"The types to compress."`
	MinLength int      `key:"min_length" default:"1024" is:"min=1" usage:"The shortest response to compress, in bytes, where its length is known."`
}

// Transport is the stage transport. All of it is positive.
type Transport struct {
	Enabled               bool          `key:"enabled" default:"true" usage:"Whether the stage STAGE is part of the pipeline."`
	ConnectTimeout        time.Duration `key:"connect_timeout" default:"5s" is:"positive" usage:"How long connecting to a backend may take."`
	ResponseHeaderTimeout time.Duration `key:"response_header_timeout" default:"60s" is:"positive" usage:"How long a backend may take to begin its answer."`
	ProgressTimeout       time.Duration `key:"progress_timeout" default:"5m" is:"positive" usage:"How long an answer may stand still, a silent gRPC stream too, or a backend take no more of a request."`
	IdleTimeout           time.Duration `key:"idle_timeout" default:"90s" is:"positive" usage:"How long a connection to a backend is kept for the next request."`
	MaxAge                time.Duration `key:"max_age" default:"1h" is:"positive" usage:"How old a connection to a backend may become before it is used for no further request."`
	MaxIdlePerBackend     int           `key:"max_idle_per_backend" default:"256" is:"min=1" usage:"How many connections are kept for the next request, for each backend."`
	MaxIdle               int           `key:"max_idle" default:"4096" is:"min=1" usage:"How many connections are kept for the next request, to all backends together."`
}
