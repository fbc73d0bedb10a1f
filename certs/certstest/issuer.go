package certstest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs"
	"github.com/tricot-proxy/tricot/certs/local"
)

// Authority makes a local issuer whose authority, and so its Root, is there already.
func Authority(t testing.TB, o local.Options) *local.Issuer {
	t.Helper()
	i, err := local.New(o)
	require.NoError(t, err)
	_, err = i.Issue(t.Context(), "app.example.com") // nobody is given this one
	require.NoError(t, err)
	return i
}

// An Issuer is a local one with a hook, and a list of what it was asked for. It may be used by many goroutines at once.
type Issuer struct {
	*local.Issuer

	mu    sync.Mutex
	hook  func(ctx context.Context, name string) error
	asked []string
	times []time.Time
}

func (i *Issuer) Issue(ctx context.Context, name string) (certs.Pair, error) {
	i.mu.Lock()
	i.asked, i.times = append(i.asked, name), append(i.times, time.Now())
	hook := i.hook
	i.mu.Unlock()
	if hook != nil {
		if err := hook(ctx, name); err != nil {
			return certs.Pair{}, err
		}
	}
	return i.Issuer.Issue(ctx, name)
}

// On has a hook called for each name from now on, whose error is that of the issuer; nil: none.
func (i *Issuer) On(hook func(ctx context.Context, name string) error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.hook = hook
}

// Names gives what it was asked for.
func (i *Issuer) Names() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.asked)
}

// Times says when it was asked.
func (i *Issuer) Times() []time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.times)
}

// Count says how often it was asked for a name.
func (i *Issuer) Count(name string) int {
	count := 0
	for _, asked := range i.Names() {
		if asked == name {
			count++
		}
	}
	return count
}

// Roots are those of a client that trusts the authority.
func (i *Issuer) Roots() *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(i.Root())
	return roots
}

// Served gives what a client that asks a keeper for a name is shown, and whether it trusts that.
func (i *Issuer) Served(t testing.TB, k *certs.Keeper, name string) (*x509.Certificate, bool) {
	t.Helper()
	leaf, err := Handshake(k, name)
	require.NoError(t, err)
	_, err = leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: i.Roots(), CurrentTime: time.Now()})
	return leaf, err == nil
}

// Await waits until a client that asks a keeper for a name trusts what it is shown.
func (i *Issuer) Await(t testing.TB, k *certs.Keeper, name string) *x509.Certificate {
	t.Helper()
	var leaf *x509.Certificate
	Eventually(t, func() (ok bool) {
		leaf, ok = i.Served(t, k, name)
		return ok
	}, "no trusted certificate for "+name)
	return leaf
}

// Handshake asks a keeper for a name, in TLS over a pipe, and gives the leaf that it is shown.
func Handshake(k *certs.Keeper, name string) (*x509.Certificate, error) {
	near, far := net.Pipe()
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = tls.Server(far, &tls.Config{GetCertificate: k.GetCertificate}).Handshake()
		_ = far.Close()
	}()
	defer func() { <-served }()
	defer near.Close()
	client := tls.Client(near, &tls.Config{ServerName: name, InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12})
	if err := client.Handshake(); err != nil {
		return nil, err
	}
	return client.ConnectionState().PeerCertificates[0], nil
}
