// Package acme gets certificates from a certificate authority that speaks ACME (RFC 8555), such as Let's Encrypt.
//
// All instances of the cluster share one account, which is made once and kept in the store. A name is validated with
// HTTP-01 (section 8.3): the key authorization is written to the store under challenge/TOKEN, where the stage acme of
// whichever instance the CA asks finds it by [certs.Challenges]. Who may ask for which name when, one order for each
// certificate among them, is the caller's affair: [certs.Keeper] does it with the locks of the store.
//
// [Issuer.Run] follows the CA's renewal information (ARI, RFC 9773) of the certificates that [Issuer.RenewAt] is asked
// about, and clears away what instances that died left under challenge/. Orders name the certificate that they replace
// where the CA knows it (section 5), and a profile where one is given (draft-aaron-acme-profiles). An error of
// [Issuer.Issue] is an [Error], which says whose fault it is and when to try again.
//
// In the store, the account of the directory at https://HOST:PORT/PATH is under account/HOST~PORT~PATH, as JSON:
// "directory" is the directory's URL, "url" that of the account, empty until the CA has made it, "email" its contact,
// "eab_key_id" the external account that it is bound to, empty for none, and "key_pem" its private key, PKCS #8 in PEM.
package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/tricot-proxy/tricot/certs"
	"github.com/tricot-proxy/tricot/certs/store"
)

// LetsEncrypt is the URL of Let's Encrypt's production directory.
const LetsEncrypt = "https://acme-v02.api.letsencrypt.org/directory"

// What [Options] leaves out.
const (
	// DefaultTimeout is how long one request to the CA may take.
	DefaultTimeout = 30 * time.Second
	// DefaultSettle is the time in which every instance has seen a record that was written to the store, by the contract of
	// [store.Store].
	DefaultSettle = time.Second
)

// pollEvery is the pause between two looks at what the CA works on, where it does not say.
const pollEvery = 250 * time.Millisecond

// Options are what [New] needs to know.
type Options struct {
	// Directory is the https URL of the CA's directory; empty: [LetsEncrypt].
	Directory string
	// CACert is the path of a PEM file with roots to trust for the directory besides those of the system. Empty: none.
	CACert string
	// Email is the contact of a new account. Mandatory.
	Email string
	// EAB binds a new account to one that the CA knows already (RFC 8555, section 7.3.4). Nil: it is not bound. An account
	// in the store that is bound to another is replaced.
	EAB *EAB
	// KeyType is that of the certificates' keys; empty: [P256].
	KeyType KeyType
	// Profile is the name of the certificate profile to order; empty: the CA's default.
	Profile string
	// Store keeps the account and the challenges. Mandatory.
	Store store.Store
	// Log is told of a new account, and of trouble that no caller is told of. Nil: nobody is.
	Log *slog.Logger
	// Now is the time of day. Nil: [time.Now]. What is waited for, is waited for by package time.
	Now func() time.Time
	// Timeout is how long one request to the CA may take, its answer included; 0: [DefaultTimeout].
	Timeout time.Duration
	// Settle is the pause between the writing of a token to the store and the CA's being told to ask for it, in which all
	// instances see it; 0: [DefaultSettle]; negative: none. An instance that has not seen it asks the store, so that an
	// order seldom fails without the pause, but a flood of invented tokens may keep it from asking.
	Settle time.Duration
}

// An EAB is what a CA gives its customer for external account binding.
type EAB struct {
	KeyID string
	// HMACKey is in base64url (RFC 4648, section 5), with padding or without. It is secret.
	HMACKey string
}

// An Issuer is a [certs.Issuer] and a [certs.Refuser]. Its methods may be called by many goroutines at once.
type Issuer struct {
	o          Options
	http       *http.Client
	accountKey string // in the store
	poll       time.Duration

	turn chan struct{} // has room for one: who opens the session
	session
	// The CA is not asked for anything while busy holds, nor for an account while refused does.
	busy, refused hold

	renewals renewals
}

