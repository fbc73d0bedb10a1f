package certs_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs"
	"github.com/tricot-proxy/tricot/certs/certstest"
	"github.com/tricot-proxy/tricot/certs/store"
)

// A notary is an issuer that makes certificates of any lifetime, which are trusted by nobody.
type notary struct {
	key      *ecdsa.PrivateKey
	keyPEM   []byte
	lifetime time.Duration
	takes    time.Duration

	mu     sync.Mutex
	orders map[string][]time.Time // when they came in
}

func newNotary(t *testing.T, lifetime, takes time.Duration) *notary {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return &notary{key: key, keyPEM: keyPEM, lifetime: lifetime, takes: takes, orders: map[string][]time.Time{}}
}

func (*notary) Name() string { return "notary" }

func (n *notary) Issue(_ context.Context, name string) (certs.Pair, error) {
	n.mu.Lock()
	n.orders[name] = append(n.orders[name], time.Now())
	number := len(n.orders[name])
	n.mu.Unlock()
	<-time.After(n.takes)
	begin := time.Now().Truncate(time.Second)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(int64(number)), DNSNames: []string{name}, NotBefore: begin, NotAfter: begin.Add(n.lifetime),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, n.key.Public(), n.key)
	return certs.Pair{Chain: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), Key: n.keyPEM}, err
}

// A board is where the handles of one store tell each other that they have written something, in place of a poll, of which
// a simulated year has too many.
type board struct {
	mu    sync.Mutex
	pokes map[chan struct{}]bool
}

func (b *board) join() chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	poke := make(chan struct{}, 1)
	b.pokes[poke] = true
	return poke
}

func (b *board) post() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for poke := range b.pokes {
		select {
		case poke <- struct{}{}:
		default:
		}
	}
}

// A posted store is a real one whose handles have a board.
type posted struct {
	store.Store
	board *board
}

func (p posted) Follow(ctx context.Context, prefix string, changed func([]store.Record)) error {
	news := p.board.join()
	for ctx.Err() == nil {
		look, enough := context.WithCancel(ctx)
		err := p.Store.Follow(look, prefix, func(records []store.Record) { changed(records); enough() })
		if enough(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-news:
			<-time.After(500 * time.Millisecond) // as one that polls
		}
	}
	return nil
}

func (p posted) Delete(ctx context.Context, key string) error {
	defer p.board.post()
	return p.Store.Delete(ctx, key)
}

func (p posted) Lock(ctx context.Context, name string) (store.Lock, error) {
	lock, err := p.Store.Lock(ctx, name)
	if err != nil {
		return nil, err
	}
	return postedLock{lock, p.board}, nil
}

type postedLock struct {
	store.Lock
	board *board
}

func (l postedLock) Save(ctx context.Context, record store.Record) (store.Record, error) {
	defer l.board.post()
	return l.Lock.Save(ctx, record)
}

// Three instances share a store for a long time and shake hands all along: each certificate is renewed once, at half of its
// lifetime or when the CA says so, and nobody is ever shown one that is not valid.
func TestKeeper_RenewsOnceAtHalfOfWhateverLifetimeAndNeverFailsAHandshake(t *testing.T) {
	const day = 24 * time.Hour
	for _, test := range []struct {
		lifetime, takes, lasts time.Duration
	}{
		{6 * time.Second, 200 * time.Millisecond, 2 * time.Minute},
		{30 * time.Second, time.Second, time.Hour},
		{6 * day, 10 * time.Second, 365 * day},
		{47 * day, 10 * time.Second, 365 * day},
		{90 * day, 10 * time.Second, 365 * day},
	} {
		t.Run(test.lifetime.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newSimulatedPlace(t, 0)
				n, b := newNotary(t, test.lifetime, test.takes), &board{pokes: map[chan struct{}]bool{}}
				var names []string
				for i := range 3 {
					names = append(names, fmt.Sprintf("n%d.example.com", i))
				}
				// The CA wants the first certificate of the first name renewed early, and says so some hours before.
				begin := time.Now()
				pulled := begin.Add(test.lifetime / 5)
				renewAt := func(name string, leaf *x509.Certificate) time.Time {
					if name != names[0] || leaf.SerialNumber.Int64() > 1 || time.Now().Before(pulled.Add(-6*time.Hour)) {
						return time.Time{}
					}
					return pulled
				}
				var keepers []*certs.Keeper
				for range 3 {
					keepers = append(keepers, p.keeper(certs.Options{
						Store: posted{p.store(), b}, Issuer: n, RenewAt: renewAt, Parallel: len(names),
					}, names...))
				}
				<-time.After(test.takes + 2*time.Second)
				for step := 0; time.Since(begin) < test.lasts; step++ {
					now := time.Now()
					for _, k := range keepers {
						for _, name := range names {
							cert, err := k.GetCertificate(hello(name))
							require.NoError(t, err)
							require.Equal(t, []string{name}, cert.Leaf.DNSNames, "after %v", now.Sub(begin))
							require.True(t, now.Before(cert.Leaf.NotAfter) && !now.Before(cert.Leaf.NotBefore), "after %v", now.Sub(begin))
						}
					}
					if step%100 == 0 {
						leaf, err := certstest.Handshake(keepers[step/100%3], names[step/100%3])
						require.NoError(t, err)
						require.True(t, time.Now().Before(leaf.NotAfter))
					}
					<-time.After(test.lifetime / 60)
				}

				half, share := test.lifetime/2, test.lifetime/20
				late := test.takes + 2*time.Second // a certificate is valid from a whole second on, and known half a second later
				n.mu.Lock()
				defer n.mu.Unlock()
				for _, name := range names {
					orders := n.orders[name]
					for i := range len(orders) - 1 {
						pause := orders[i+1].Sub(orders[i])
						if name == names[0] && i == 0 {
							assert.WithinRange(t, orders[1], pulled, pulled.Add(min(time.Hour, test.lifetime)+late), "as the CA wants it")
							continue
						}
						assert.GreaterOrEqual(t, pause, half-time.Second, "%s, renewal %d", name, i+1)
						assert.LessOrEqual(t, pause, half+share+late, "%s, renewal %d", name, i+1)
					}
					assert.Greater(t, len(orders), int(test.lasts/(half+share+late)))
				}
				assert.Zero(t, p.log.Count("level=ERROR")+p.log.Count("has expired"))
			})
		})
	}
}
