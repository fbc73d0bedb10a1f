package main_test

import (
	"crypto/tls"
	"crypto/x509"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/acme/acmetest"
)

// onACME is what the YAML file of a Tricot has that gets its certificates from a CA.
func onACME(ca *acmetest.Server, further config) config {
	directory, _, _ := strings.Cut(ca.Directory(), "?") // the query is for several clients in one process
	all := config{
		"certs.issuer":      "acme",
		"letsencrypt.email": "ops@example.com",
		"acme.directory":    directory,
		"acme.ca_cert":      ca.CACert(),
	}
	maps.Copy(all, further)
	return all
}

// startOnACME runs Tricot on its own directory store and the CA, whose questions it answers, and waits until its ports
// are open.
func startOnACME(t *testing.T, ca *acmetest.Server, further config, services ...service) *proxy {
	t.Helper()
	p := newProxy(t, onACME(ca, further), services...)
	validateAt(ca, p)
	p.launch()
	p.awaitListening()
	return p
}

// validations is where a CA sent its questions.
type validations struct {
	mu     sync.Mutex
	by     map[string][]*proxy // in order, by the name that was asked about
	tokens map[string]bool
}

// validateAt sends the CA's questions about each name to the plain HTTP ports of these in turn.
func validateAt(ca *acmetest.Server, proxies ...*proxy) *validations {
	v := &validations{by: map[string][]*proxy{}, tokens: map[string]bool{}}
	ca.Answer(acmetest.Forward(func(r *http.Request) string {
		v.mu.Lock()
		defer v.mu.Unlock()
		name := r.Host
		if host, _, err := net.SplitHostPort(name); err == nil {
			name = host
		}
		p := proxies[len(v.by[name])%len(proxies)]
		v.by[name] = append(v.by[name], p)
		v.tokens[r.URL.Path[len("/.well-known/acme-challenge/"):]] = true
		return p.httpAddress
	}))
	return v
}

// of gives those that were asked about a name, in order.
func (v *validations) of(name string) []*proxy {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.by[name])
}

// seen gives all tokens that were asked for.
func (v *validations) seen() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Collect(maps.Keys(v.tokens))
}

// handshake gives the certificate that Tricot shows for a name, where one of the roots vouches for it.
func (p *proxy) handshake(name string, roots *x509.CertPool) (*x509.Certificate, error) {
	dialer := &net.Dialer{Timeout: patience}
	conn, err := tls.DialWithDialer(dialer, "tcp", p.httpsAddress, &tls.Config{ServerName: name, RootCAs: roots})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0], nil
}

// awaitSigned waits until the certificates of all of the names are of the CA, and gives that of the last.
func (p *proxy) awaitSigned(ca *acmetest.Server, names ...string) (last *x509.Certificate) {
	p.t.Helper()
	roots := ca.Roots()
	for _, name := range names {
		p.eventually(func() (signed bool) {
			if !p.mustRun() {
				return false
			}
			var err error
			last, err = p.handshake(name, roots)
			return err == nil
		}, "the CA's certificate is not served for "+name)
	}
	return last
}

// showsSelfSigned wants the stand-in to be shown for a name.
func (p *proxy) showsSelfSigned(name string) {
	p.t.Helper()
	certificate, err := p.shown(name)
	require.NoError(p.t, err, name)
	assert.Equal(p.t, []string{"self-signed.tricot.invalid"}, certificate.DNSNames, name)
}

// A commandRun is how a command of the binary ended.
type commandRun struct {
	code           int // -1: it did not run
	stdout, stderr string
}

// command runs a command of the binary, such as certs list, on the settings of this Tricot, whether that runs or not. It
// may be called by several goroutines.
func (p *proxy) command(args ...string) commandRun {
	cmd := exec.CommandContext(p.t.Context(), binary, append(args, "--config", p.configFile())...)
	cmd.Env = withoutSettings(os.Environ())
	var stdout, stderr output
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		return commandRun{code: -1, stderr: err.Error()}
	}
	return commandRun{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// withoutSettings is an environment that has nothing to say to Tricot.
func withoutSettings(environment []string) []string {
	return slices.DeleteFunc(environment, func(variable string) bool {
		return strings.HasPrefix(variable, "TRICOT_") || strings.HasPrefix(variable, "CONSUL_") || strings.HasPrefix(variable, "RUST_LOG=")
	})
}

// atMost is how often at most something has happened since a time that happens at once and then no more often than every
// so long, however slow the machine is.
func atMost(begin time.Time, every time.Duration) int { return 1 + int(time.Since(begin)/every) }

// once is the tally of a CA that got one order for each of the names and none for another.
func once(names ...string) map[string]int {
	orders := map[string]int{}
	for _, name := range names {
		orders[name] = 1
	}
	return orders
}
