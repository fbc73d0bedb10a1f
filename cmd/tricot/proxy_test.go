package main_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// patience is how long a test waits for what should happen at once, on a machine that is busy.
const patience = 45 * time.Second

// A config is what stands in the YAML file: values by their whole key, such as "log.level". A nil value takes the key
// out of the file.
type config map[string]any

// A service is one entry of the services file.
type service struct {
	Name    string   `yaml:"name"`
	Address string   `yaml:"address"`
	Port    int      `yaml:"port"`
	Node    string   `yaml:"node,omitempty"`
	Site    string   `yaml:"site,omitempty"`
	Tags    []string `yaml:"tags"`
}

// A proxy is one run of the binary.
type proxy struct {
	t   *testing.T
	cmd *exec.Cmd
	dir string // everything that it reads and writes

	httpAddress, httpsAddress string // as configured at the start
	output                    output
	ended                     chan struct{}
}

// start runs Tricot and waits until it is ready: the ports are open, and each exact host of the services has its
// certificate.
func start(t *testing.T, config config, services ...service) *proxy {
	t.Helper()
	p := newProxy(t, config, services...)
	p.launch()
	p.awaitReady(services...)
	return p
}

// newProxy writes the files that Tricot is to run on. A test that needs no certificates of an earlier run, no other
// environment and no other arguments calls start.
func newProxy(t *testing.T, config config, services ...service) *proxy {
	t.Helper()
	return newProxyIn(t, t.TempDir(), config, services...)
}

func newProxyIn(t *testing.T, dir string, config config, services ...service) *proxy {
	t.Helper()
	p := &proxy{t: t, dir: dir, httpAddress: freeAddress(t), httpsAddress: freeAddress(t), ended: make(chan struct{})}
	p.writeServices(services...)
	p.writeConfig(config)
	p.cmd = exec.Command(binary, "--config", p.configFile())
	return p
}

func (p *proxy) configFile() string   { return filepath.Join(p.dir, "tricot.yaml") }
func (p *proxy) servicesFile() string { return filepath.Join(p.dir, "services.yaml") }
func (p *proxy) certsDir() string     { return filepath.Join(p.dir, "certs") }

// writeConfig writes the YAML file: what every test needs, and over it what this one does.
func (p *proxy) writeConfig(further config) {
	p.t.Helper()
	all := config{
		"providers":       []string{"file"},
		"file.path":       p.servicesFile(),
		"http.bind_addr":  p.httpAddress,
		"https.bind_addr": p.httpsAddress,
		"admin.bind_addr": "127.0.0.1:0",
		// The tests read one log.
		"middleware.access_log.path": "stderr",
		"certs.issuer":               "local",
		"certs.store":                "dir",
		"certs.dir":                  p.certsDir(),
	}
	maps.Copy(all, further)
	tree := map[string]any{}
	for key, value := range all {
		if value == nil {
			continue
		}
		path := strings.Split(key, ".")
		node := tree
		for _, name := range path[:len(path)-1] {
			if node[name] == nil {
				node[name] = map[string]any{}
			}
			node = node[name].(map[string]any)
		}
		node[path[len(path)-1]] = value
	}
	text, err := yaml.Marshal(tree)
	require.NoError(p.t, err)
	require.NoError(p.t, os.WriteFile(p.configFile(), text, 0o644))
}

// writeServices replaces the services file by rename.
func (p *proxy) writeServices(services ...service) {
	p.t.Helper()
	text := servicesText(p.t, services...)
	require.NoError(p.t, os.WriteFile(p.servicesFile()+".new", text, 0o644))
	require.NoError(p.t, os.Rename(p.servicesFile()+".new", p.servicesFile()))
}

func servicesText(t *testing.T, services ...service) []byte {
	t.Helper()
	if services == nil {
		services = []service{}
	}
	text, err := yaml.Marshal(map[string]any{"services": services})
	require.NoError(t, err)
	return text
}

// launch starts the process; the end of the test ends it.
func (p *proxy) launch() {
	p.t.Helper()
	p.launchBy(startWithParent)
}

func (p *proxy) launchBy(start func(*exec.Cmd) error) {
	p.t.Helper()
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	// The test's own environment has nothing to say to Tricot.
	p.cmd.Env = append(slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, "TRICOT_") || strings.HasPrefix(variable, "CONSUL_") || strings.HasPrefix(variable, "RUST_LOG=")
	}), p.cmd.Env...)
	require.NoError(p.t, start(p.cmd))
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	p.t.Cleanup(func() {
		if p.running() {
			p.signal(syscall.SIGKILL)
			<-p.ended
		}
		if p.t.Failed() {
			p.t.Log("Tricot said:\n" + p.log())
		}
	})
}

