package consul

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

// A Connection says how to reach the agent.
type Connection struct {
	// Host is the http or https URL of the agent. It may have a path, behind which a proxy has Consul, and user
	// information for HTTP's basic authentication.
	Host string
	// CACert is the path of a PEM file with the roots to trust for an https agent. Empty: those of the system. It is read
	// once.
	CACert string
	// ClientCert and ClientKey are the paths of PEM files with the certificate to show to an https agent and its private
	// key. Empty, both: none. They are read anew for each TLS handshake, so that one that is replaced before it expires is
	// used from the next connection on.
	ClientCert, ClientKey string
	// SkipVerify leaves the certificate of an https agent unverified.
	SkipVerify bool
	// Token is the ACL token. It is sent in the header X-Consul-Token and nowhere else, and never to where the agent
	// redirects to: redirects are not followed. Empty: that of the file that the variable CONSUL_HTTP_TOKEN_FILE names,
	// else none.
	Token string
	// Log gets each exchange with the agent at debug: method, path, index, status, duration. Nil: no log.
	Log *slog.Logger
}

const (
	handshakeTimeout = 10 * time.Second
	// idleTimeout closes connections that no query has used for longer than it takes to ask again.
	idleTimeout = 90 * time.Second
	// pingAfter is how long an HTTP/2 connection may be silent before it is asked whether it is alive, pingTimeout how long
	// the answer may take.
	pingAfter, pingTimeout = 15 * time.Second, 15 * time.Second
)

var errClientCertificate = errors.New("read the client certificate")

// Connect makes a client that is fit for many blocking queries at once. It opens no connection yet: an error is about
// the URL or the files.
func Connect(c Connection) (*api.Client, error) {
	host, err := url.Parse(c.Host)
	if err != nil {
		return nil, errors.New("connect to Consul: the URL of the agent cannot be parsed") // the reason would quote a password
	}
	if host.Scheme != "http" && host.Scheme != "https" || host.Host == "" {
		return nil, fmt.Errorf("connect to Consul: %q is no http or https URL", host.Redacted())
	}
	secure, err := c.tls()
	if err != nil {
		return nil, fmt.Errorf("connect to Consul: %w", err)
	}
	log := c.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	config := &api.Config{
		Address:    host.Host,
		Scheme:     host.Scheme,
		PathPrefix: strings.TrimRight(host.Path, "/"),
		Token:      c.Token,
		HttpClient: &http.Client{
			Transport:     &exchanges{next: &verdict{next: transport(host.Scheme, secure), dial: dial, config: secure}, log: log},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	if host.User != nil {
		password, _ := host.User.Password()
		config.HttpAuth = &api.HttpBasicAuth{Username: host.User.Username(), Password: password}
	}
	client, err := api.NewClient(config)
	if err != nil {
		return nil, fmt.Errorf("connect to Consul: %w", err)
	}
	return client, nil
}

// transport has no limit of connections, and none of those that it keeps: each blocking query over HTTP/1.1 holds one, and
// takes it up again.
func transport(scheme string, secure *tls.Config) *http.Transport {
	connect := dial
	if scheme == "http" {
		connect = dialPlain
	}
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         connect,
		TLSClientConfig:     secure,
		TLSHandshakeTimeout: handshakeTimeout,
		ForceAttemptHTTP2:   true,
		HTTP2:               &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
		MaxIdleConnsPerHost: 1 << 20,
		IdleConnTimeout:     idleTimeout,
	}
}

func (c Connection) tls() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: c.SkipVerify}
	if c.CACert != "" {
		pem, err := os.ReadFile(c.CACert)
		if err != nil {
			return nil, fmt.Errorf("read the root certificates: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read the root certificates: there is none in %s", c.CACert)
		}
	}
	if c.ClientCert == "" && c.ClientKey == "" {
		return config, nil
	}
	if c.ClientCert == "" || c.ClientKey == "" {
		return nil, errors.New("a client certificate and its private key go together")
	}
	if _, err := c.clientCertificate(nil); err != nil {
		return nil, err
	}
	config.GetClientCertificate = c.clientCertificate
	return config, nil
}

func (c Connection) clientCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	certificate, err := tls.LoadX509KeyPair(c.ClientCert, c.ClientKey)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errClientCertificate, err)
	}
	return &certificate, nil
}
