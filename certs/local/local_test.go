package local_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs"
	"github.com/tricot-proxy/tricot/certs/certstest"
	"github.com/tricot-proxy/tricot/certs/local"
	"github.com/tricot-proxy/tricot/certs/store"
	"github.com/tricot-proxy/tricot/certs/store/dir"
)

func opened(t *testing.T, path string) store.Store {
	s, err := dir.Open(dir.Options{Dir: path})
	require.NoError(t, err)
	return s
}

func open(t *testing.T, o local.Options) *local.Issuer {
	t.Helper()
	if o.Store == nil {
		o.Store = opened(t, t.TempDir())
	}
	return certstest.Authority(t, o)
}

// first gives the error with which an issuer cannot be made, or does not sign.
func first(ctx context.Context, o local.Options) error {
	i, err := local.New(o)
	if err == nil {
		_, err = i.Issue(ctx, "app.example.com")
	}
	return err
}

func certificate(t *testing.T, inPEM []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(inPEM)
	require.NotNil(t, block)
	cert, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	return cert
}

func issue(t *testing.T, i *local.Issuer, name string) (certs.Pair, *x509.Certificate) {
	t.Helper()
	pair, err := i.Issue(t.Context(), name)
	require.NoError(t, err)
	return pair, certificate(t, pair.Chain)
}

func TestNew_RefusesOptionsThatMakeNoSense(t *testing.T) {
	s := opened(t, t.TempDir())
	for want, o := range map[string]local.Options{
		"no store":               {},
		"certificates of 9552h":  {Store: s, Lifetime: 398 * 24 * time.Hour},
		"certificates of 1s":     {Store: s, Lifetime: time.Second},
		"certificates of -1h":    {Store: s, Lifetime: -time.Hour},
		"write root certificate": {Store: s, RootFile: filepath.Join(os.DevNull, "root.pem")},
	} {
		assert.ErrorContains(t, first(t.Context(), o), want)
	}
}

func TestAuthority_HasARootThatSignsLeavesOnlyForTenYears(t *testing.T) {
	begin := time.Now()
	root := certificate(t, open(t, local.Options{Host: "box"}).Root())
	assert.Equal(t, "Tricot local authority box", root.Subject.CommonName)
	assert.True(t, root.IsCA && root.BasicConstraintsValid)
	assert.True(t, root.MaxPathLen == 0 && root.MaxPathLenZero)
	assert.Equal(t, x509.KeyUsageCertSign|x509.KeyUsageCRLSign, root.KeyUsage)
	assert.Equal(t, x509.ECDSAWithSHA256, root.SignatureAlgorithm)
	assert.WithinDuration(t, begin.AddDate(10, 0, 0), root.NotAfter, time.Minute)
	assert.NoError(t, root.CheckSignatureFrom(root))
}

func TestAuthority_IsKeptInTheStore(t *testing.T) {
	path := t.TempDir()
	first := open(t, local.Options{Store: opened(t, path)})
	assert.Equal(t, first.Root(), open(t, local.Options{Store: opened(t, path)}).Root())
	record, err := opened(t, path).Load(t.Context(), "local/authority")
	require.NoError(t, err)
	var fields map[string]string
	require.NoError(t, json.Unmarshal(record.Value, &fields))
	assert.Equal(t, string(first.Root()), fields["cert_pem"])
	_, err = tls.X509KeyPair([]byte(fields["cert_pem"]), []byte(fields["key_pem"]))
	assert.NoError(t, err)
}

func TestAuthority_IsTheSameInInstancesThatStartTogether(t *testing.T) {
	path := t.TempDir()
	roots := make([][]byte, 8)
	var all sync.WaitGroup
	for n := range roots {
		s := opened(t, path)
		all.Go(func() {
			i, err := local.New(local.Options{Store: s})
			if assert.NoError(t, err) && assert.NoError(t, i.Run(context.Background())) {
				roots[n] = i.Root()
			}
		})
	}
	all.Wait()
	for _, root := range roots {
		assert.Equal(t, roots[0], root)
	}
}

