package transport

import "crypto/tls"

// maxSessions is how many TLS sessions are kept, over all backends and names. Clients may think up any number of names
// where a rule has a wildcard, and each session holds on to the certificate that the backend showed.
const maxSessions = 1024

// sessions are those of one key: with one of them, a further connection costs the backend no signature (RFC 8446, section
// 2.2). Each belongs to an address as well as to a name, for the backends that share a name do not share their tickets'
// keys, and each would take the others' sessions away.
//
// Nothing is let in by them that would be refused otherwise, since no certificate is: a verification, where there is to be
// one, has to be part of the key, and a VerifyConnection, which crypto/tls calls for resumed connections, too.
type sessions struct {
	all tls.ClientSessionCache
	of  key
}

func (s sessions) name() string { return s.of.address + "/" + s.of.name }

// Get is called by crypto/tls with a key of its own, which knows no addresses.
func (s sessions) Get(string) (*tls.ClientSessionState, bool) { return s.all.Get(s.name()) }

// Put may get nil, for a session that is of no use any more.
func (s sessions) Put(_ string, session *tls.ClientSessionState) { s.all.Put(s.name(), session) }
