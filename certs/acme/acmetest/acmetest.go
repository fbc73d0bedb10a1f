// Package acmetest is a real ACME server for tests: Pebble, in this process, in its strict mode. It rejects one nonce in
// twenty, lets one valid authorization in a hundred be used again, which is the least that it can be told to, and
// validates a challenge by three requests over HTTP, for which every name resolves to 127.0.0.1.
//
// In front of it stands what a test needs and Pebble lacks: requests and orders are counted, and [Server.Fail] makes it
// answer with errors, hang, lose an answer, or [Server.Stop] as if it were away.
//
// Pebble is configured by environment variables of the process. So all servers of a test binary validate without a pause.
package acmetest

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/stretchr/testify/require"
)

// Options are what [Start] needs to know; the zero value will do.
type Options struct {
	// EAB has the HMAC keys, in base64url, of the key IDs that an account may be bound to. Where there are any, an account
	// that is not bound to one is refused.
	EAB map[string]string
	// Profiles has the lifetime of the certificates of each profile, in whole seconds. An order that names none gets any
	// of them. Empty: "default", 90 days.
	Profiles map[string]time.Duration
	// Blocked has domains for which, and for all names under which, an order is refused with rejectedIdentifier.
	Blocked []string
	// NonceReject is the percentage of good nonces that are rejected; 0: 5, as Pebble does; negative: none.
	NonceReject int
	// AlternateChains is the number of further chains that are offered for each certificate.
	AlternateChains int
	// HTTPPort is where challenges are validated. 0: the server listens there itself, see [Server.Answer].
	HTTPPort int
	// HTTP1 leaves HTTP/2 out.
	HTTP1 bool
}

// A Server is an ACME server that runs until its test ends. Its methods may be called by several goroutines, those that
// can fail, Forget, Restart and SetRenewalWindow, by that of the test only.
type Server struct {
	t        testing.TB
	o        Options
	id       string
	dns      string
	said     tail
	httpPort int
	addr     string // host and port of the API
	caCert   string

	// turn is taken by one request at a time. Of two, Pebble has one look through all authorizations with its store locked,
	// and the other look into the store with an authorization locked: they may wait for each other.
	turn sync.Mutex

	mu      sync.Mutex
	api     *httptest.Server // nil: stopped
	pebble  http.Handler
	ca      *ca.CAImpl
	db      *db.MemoryStore
	answer  http.Handler
	stopped chan struct{} // closed by Stop
	tally
	faults []*fault
}

// environment guards the variables that Pebble reads while it is made.
var environment sync.Mutex

// Start starts a server.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	s := &Server{t: t, o: o, id: rand.Text(), dns: startDNS(t), tally: newTally()}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("Pebble's log ends so:\n%s", s.said.bytes())
		}
	})
	if s.httpPort = o.HTTPPort; s.httpPort == 0 {
		s.httpPort = s.listenForValidation()
	}
	s.Forget()
	s.Restart()
	t.Cleanup(s.Stop)

	s.caCert = filepath.Join(t.TempDir(), "directory-root.pem")
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.api.Certificate().Raw})
	require.NoError(t, os.WriteFile(s.caCert, root, 0o600))
	return s
}

// Directory is the URL of the directory. No two servers have the same, though they may have the same port one after the
// other: the ACME library keeps directories in mind for the whole process.
func (s *Server) Directory() string { return "https://" + s.addr + wfe.DirectoryPath + "?" + s.id }

// CACert is the path of a PEM file with the root to trust for the directory itself.
func (s *Server) CACert() string { return s.caCert }

// HTTPPort is the port on which challenges are validated.
func (s *Server) HTTPPort() int { return s.httpPort }

// Roots are those to trust for what is issued, all chains.
func (s *Server) Roots() *x509.CertPool {
	s.mu.Lock()
	defer s.mu.Unlock()
	roots := x509.NewCertPool()
	for i := range s.ca.GetNumberOfRootCerts() {
		roots.AddCert(s.ca.GetRootCert(i).Cert)
	}
	return roots
}