func TestAuthority_ThatCannotBeReadIsRefusedAndStays(t *testing.T) {
	path := t.TempDir()
	open(t, local.Options{Store: opened(t, path)})
	s := opened(t, path)
	record, err := s.Load(t.Context(), local.Key)
	require.NoError(t, err)
	var mine, other map[string]string
	require.NoError(t, json.Unmarshal(record.Value, &mine))
	elsewhere := opened(t, t.TempDir())
	foreign := open(t, local.Options{Store: elsewhere})
	theirs, err := elsewhere.Load(t.Context(), local.Key)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(theirs.Value, &other))
	leaf, _ := issue(t, foreign, "app.example.com")

	for want, fields := range map[string]any{
		"not JSON":                           "text",
		"cert_pem is no certificate":         map[string]string{"key_pem": mine["key_pem"]},
		"key_pem is no PKCS #8":              map[string]string{"cert_pem": mine["cert_pem"]},
		"key is not that of the certificate": map[string]string{"cert_pem": mine["cert_pem"], "key_pem": other["key_pem"]},
		"not that of an authority":           map[string]string{"cert_pem": string(leaf.Chain), "key_pem": string(leaf.Key)},
	} {
		value, err := json.Marshal(fields)
		require.NoError(t, err)
		record.Value = value
		record, err = s.Save(t.Context(), record)
		require.NoError(t, err)
		err = first(t.Context(), local.Options{Store: s})
		assert.ErrorContains(t, err, want)
		assert.ErrorContains(t, err, "local/authority")
		assert.NotContains(t, err.Error(), "PRIVATE KEY")
		there, err := s.Load(t.Context(), local.Key)
		require.NoError(t, err)
		assert.Equal(t, record, there, "it is left as it was")
	}
}

func TestAuthority_IsReplacedWhereItExpiresBeforeALeafWould(t *testing.T) {
	path := t.TempDir()
	old := open(t, local.Options{Store: opened(t, path)})
	for _, later := range []time.Duration{10*365*24*time.Hour - 30*24*time.Hour, 11 * 365 * 24 * time.Hour} {
		var log bytes.Buffer
		now := func() time.Time { return time.Now().Add(later) }
		i := open(t, local.Options{Store: opened(t, path), Now: now, Log: slog.New(slog.NewTextHandler(&log, nil))})
		assert.NotEqual(t, old.Root(), i.Root())
		_, leaf := issue(t, i, "app.example.com")
		assert.True(t, leaf.NotAfter.Before(certificate(t, i.Root()).NotAfter))
		if later < 10*365*24*time.Hour {
			assert.Contains(t, log.String(), "is replaced")
		}
	}
}

func TestIssue_ReplacesAnAuthorityThatExpiresWhileItRuns(t *testing.T) {
	var later time.Duration
	file := filepath.Join(t.TempDir(), "root.pem")
	i := open(t, local.Options{RootFile: file, Now: func() time.Time { return time.Now().Add(later) }})
	old := i.Root()
	later = 10 * 365 * 24 * time.Hour
	pair, _ := issue(t, i, "app.example.com")
	assert.NotEqual(t, old, i.Root())
	assert.True(t, bytes.HasSuffix(pair.Chain, i.Root()))
	written, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, i.Root(), written)
}

func TestAuthority_HasItsRootWrittenForEverybodyToRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "deep", "root.pem")
	path := t.TempDir()
	var log bytes.Buffer
	for range 2 { // and again on the next start
		i := open(t, local.Options{Store: opened(t, path), RootFile: file, Log: slog.New(slog.NewTextHandler(&log, nil))})
		written, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.Equal(t, string(i.Root()), string(written))
		info, err := os.Stat(file)
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o644), info.Mode().Perm())
		require.NoError(t, os.WriteFile(file, []byte("something else, longer than it was before"), 0o600))
		require.NoError(t, os.Chmod(file, 0o600))
	}
	assert.Equal(t, 2, strings.Count(log.String(), "path="+file))
	assert.NotContains(t, log.String(), "PRIVATE")
	entries, err := os.ReadDir(filepath.Dir(file))
	require.NoError(t, err)
	assert.Len(t, entries, 1, "nothing is left beside it")
}

