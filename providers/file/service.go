package file

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tricot-proxy/tricot/providers"
)

// A service is one element of the list, as far as it could be read.
type service struct {
	providers.Instance
	line int
	// named says that name, address and port are there and right.
	named bool
}

// services reads the whole list from the top of the document, nil where there is none.
func (p *parser) services(root *yaml.Node) []service {
	if root == nil {
		return nil
	}
	fields := p.fields(root, "a mapping with the key services", "services")
	if fields == nil {
		return nil
	}
	list := fields["services"]
	if list == nil || resolve(list).ShortTag() == nullTag {
		p.problem(root.Line, "services: expected a list of services, [] for none")
		return nil
	}
	var services []service
	for _, node := range p.list("services", list) {
		services = append(services, p.service(node))
	}
	return services
}

func (p *parser) service(node *yaml.Node) service {
	s := service{line: node.Line}
	s.Healthy = true
	fields := p.fields(node, "a service with name, address and port",
		"name", "address", "port", "node", "site", "id", "tags")
	if fields == nil {
		return s
	}
	var nameRight, addressRight, portRight bool
	s.Service, nameRight = p.name(node, fields["name"])
	s.Address, addressRight = p.address(node, fields["address"])
	s.Port, portRight = p.port(node, fields["port"])
	s.named = nameRight && addressRight && portRight
	s.Node, _ = p.text("node", fields["node"])
	s.Site, _ = p.text("site", fields["site"])
	s.ID, _ = p.text("id", fields["id"])
	for _, tag := range p.list("tags", fields["tags"]) {
		s.Tags = append(s.Tags, p.tag(tag))
	}
	return s
}

func (p *parser) name(service, node *yaml.Node) (string, bool) {
	name, ok := p.text("name", node)
	if ok && name == "" {
		p.problem(line(service, node), "name: expected the name of the service")
	}
	return name, ok && name != ""
}

func (p *parser) address(service, node *yaml.Node) (string, bool) {
	address, ok := p.text("address", node)
	if !ok {
		return "", false
	}
	const expected = "address: expected a host name or an IP address"
	hasPort := func() bool { _, _, err := net.SplitHostPort(address); return err == nil }
	switch at := line(service, node); {
	case address == "":
		p.problem(at, expected)
	case isAddress(address):
		return address, true
	case strings.HasPrefix(address, "[") && strings.HasSuffix(address, "]"):
		p.problem(at, expected+", found %q: leave out the brackets", address)
	case strings.Contains(address, "://"):
		p.problem(at, expected+", found %q: leave out the scheme", address)
	case hasPort():
		p.problem(at, expected+", found %q: the port has a key of its own", address)
	default:
		p.problem(at, expected+", found %q", address)
	}
	return "", false
}

func (p *parser) port(service, node *yaml.Node) (int, bool) {
	const expected = "port: expected a whole number from 1 to 65535"
	if node == nil || resolve(node).ShortTag() == nullTag {
		p.problem(line(service, node), expected)
		return 0, false
	}
	value := resolve(node)
	var port int
	switch {
	case value.ShortTag() == textTag:
		p.problem(node.Line, expected+" without quotes, found %s", describe(value))
		return 0, false
	case value.ShortTag() != intTag, value.Decode(&port) != nil, port < 1, port > 65535:
		p.problem(node.Line, expected+", found %s", describe(value))
		return 0, false
	}
	return port, true
}

// tag reads one tag as it is: what it means is asked where all tags are parsed.
func (p *parser) tag(node *yaml.Node) string {
	switch value := resolve(node); {
	case value.Kind == yaml.MappingNode:
		p.problem(node.Line, `tags: expected text, found a mapping: put a tag with ": " in quotes`)
		return ""
	case value.ShortTag() == nullTag:
		p.problem(node.Line, "tags: expected text, found nothing")
		return ""
	}
	tag, _ := p.text("tags", node)
	return tag
}

// line is that of the value, or of the service where the value is missing.
func line(service, node *yaml.Node) int {
	if node == nil {
		return service.Line
	}
	return node.Line
}

// isAddress is true for what can be dialled: an IP address, or a name of labels of 1 to 63 letters, digits, "-" and "_",
// at most 253 characters (RFC 1035, section 2.3.4). A name that ends in a number is an IPv4 address gone wrong.
func isAddress(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	s = strings.TrimSuffix(s, ".")
	if len(s) > 253 {
		return false
	}
	var last string
	for label := range strings.SplitSeq(s, ".") {
		if len(label) < 1 || len(label) > 63 || strings.ContainsFunc(label, notInName) {
			return false
		}
		last = label
	}
	return strings.Trim(last, "0123456789") != ""
}

func notInName(c rune) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_'
}

// identify gives each service without an id the one that its name, address and port make.
func identify(p *parser, services []service) {
	type place struct {
		name, address string
		port          int
	}
	given, places := make(map[string]int), make(map[place]int) // the line of the first with each
	for _, s := range services {
		key := place{s.Service, s.Address, s.Port}
		switch {
		case s.ID != "" && given[s.ID] > 0:
			p.problem(s.line, "id: expected another for each service, %q is on line %d already", s.ID, given[s.ID])
		case s.ID != "":
			given[s.ID] = s.line
		case s.named && places[key] > 0:
			p.problem(s.line, "expected an id for each of two services with the same name, address and port: "+
				"%s at %s port %d is on line %d already", s.Service, s.Address, s.Port, places[key])
		case s.named:
			places[key] = s.line
		}
	}
	for i := range services {
		s := &services[i]
		if s.ID != "" {
			continue
		}
		made := fmt.Sprintf("%s-%s-%d", s.Service, s.Address, s.Port)
		s.ID = made
		for n := 2; given[s.ID] > 0; n++ {
			s.ID = fmt.Sprintf("%s-%d", made, n)
		}
		given[s.ID] = s.line
	}
}
