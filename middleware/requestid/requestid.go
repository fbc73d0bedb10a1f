// Package requestid is the stage that gives each request an id, by which the logs of client, Tricot and backend can be
// held against each other. The field X-Request-Id is no standard's, but what the users of proxies and frameworks know.
//
// It needs nothing, and stands ahead of what writes the id down: access_log may stand before it, for that reads the state
// when the request has ended. It sets State.RequestID, the request's field, so that the backend gets it, and that of the
// response, unless the backend set one.
//
// # Whose id it is
//
// An id that comes with the request is passed on where it is one: a single field of 1 to 128 characters, all of them
// letters, digits or one of "-_.:/+=@~". That is all of what is in use (UUIDs, hex, base64, ULIDs, X-Ray's ids), and
// nothing that has a meaning in a log, a shell, SQL or HTML. Any other one is replaced by an id that is made here.
//
// Clients are free to choose theirs, as they are with nginx's, HAProxy's and the frameworks' usual set-up, because who
// asks for help has to be able to name the request. So an id is a name and no proof: two requests may have the same one.
// With [Options].OnlyTrusted ids count only where a trusted proxy sent them, as with Envoy's default.
//
// An id that is made has 128 random bits in 32 hex digits, which is the form of nginx's and of a W3C trace id. The bits are
// from the runtime's ChaCha8 generator, which takes no lock and no system call: an id has to be unique, not secret.
package requestid

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"sync"

	"github.com/tricot-proxy/tricot/pipeline"
)

// Name is what settings and logs call the stage.
const Name = "request_id"

// Field is the field that carries the id, in canonical form.
const Field = "X-Request-Id"

// maxLength is well above what is in use, the longest being ids that several systems have joined.
const maxLength = 128

// Options are the stage's settings.
type Options struct {
	// OnlyTrusted has an id passed on only where it comes from one of TrustedProxies. Otherwise everybody's is.
	OnlyTrusted    bool
	TrustedProxies []netip.Prefix
}

// New gives the stage, which may be used by many goroutines at once. The error is for a prefix that is none.
func New(options Options) (func(next http.Handler) http.Handler, error) {
	var trusted []netip.Prefix
	for _, prefix := range options.TrustedProxies {
		if !prefix.IsValid() {
			return nil, fmt.Errorf("%s: TrustedProxies has a prefix that is none: %v", Name, prefix)
		}
		if addr := prefix.Addr(); addr.Is4In6() && prefix.Bits() >= 96 { // peers are compared as IPv4 where they are
			prefix = netip.PrefixFrom(addr.Unmap(), prefix.Bits()-96)
		}
		trusted = append(trusted, prefix)
	}
	responses := &sync.Pool{New: func() any { return new(response) }}
	return func(next http.Handler) http.Handler {
		return &stage{next: next, onlyTrusted: options.OnlyTrusted, trusted: trusted, responses: responses}
	}, nil
}

type stage struct {
	next        http.Handler
	onlyTrusted bool
	trusted     []netip.Prefix
	responses   *sync.Pool // of *response
}

func (s *stage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	state, w, r := pipeline.Enter(w, r)
	values := r.Header[Field]
	if len(values) != 1 || !wellFormed(values[0]) || s.onlyTrusted && !s.trusts(r.RemoteAddr) {
		values = []string{random()} // one slice for both fields, without spare capacity: who appends gets a copy
		r.Header[Field] = values
	}
	removeDisguised(r.Header)
	state.RequestID = values[0]

	x := s.responses.Get().(*response)
	x.values = values
	x.Begin(w, x)
	s.next.ServeHTTP(x, r)
	x.End()
	// Not after a panic: then nobody knows who still holds it.
	x.values = nil
	s.responses.Put(x)
}

func (s *stage) trusts(peer string) bool {
	addrPort, err := netip.ParseAddrPort(peer)
	if err != nil { // a Unix socket
		return false
	}
	addr := addrPort.Addr().Unmap().WithZone("")
	for _, prefix := range s.trusted {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// removeDisguised removes the field spelled with "_", in all the ways that are left when a server has canonicalized a
// name: CGI, and what took its names over, could not tell it from the one that was set here.
func removeDisguised(header http.Header) {
	delete(header, "X_request_id")
	delete(header, "X_request-Id")
	delete(header, "X-Request_id")
}

func wellFormed(id string) bool {
	if len(id) == 0 || len(id) > maxLength {
		return false
	}
	for i := 0; i < len(id); i++ {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '_', c == '.', c == ':', c == '/', c == '+', c == '=', c == '@', c == '~':
		default:
			return false
		}
	}
	return true
}

func random() string {
	var bits [16]byte
	binary.NativeEndian.PutUint64(bits[:8], rand.Uint64())
	binary.NativeEndian.PutUint64(bits[8:], rand.Uint64())
	var digits [2 * len(bits)]byte
	hex.Encode(digits[:], bits[:])
	return string(digits[:])
}