func TestIssue_MakesALeafForANameOrAnAddress(t *testing.T) {
	i := open(t, local.Options{Lifetime: 48 * time.Hour})
	assert.Equal(t, "local", i.Name())
	roots := x509.NewCertPool()
	roots.AddCert(certificate(t, i.Root()))
	var serials []*big.Int
	for _, name := range []string{"app.example.com", "localhost", "my_app.test", "127.0.0.1", "::1", strings.Repeat("n", 60) + ".example.com"} {
		pair, leaf := issue(t, i, name)
		_, err := leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots})
		require.NoError(t, err, name)
		assert.Equal(t, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, leaf.ExtKeyUsage)
		assert.Equal(t, 48*time.Hour, leaf.NotAfter.Sub(leaf.NotBefore))
		assert.True(t, leaf.NotBefore.Before(time.Now().Add(-time.Minute)), "a little in the past")
		assert.False(t, leaf.IsCA)
		assert.Equal(t, len(leaf.DNSNames) == 0, net.ParseIP(name) != nil)
		assert.Equal(t, 1, len(leaf.DNSNames)+len(leaf.IPAddresses))
		assert.True(t, bytes.HasSuffix(pair.Chain, i.Root()), "leaf, then root")
		key, _ := pem.Decode(pair.Key)
		require.Equal(t, "PRIVATE KEY", key.Type)
		_, err = tls.X509KeyPair(pair.Chain, pair.Key)
		assert.NoError(t, err)
		for _, other := range serials {
			assert.NotEqual(t, other, leaf.SerialNumber)
		}
		assert.LessOrEqual(t, leaf.SerialNumber.BitLen(), 128)
		assert.Greater(t, leaf.SerialNumber.BitLen(), 100)
		serials = append(serials, leaf.SerialNumber)
	}
}

func TestIssue_LastsNinetyDaysByDefault(t *testing.T) {
	_, leaf := issue(t, open(t, local.Options{}), "app.example.com")
	assert.Equal(t, 90*24*time.Hour, leaf.NotAfter.Sub(leaf.NotBefore))
}

func TestIssue_RefusesWhatIsNoName(t *testing.T) {
	i := open(t, local.Options{})
	for _, name := range []string{"", "*.example.com", "*", "a b", "[::1]", "ä.test", "a/b", "A.test", strings.Repeat("a.", 130)} {
		_, err := i.Issue(t.Context(), name)
		assert.Error(t, err, name)
	}
}

func TestIssue_MakesCertificatesThatARealHandshakeAccepts(t *testing.T) {
	i := open(t, local.Options{})
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(i.Root()))
	for _, name := range []string{"app.example.com", "127.0.0.1"} {
		pair, _ := issue(t, i, name)
		cert, err := tls.X509KeyPair(pair.Chain, pair.Key)
		require.NoError(t, err)
		listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
		require.NoError(t, err)
		served := make(chan error, 1)
		go func() {
			conn, err := listener.Accept()
			if err == nil {
				err = conn.(*tls.Conn).Handshake()
				_ = conn.Close()
			}
			served <- err
		}()
		conn, err := tls.Dial("tcp", listener.Addr().String(), &tls.Config{RootCAs: roots, ServerName: name})
		if assert.NoError(t, err, name) {
			_ = conn.Close()
		}
		assert.NoError(t, <-served)
		_ = listener.Close()
	}
}

// away is a store that cannot be reached until it is told so.
type away struct {
	store.Store
	back atomic.Bool
}

func (a *away) Load(ctx context.Context, key string) (store.Record, error) {
	if !a.back.Load() {
		return store.Record{}, errors.New("nobody answers")
	}
	return a.Store.Load(ctx, key)
}

func TestRun_WaitsForAStoreThatIsAwayAndSaysSoOnce(t *testing.T) {
	var log bytes.Buffer
	root := filepath.Join(t.TempDir(), "root.pem")
	there := &away{Store: opened(t, t.TempDir())}
	i, err := local.New(local.Options{Store: there, RootFile: root, Log: slog.New(slog.NewTextHandler(&log, nil))})
	require.NoError(t, err)
	require.Nil(t, i.Root())

	ended := make(chan error, 1)
	go func() { ended <- i.Run(t.Context()) }()
	require.Never(t, func() bool { return len(ended) > 0 }, 50*time.Millisecond, 10*time.Millisecond)
	there.back.Store(true)
	require.NoError(t, <-ended)
	require.NotNil(t, i.Root())
	require.FileExists(t, root)
	assert.Equal(t, 1, strings.Count(log.String(), "nobody answers"), log.String())
	assert.Equal(t, 1, strings.Count(log.String(), "can be used again"), log.String())
}

func TestRun_EndsWithItsContext(t *testing.T) {
	i, err := local.New(local.Options{Store: &away{Store: opened(t, t.TempDir())}})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, i.Run(ctx))
}