var (
	_ certs.Issuer  = (*Issuer)(nil)
	_ certs.Refuser = (*Issuer)(nil)
)

// New makes an issuer. It reads the file of CACert and asks neither the CA nor the store. An error is about the options:
// what [CheckDirectory], [CheckEmail] and [EAB.Check] say, among others.
func New(o Options) (*Issuer, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("ACME: %w", err)
	}
	client, err := newClient(o)
	if err != nil {
		return nil, fmt.Errorf("ACME: %w", err)
	}
	i := &Issuer{o: o, http: client, accountKey: accountKey(o.Directory), poll: pollEvery, turn: make(chan struct{}, 1)}
	i.renewals.init()
	return i, nil
}

// check fills in what is left out and refuses what makes no sense.
func (o *Options) check() error {
	if o.Store == nil {
		return errors.New("no store is given")
	}
	if o.Directory == "" {
		o.Directory = LetsEncrypt
	}
	if err := CheckDirectory(o.Directory); err != nil {
		return err
	}
	if o.Email == "" {
		return errors.New("an email address is needed, for the account at the CA")
	}
	if err := CheckEmail(o.Email); err != nil {
		return err
	}
	if o.EAB != nil {
		eab, err := o.EAB.normal()
		if err != nil {
			return err
		}
		o.EAB = eab
	}
	if o.KeyType == "" {
		o.KeyType = P256
	}
	if !o.KeyType.known() {
		return fmt.Errorf("key type %q is not one of %s, %s and %s", o.KeyType, P256, P384, RSA2048)
	}
	if o.Timeout < 0 {
		return fmt.Errorf("a timeout of %v", o.Timeout)
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Settle == 0 {
		o.Settle = DefaultSettle
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return nil
}

// Name is "acme".
func (i *Issuer) Name() string { return "acme" }

// Refuses is as [certs.Refuser] says: the reason why a name is not [Signable], "" where it is.
func (i *Issuer) Refuses(name string) (reason string) {
	_, reason = Signable(name)
	return reason
}

// Run follows the renewal information of the certificates that RenewAt is asked about, and clears away challenges that
// nobody has an order for any more, until ctx ends. It returns nil then, when everything that it began has ended. It is
// called once.
func (i *Issuer) Run(ctx context.Context) error {
	defer i.http.CloseIdleConnections()
	var parts sync.WaitGroup
	parts.Go(func() { i.follow(ctx) })
	parts.Go(func() { i.sweep(ctx, staleAfter) })
	parts.Wait()
	return nil
}

// newClient makes the HTTP client for the CA.
func newClient(o Options) (*http.Client, error) {
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: min(o.Timeout, 10*time.Second)}).DialContext,
		TLSHandshakeTimeout: min(o.Timeout, 10*time.Second),
		IdleConnTimeout:     time.Minute,
		MaxIdleConnsPerHost: 8, // as many orders as run at once, more or less
		ForceAttemptHTTP2:   true,
	}
	if o.CACert != "" {
		roots, err := rootsWith(o.CACert)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	return &http.Client{Transport: &watcher{base: transport, now: o.Now}, Timeout: o.Timeout}, nil
}

// rootsWith gives the roots of the system and those of a file.
func rootsWith(path string) (*x509.CertPool, error) {
	inPEM, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the root certificate of the directory: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(inPEM) {
		return nil, fmt.Errorf("read the root certificate of the directory: %s has no certificate in PEM", path)
	}
	return roots, nil
}

// accountKey is where the store has the account of a directory: host, port and path, so that neither the accounts of two
// CAs meet nor those of staging and production.
func accountKey(directory string) string {
	at := strings.TrimRight(strings.TrimPrefix(directory, "https://"), "/")
	return accountPrefix + strings.Map(func(c rune) rune {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '-', c == '_':
			return c
		}
		return '~'
	}, at)
}
