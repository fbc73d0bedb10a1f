// Package tickets keeps the keys of TLS session tickets (RFC 8446, section 4.6.1, and RFC 5077), shared over the store,
// so that a client resumes its session on any instance, and after a restart.
//
// It needs a store, and sets WrapSession and UnwrapSession of a [tls.Config]. The tickets themselves are those of
// crypto/tls: AES-CTR and HMAC-SHA256.
//
// # Keys
//
// A key encrypts for [Period] and opens what it has encrypted until [Lifetime] after its beginning: a ticket is good for
// a day at least and a day and a half at most, and who learns all keys of a moment (which is to say, the store) can open
// no older ones. That matters for TLS 1.2, where a ticket holds the secret of the whole session; TLS 1.3 agrees on a new
// one for each resumption.
//
// The key that encrypts next is in the store for about as long as its predecessor encrypts, so that everybody knows it
// before anybody uses it. Instances whose clocks differ by hours understand each other therefore. One of them, whichever
// is first, adds the next key by compare-and-set; the others follow the store.
//
// No handshake waits for the store. Where it is away, the keys that are known serve until their end, and after that, as
// before the first look, keys of the instance's own, with which a client resumes at this instance alone. A session that
// cannot be resumed costs a full handshake, never a connection.
//
// # What a ticket is good for
//
// crypto/tls resumes a session whatever the name in the SNI, and in TLS 1.3 without choosing a certificate. Here a ticket
// carries a digest of the name and of the certificate that the name had, and is good for that name with that certificate
// only: it opens no other name (RFC 6066, section 3), none that strict SNI refuses by now, and no session that began with
// a certificate which has been replaced since, be it a revoked one or the self-signed one of a name's first minute.
package tickets

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/tricot-proxy/tricot/certs/store"
)

const (
	// Period is how long a key encrypts tickets.
	Period = 12 * time.Hour
	// Lifetime is how long after its beginning a key opens them.
	Lifetime = 36 * time.Hour
)

// Key is where the store has the keys. They are secrets: the store is one that seals them, or keeps them from everybody.
// Who wants all tickets to become worthless at once deletes the record; the instances make another.
const Key = prefix + "keys"

const prefix = "tickets/"

// Options are what [New] needs to know.
type Options struct {
	// Store shares the keys. Mandatory.
	Store store.Store
	// Log is told of new keys, and of trouble with sharing them once when it begins and once when it ends. Keys are never
	// in it. Nil: nobody is.
	Log *slog.Logger
	// Now is the time of day. Nil: [time.Now]. What is waited for, is waited for by package time.
	Now func() time.Time
}

// Keys are those of one instance. Their methods may be called by many goroutines at once.
type Keys struct {
	store store.Store
	log   *slog.Logger
	now   func() time.Time
	// patience is how long after it is due this instance leaves the next key to the others, so that they do not all try.
	patience time.Duration
	// first is the instance's own key for the beginning.
	first keys
	// holder has the keys in force, first the one that encrypts. Nothing else of it is used.
	holder *tls.Config
	ready  chan struct{}
}

// New makes keys of the instance's own, which serve until [Keys.Run] has those of the store.
func New(o Options) (*Keys, error) {
	if o.Store == nil {
		return nil, errors.New("session ticket keys: no store is given")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	k := &Keys{
		store: o.Store, log: o.Log, now: o.Now,
		patience: rand.N(maxPatience),
		first:    keys{newKey(o.Now())},
		holder:   &tls.Config{},
		ready:    make(chan struct{}),
	}
	k.holder.SetSessionTicketKeys(k.first.inForce(o.Now()))
	return k, nil
}

// Ready is closed when the keys of the store are in force, or the store has said that they cannot be had. Who starts to
// listen after that resumes the sessions that others began.
func (k *Keys) Ready() <-chan struct{} { return k.ready }

// Apply makes a configuration give out tickets and resume sessions with these keys, as long as it is in use; copies that
// [tls.Config.Clone] makes of it later do the same. Any number of configurations may have the same keys.
//
// The configuration has its GetCertificate already, if it is to have one. That is called with the ServerName alone, for
// each ticket that is given out or comes back with a name, and has to be as quick as for a handshake.
func (k *Keys) Apply(config *tls.Config) {
	choose := config.GetCertificate
	config.WrapSession = func(cs tls.ConnectionState, session *tls.SessionState) ([]byte, error) {
		if bound, ok := bind(cs.ServerName, choose); ok {
			session.Extra = append(session.Extra, bound)
		}
		return k.holder.EncryptTicket(cs, session)
	}
	config.UnwrapSession = func(ticket []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
		session, err := k.holder.DecryptTicket(ticket, cs)
		if session == nil || err != nil {
			return nil, err
		}
		if bound, ok := bind(cs.ServerName, choose); !ok || !carries(session, bound) {
			return nil, nil // which means a full handshake
		}
		return session, nil
	}
}