// Root is the first of Roots: that of the chain which is offered first.
func (s *Server) Root() *x509.Certificate {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ca.GetRootCert(0).Cert
}

// Forget makes a new Pebble behind the same URL, as if it had been started anew: it knows no account, no order and no
// certificate, and has new roots. The counts stay.
func (s *Server) Forget() {
	profiles := map[string]ca.Profile{"default": {Description: "90 days"}}
	if len(s.o.Profiles) > 0 {
		clear(profiles)
	}
	for name, lifetime := range s.o.Profiles {
		profiles[name] = ca.Profile{Description: lifetime.String(), ValidityPeriod: uint64(lifetime / time.Second)}
	}
	logger := log.New(&s.said, "", log.Lmicroseconds)

	memory := db.NewMemoryStore()
	for id, key := range s.o.EAB {
		require.NoError(s.t, memory.AddExternalAccountKeyByID(id, key))
	}
	for _, domain := range s.o.Blocked {
		require.NoError(s.t, memory.AddBlockedDomain(domain))
	}
	authority := ca.New(logger, memory, "", "ecdsa", s.o.AlternateChains, 1, profiles)

	environment.Lock()
	defer environment.Unlock()
	reject := strconv.Itoa(max(s.o.NonceReject, 0))
	if s.o.NonceReject == 0 {
		reject = "5"
	}
	for name, value := range map[string]string{
		"PEBBLE_VA_NOSLEEP":      "1",
		"PEBBLE_VA_ALWAYS_VALID": "0",
		"PEBBLE_AUTHZREUSE":      "0",
		"PEBBLE_WFE_NONCEREJECT": reject,
	} {
		require.NoError(s.t, os.Setenv(name, value))
	}
	validation := va.New(logger, s.httpPort, 1, true, s.dns, memory) // nobody asks for TLS-ALPN-01, on port 1
	front := wfe.New(logger, memory, validation, authority, nil, true, len(s.o.EAB) > 0, 0, 0)

	s.mu.Lock()
	defer s.mu.Unlock()
	s.pebble, s.ca, s.db = front.Handler(), authority, memory
}

// Stop makes the server refuse connections, and drops those that are open. It forgets nothing.
func (s *Server) Stop() {
	s.mu.Lock()
	api := s.api
	s.api = nil
	if api != nil {
		close(s.stopped)
	}
	s.mu.Unlock()
	if api != nil {
		api.CloseClientConnections()
		api.Close()
	}
}

// Restart makes a server that was stopped listen again, at the same address.
func (s *Server) Restart() {
	addr := s.addr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	var listener net.Listener
	require.Eventually(s.t, func() (ok bool) { // some connection may have the port for its own end meanwhile
		var err error
		listener, err = net.Listen("tcp", addr)
		return err == nil
	}, 30*time.Second, 5*time.Millisecond, "the address %s is taken", addr)
	api := &httptest.Server{
		Listener: listener,
		Config:   &http.Server{Handler: http.HandlerFunc(s.serve), ErrorLog: log.New(io.Discard, "", 0)},

		EnableHTTP2: !s.o.HTTP1, // as public CAs do
	}
	api.StartTLS()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.api, s.stopped = api, make(chan struct{})
	if s.addr == "" {
		s.addr = listener.Addr().String()
	}
}

// SetRenewalWindow makes the renewal information of a certificate suggest a time from start to end.
func (s *Server) SetRenewalWindow(leaf *x509.Certificate, start, end time.Time, explanation string) {
	info, err := json.Marshal(map[string]any{
		"suggestedWindow": map[string]time.Time{"start": start.UTC(), "end": end.UTC()},
		"explanationURL":  explanation,
	})
	require.NoError(s.t, err)
	s.mu.Lock()
	memory := s.db
	s.mu.Unlock()
	require.NoError(s.t, memory.SetARIResponse(leaf.SerialNumber, string(info)))
}