// awaitReady waits for the ports and for the certificate of each exact host.
func (p *proxy) awaitReady(services ...service) {
	p.t.Helper()
	p.awaitListening()
	for _, service := range services {
		for _, tag := range service.Tags {
			if host, ok := wantedName(tag); ok {
				p.awaitCertificate(host)
			}
		}
	}
}

// wantedName gives the exact host of a tag that makes a rule.
func wantedName(tag string) (string, bool) {
	fields := strings.Fields(tag)
	if len(fields) < 2 || (fields[0] != "tricot" && fields[0] != "tricot-https") || strings.Contains(fields[1], "*") {
		return "", false
	}
	host, _, _ := strings.Cut(fields[1], "/")
	return strings.ToLower(host), host != ""
}

func (p *proxy) awaitListening() {
	p.t.Helper()
	for _, address := range []string{p.httpAddress, p.httpsAddress} {
		p.eventually(func() bool { return p.mustRun() && accepts(address) }, "nobody listens at "+address)
	}
}

// awaitCertificate waits until a name's certificate is one that the local root vouches for.
func (p *proxy) awaitCertificate(name string) {
	p.t.Helper()
	p.eventually(func() bool {
		if !p.mustRun() || !rootPath.MatchString(p.log()) {
			return false
		}
		conn, err := tls.Dial("tcp", p.httpsAddress, &tls.Config{ServerName: name, RootCAs: p.roots()})
		if err != nil {
			return false
		}
		return conn.Close() == nil
	}, "no certificate for "+name)
}

// rootPath finds where the local authority says that its root certificate is.
var rootPath = regexp.MustCompile(`\S*?(/[^\s"=]*root[^\s"=]*\.pem)`)

// root gives the path of the local root certificate, as the log tells it.
func (p *proxy) root() string {
	p.t.Helper()
	found := rootPath.FindStringSubmatch(p.log())
	require.NotNil(p.t, found, "the log names the local root certificate")
	return found[1]
}

func (p *proxy) roots() *x509.CertPool {
	p.t.Helper()
	pem, err := os.ReadFile(p.root())
	require.NoError(p.t, err)
	roots := x509.NewCertPool()
	require.True(p.t, roots.AppendCertsFromPEM(pem))
	return roots
}

func (p *proxy) signal(signal syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		require.ErrorIs(p.t, err, os.ErrProcessDone)
	}
}

// stop ends Tricot as a service supervisor does, and gives the exit code.
func (p *proxy) stop() int {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	return p.exitCode()
}

// exitCode waits for the end.
func (p *proxy) exitCode() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		require.FailNow(p.t, "Tricot does not end")
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *proxy) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// mustRun fails the test at once where Tricot has ended.
func (p *proxy) mustRun() bool {
	p.t.Helper()
	require.True(p.t, p.running(), "Tricot has ended")
	return true
}

// eventually waits for a condition, which is asked in the test's own goroutine.
func (p *proxy) eventually(condition func() bool, otherwise string) {
	p.t.Helper()
	eventually(p.t, patience, condition, otherwise)
}

func eventually(t *testing.T, within time.Duration, condition func() bool, otherwise string) {
	t.Helper()
	timeout := time.After(within)
	retry := time.NewTicker(5 * time.Millisecond)
	defer retry.Stop()
	for !condition() {
		select {
		case <-retry.C:
		case <-timeout:
			require.FailNow(t, otherwise)
		}
	}
}

// log gives what Tricot said so far.
func (p *proxy) log() string { return p.output.String() }

// logLines gives the lines that have all of the parts.
func (p *proxy) logLines(parts ...string) []string {
	var lines []string
	for line := range strings.Lines(p.log()) {
		if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) }) {
			lines = append(lines, line)
		}
	}
	return lines
}

// awaitLog waits for a line that has all of the parts.
func (p *proxy) awaitLog(parts ...string) string {
	p.t.Helper()
	p.eventually(func() bool { return len(p.logLines(parts...)) > 0 }, "no log line with "+strings.Join(parts, ", "))
	return p.logLines(parts...)[0]
}

// output collects what a process writes, and may be read meanwhile.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// accepts says whether somebody listens.
func accepts(address string) bool {
	conn, err := net.Dial("tcp", address)
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}
