package tickets_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/certstest"
	"github.com/tricot-proxy/tricot/certs/store"
	"github.com/tricot-proxy/tricot/certs/tickets"
	"github.com/tricot-proxy/tricot/providers/consul/consultest"
)

const patience = 30 * time.Second

var shared consultest.Shared

func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }

// versions are those of TLS that are spoken.
var versions = map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13}

// overTLS tests something with each version, at the same time.
func overTLS(t *testing.T, test func(t *testing.T, version uint16)) {
	for name, version := range versions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, version)
		})
	}
}

// A cluster is instances that have the certificates and the clock in common, and perhaps a store.
type cluster struct {
	t     testing.TB
	certs *certificates
	log   *certstest.Logbook
	ahead atomic.Int64 // by how much the clock of all instances is ahead of the machine's
}

func newCluster(t testing.TB) *cluster {
	return &cluster{t: t, certs: newCertificates(t, "app.example.com"), log: &certstest.Logbook{}}
}

func (c *cluster) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// pass lets time pass for the instances. They learn of it when they next look at the clock.
func (c *cluster) pass(d time.Duration) { c.ahead.Add(int64(d)) }

// An instance is one Tricot, as far as tickets go.
type instance struct {
	t      testing.TB
	keys   *tickets.Keys
	config *tls.Config
	stop   func()
}

// idle makes an instance that does not run. Its clock may be off.
func (c *cluster) idle(s store.Store, off time.Duration) *instance {
	c.t.Helper()
	keys, err := tickets.New(tickets.Options{
		Store: s,
		Log:   slog.New(slog.NewTextHandler(c.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Now:   func() time.Time { return c.now().Add(off) },
	})
	require.NoError(c.t, err)
	config := &tls.Config{GetCertificate: c.certs.get}
	keys.Apply(config)
	return &instance{t: c.t, keys: keys, config: config.Clone()}
}

// begin makes an instance that runs until the test ends or it is stopped.
func (c *cluster) begin(s store.Store, off time.Duration) *instance {
	c.t.Helper()
	i := c.idle(s, off)
	i.stop = certstest.Run(c.t, i.keys.Run)
	return i
}

// start is begin, and waits until the instance is ready.
func (c *cluster) start(s store.Store) *instance {
	c.t.Helper()
	i := c.begin(s, 0)
	i.awaitReady()
	return i
}

func (i *instance) awaitReady() {
	i.t.Helper()
	select {
	case <-i.keys.Ready():
	case <-time.After(patience):
		require.Fail(i.t, "the keys do not become ready")
	}
}

// A client has the session of its last connection, whatever that was to, and offers it at the next one.
type client struct {
	version uint16
	session *tls.ClientSessionState
	kept    bool // the session is not replaced by the next one
}

func (c *client) Get(string) (*tls.ClientSessionState, bool) { return c.session, c.session != nil }

func (c *client) Put(_ string, session *tls.ClientSessionState) {
	if !c.kept && session != nil {
		c.session = session
	}
}

// visitor gives a client with a session that it got from an instance, and that it keeps.
func (i *instance) visitor(version uint16) *client {
	i.t.Helper()
	c := &client{version: version}
	require.False(i.t, i.resumes(c))
	require.NotNil(i.t, c.session, "there was no ticket")
	c.kept = true
	return c
}

// resumes has a client connect, and says whether its session was resumed.
func (i *instance) resumes(c *client) bool {
	i.t.Helper()
	resumed, err := connect(i.config, c, "app.example.com")
	require.NoError(i.t, err)
	return resumed
}

// connect makes a connection and waits for a byte, with which tickets come, and says whether a session was resumed.
func connect(server *tls.Config, c *client, name string) (resumed bool, err error) {
	near, far := net.Pipe()
	sending := &sender{Conn: far, queue: make(chan []byte, 16)}
	var served sync.WaitGroup
	defer served.Wait()
	defer near.Close()
	served.Go(sending.run)
	served.Go(func() {
		defer close(sending.queue)
		conn := tls.Server(sending, server)
		if _, err := conn.Write([]byte{1}); err == nil {
			_, _ = io.Copy(io.Discard, conn)
		}
	})
	conn := tls.Client(near, &tls.Config{
		ServerName: name, InsecureSkipVerify: true, MinVersion: c.version, MaxVersion: c.version, ClientSessionCache: c,
		CurvePreferences: []tls.CurveID{tls.X25519}, // the cheapest: there are thousands
	})
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		return false, err
	}
	return conn.ConnectionState().DidResume, nil
}

// A sender is the server's end of a pipe on which writing does not wait for the reader: both ends write at the same time
// when a ticket comes. The pipe is one in memory, so that it works in a synctest bubble.
type sender struct {
	net.Conn
	queue chan []byte
}

func (s *sender) Write(p []byte) (int, error) {
	s.queue <- bytes.Clone(p)
	return len(p), nil
}

func (s *sender) run() {
	defer s.Conn.Close()
	for p := range s.queue {
		_, _ = s.Conn.Write(p)
	}
}

// certificates are those that are served, by name.
type certificates struct{ byName sync.Map }

func newCertificates(t testing.TB, names ...string) *certificates {
	c := &certificates{}
	for _, name := range names {
		c.byName.Store(name, newCertificate(t, name))
	}
	return c
}

// get refuses names that it does not know, as with strict SNI.
func (c *certificates) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if cert, found := c.byName.Load(strings.ToLower(hello.ServerName)); found {
		return cert.(*tls.Certificate), nil
	}
	return nil, nil
}

func newCertificate(t testing.TB, name string) *tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: serial, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// inStore gives the keys of the record, in base64 as they stand in it, with the times from which they are.
func inStore(t testing.TB, s store.Store) map[string]time.Time {
	t.Helper()
	record, err := s.Load(context.Background(), tickets.Key)
	require.NoError(t, err)
	var has struct {
		Keys []struct {
			From time.Time
			Key  []byte
		}
	}
	require.NoError(t, json.Unmarshal(record.Value, &has))
	keys := map[string]time.Time{}
	for _, k := range has.Keys {
		require.Len(t, k.Key, 32)
		keys[base64.StdEncoding.EncodeToString(k.Key)] = k.From
	}
	require.Len(t, keys, len(has.Keys), "a key is there twice")
	return keys
}

// put writes a record over what is there.
func put(t testing.TB, s store.Store, value string) {
	t.Helper()
	for {
		there, _ := s.Load(context.Background(), tickets.Key)
		_, err := s.Save(context.Background(), store.Record{Key: tickets.Key, Value: []byte(value), Version: there.Version})
		if err == nil {
			return
		}
		require.ErrorIs(t, err, store.ErrConflict)
	}
}
