package consultest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// A mode is the part that an agent plays.
type mode int

const (
	inMemory   mode = iota // a datacentre of one, with the short time-outs and the memory of Consul's -dev
	onDisk                 // a datacentre of one
	member                 // one of several servers
	clientOnly             // no server: it passes requests on to them
)

// object is one of JSON.
type object = map[string]any

// Configuration writes the file with which somebody else is to start "consul agent -dev -config-file FILE", as what a README
// tells: on loopback, with ports that are free, and as the options say, but for
// HCL. It gives the address of the API and the path of the file.
func Configuration(tb testing.TB, options Options) (url, file string) {
	tb.Helper()
	s := newServer("", tb.TempDir(), inMemory, options)
	var err error
	if s.ports, err = freePorts(); err != nil {
		tb.Fatal(err)
	}
	if _, err := s.configure(); err != nil {
		tb.Fatal(err)
	}
	return s.url(), s.file()
}

// file is the path of the configuration.
func (s *server) file() string { return filepath.Join(s.dir, "ours.json") }

// configure writes the configuration and gives the arguments that make Consul use it.
func (s *server) configure() ([]string, error) {
	config := object{
		"node_name":            s.options.NodeName,
		"node_meta":            s.options.Meta,
		"data_dir":             filepath.Join(s.dir, "data"),
		"bind_addr":            "127.0.0.1",
		"client_addr":          "127.0.0.1",
		"log_level":            "warn",
		"disable_update_check": true,
		"connect":              object{"enabled": false},
		"performance":          object{"raft_multiplier": 1},
		// A server that was killed is one that comes back.
		"autopilot":      object{"cleanup_dead_servers": false},
		"ports":          s.listeners(),
		"retry_interval": "250ms",
	}
	switch s.mode {
	case inMemory: // -dev says it all
	case onDisk:
		config["server"], config["bootstrap"] = true, true
	case member:
		config["server"], config["bootstrap_expect"] = true, s.expect
	case clientOnly:
		config["server"] = false
	}
	if s.peers != nil {
		config["retry_join"] = s.peers()
	}
	if s.options.ACL {
		config["acl"] = object{
			"enabled":        true,
			"default_policy": "deny",
			"tokens":         object{"initial_management": s.token, "agent": s.token, "agent_recovery": s.recovery},
		}
	}
	if tls := s.options.TLS; tls != nil {
		config["tls"] = object{"https": object{
			"ca_file":         tls.CA,
			"cert_file":       tls.Cert,
			"key_file":        tls.Key,
			"verify_incoming": tls.VerifyIncoming,
		}}
	}
	ours, err := json.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("write the configuration of Consul: %w", err)
	}
	arguments := []string{"agent"}
	if s.mode == inMemory {
		arguments = append(arguments, "-dev")
	}
	// A later file wins over an earlier one.
	further := filepath.Join(s.dir, "further.hcl")
	for _, file := range []struct{ path, text string }{{s.file(), string(ours)}, {further, s.options.HCL}} {
		if err := os.WriteFile(file.path, []byte(file.text), 0o600); err != nil {
			return nil, fmt.Errorf("write the configuration of Consul: %w", err)
		}
		arguments = append(arguments, "-config-file="+file.path)
	}
	return arguments, nil
}

// listeners gives every port, so that none is left to a default that another agent has too.
func (s *server) listeners() object {
	const none = -1
	listeners := object{
		"http": s.ports.api, "https": none,
		"serf_lan": s.ports.serf, "serf_wan": none,
		"server": s.ports.rpc,
		"dns":    none, "grpc": none, "grpc_tls": none,
	}
	if s.options.TLS != nil {
		listeners["http"], listeners["https"] = none, s.ports.api
	}
	return listeners
}
