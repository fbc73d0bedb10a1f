package settings

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/tricot-proxy/tricot/certs/acme"
)

// check collects what is wrong with settings.
type check struct {
	*Settings
	problems Problems
	wrong    map[string]bool // keys that have a problem
}

// decode puts a value into its field, where it has the right kind and keeps to its constraints.
func (c *check) decode(setting *setting, value *given) {
	field := setting.field(c.Settings)
	// The default first: it stays where the value is refused.
	err := setting.kind.set(field, setting.byDefault)
	if err == nil {
		err = setting.kind.set(field, value)
	}
	if err != nil {
		c.refuse(setting.reason(err), setting.key)
		return
	}
	if value.empty() && setting.byDefault.empty() {
		return
	}
	for _, holds := range setting.is {
		if err := holds(field, value); err != nil {
			c.refuse(setting.reason(err), setting.key)
			_ = setting.kind.set(field, setting.byDefault)
			return
		}
	}
}

// reason says what is wrong with a value. Most errors quote a part of it, which those of a secret must not.
func (s *setting) reason(err error) string {
	if s.secret {
		return "the value is not what is expected"
	}
	return err.Error()
}

// refuse adds a problem with a key, and with others that it does not go together with. It does nothing where one of
// them has a problem already: what is in force then is not what somebody wanted.
func (c *check) refuse(reason, key string, with ...string) {
	if c.wrong[key] || slices.ContainsFunc(with, func(key string) bool { return c.wrong[key] }) {
		return
	}
	c.wrong[key] = true
	c.problems = append(c.problems, c.Problem(key, reason))
}

// together checks what settings mean to each other.
func (c *check) together() {
	c.sources()
	c.certificates()
	c.consul()
	c.addresses()
	c.stages()
}

func (c *check) sources() {
	if slices.Contains(c.Providers, "file") && !c.wrong["file.path"] {
		if c.File.Path == "" {
			c.refuse("the file provider needs the path of a services file", "file.path")
		} else if _, err := readFile(c.File.Path); err != nil {
			c.refuse(err.Error(), "file.path")
		}
	}
	if slices.Contains(c.Providers, "consul") && c.NodeName == "" {
		c.refuse("the consul provider needs the name of the node that this Tricot runs on", "node_name", "providers")
	}
}

func (c *check) certificates() {
	if c.Certs.Issuer == "acme" {
		if c.LetsEncrypt.Email == "" {
			c.refuse("the acme issuer needs an email address", "letsencrypt.email", "certs.issuer")
		}
		if c.HTTP.BindAddr == "" {
			c.refuse("the acme issuer needs the HTTP entrypoint for its challenges", "http.bind_addr", "certs.issuer")
		}
	}
	switch eab := c.ACME.EAB; {
	case eab.KID != "" && eab.HMACKey == "":
		c.refuse("it goes with acme.eab.hmac_key, which is not set", "acme.eab.kid", "acme.eab.hmac_key")
	case eab.KID == "" && eab.HMACKey != "":
		c.refuse("it goes with acme.eab.kid, which is not set", "acme.eab.hmac_key", "acme.eab.kid")
	case eab.KID != "":
		if err := (acme.EAB{KeyID: eab.KID, HMACKey: eab.HMACKey}).Check(); err != nil {
			c.refuse(err.Error(), "acme.eab.hmac_key", "acme.eab.kid")
		}
	}
	if c.Certs.EncryptionKeyFile != "" && len(c.Certs.EncryptionKey) > 0 {
		c.refuse("certs.encryption_key is set too: one of them", "certs.encryption_key_file", "certs.encryption_key")
	}
	if c.Certs.Store == "dir" && c.Certs.Dir == "" {
		c.refuse("the dir store needs a directory: neither XDG_DATA_HOME nor HOME says where", "certs.dir", "certs.store")
	}
}

func (c *check) consul() {
	certificate, key := c.Consul.ClientCert, c.Consul.ClientKey
	switch {
	case certificate != "" && key == "":
		c.refuse("it goes with consul.client_key, which is not set", "consul.client_cert", "consul.client_key")
	case certificate == "" && key != "":
		c.refuse("it goes with consul.client_cert, which is not set", "consul.client_key", "consul.client_cert")
	case certificate != "" && key != "":
		if err := keyPair(certificate, key); err != nil {
			c.refuse(err.Error(), "consul.client_key", "consul.client_cert")
		}
	}
}

func (c *check) addresses() {
	keys := []string{"http.bind_addr", "https.bind_addr", "metrics.bind_addr", "admin.bind_addr"}
	addrs := []string{c.HTTP.BindAddr, c.HTTPS.BindAddr, c.Metrics.BindAddr, c.Admin.BindAddr}
	for i := range keys {
		for j := range i {
			if overlap(addrs[i], addrs[j]) {
				c.refuse(fmt.Sprintf("the port is taken by %s = %q", keys[j], addrs[j]), keys[i], keys[j])
			}
		}
	}
	if c.Admin.BindAddr != "" && c.Admin.Token == "" && !loopback(c.Admin.BindAddr) {
		c.refuse("it can be reached from other machines, and so needs admin.token", "admin.bind_addr", "admin.token")
	}
	if c.HTTP.BindAddr == "" && c.HTTPS.BindAddr == "" {
		c.refuse("there is nothing to serve: http.bind_addr is empty too", "https.bind_addr", "http.bind_addr")
	}
}

// loopback says whether an address can be reached from this machine only. A name may lead anywhere, but for localhost (RFC
// 6761, section 6.3).
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
}

// overlap says whether no two sockets can listen on both addresses. An unspecified IP address is every address for
// net.Listen, in IPv4 and IPv6. Port 0 is a free one each time.
func overlap(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil {
		return false
	}
	portA, portB = strings.TrimLeft(portA, "0"), strings.TrimLeft(portB, "0")
	if portA == "" || portA != portB {
		return false
	}
	return canonical(hostA) == canonical(hostB) || canonical(hostA) == "" || canonical(hostB) == ""
}

// canonical gives one spelling for each host, empty for all of them.
func canonical(host string) string {
	addr, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return strings.ToLower(host)
	case addr.IsUnspecified():
		return ""
	}
	return addr.Unmap().String()
}

func (c *check) stages() {
	var unknown []string
	for _, stage := range c.Pipeline.Order {
		if slices.Contains(c.schema.order, stage) {
			continue
		}
		reason := fmt.Sprintf("there is no stage %q", stage)
		if meant := similar(stage, c.schema.order); meant != "" {
			reason += fmt.Sprintf(" (did you mean %s?)", meant)
		}
		unknown = append(unknown, reason)
	}
	if unknown != nil {
		c.refuse(strings.Join(unknown, ", "), "pipeline.order")
	}
	redirects := slices.Contains(c.Stages(), "redirect") && c.HTTP.BindAddr != ""
	if redirects && c.HTTPS.BindAddr == "" && c.Middleware.Redirect.Port == 0 {
		c.refuse("https.bind_addr is empty, so that there is no port to send clients to: set one, or switch "+
			"middleware.redirect.enabled off", "middleware.redirect.port", "https.bind_addr")
	}
}

// take adds problems that were found before the values were looked at.
func (c *check) take(problems Problems) {
	c.problems = append(c.problems, problems...)
	for _, problem := range problems {
		c.wrong[problem.Key] = true
	}
}
